"""MTEB measures our encoder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from environments import ROOT, environment, run

import align_zoo

SCRIPT = Path(__file__).parent / "scripts" / "mteb_answers.py"
PINS = """
    datasets==5.2.0 dill==0.4.1 mteb==2.26.24 multiprocess==0.70.19 pandas==3.0.6
    polars-runtime-32==2.1.0 polars==2.1.0 pytrec_eval-terrier==0.5.11 sentence-transformers==6.2.0
    xxhash==4.1.0
""".split()


@pytest.fixture(scope="module")
def python() -> Path:
    return environment("mteb", PINS, ours=True)


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
