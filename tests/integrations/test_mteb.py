"""MTEB measures our encoder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from environments import ROOT, adapter, run

import align_zoo

SCRIPT = Path(__file__).parent / "scripts" / "mteb_answers.py"


@pytest.fixture(scope="module")
def python() -> Path:
    return adapter("mteb")


@pytest.fixture(scope="module")
def found(python, texts, images) -> dict:
    return run(python, SCRIPT, "align_tiny", json.dumps(texts), json.dumps([*map(str, images)]))


@pytest.mark.parametrize("kind", ["texts", "images"])
def test_vectors_are_those_of_transformers(found, expected, kind):
    np.testing.assert_allclose(found[kind], expected[kind], rtol=0, atol=1e-5)


def test_item_with_both_is_the_sum(found, expected):
    both = expected["texts"] + expected["images"]
    np.testing.assert_allclose(found["both"], both, rtol=0, atol=2e-5)


def test_metadata_names_model_and_width(found):
    assert (found["name"], found["width"]) == ("align-zoo/align_tiny", 128)


def test_example_measures_the_accuracy_that_we_measure(example, python):
    page = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
    (names,) = re.findall(r'names = "(.*?)"\.split', page)
    files = [ROOT / f"align_zoo/assets/emoji/{name}.png" for name in names.split()]
    answers = align_zoo.load_encoder("align_emoji").classify(files, names.split(), top_k=1)
    hits = [answer[0].label == path.stem for answer, path in zip(answers, files, strict=True)]
    assert 0.5 < np.mean(hits) <= 1
    assert float(example("MTEB", python)[-1]) == pytest.approx(np.mean(hits))
