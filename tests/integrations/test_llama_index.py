"""LlamaIndex embeds texts and images by a server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from environments import adapter, run

SCRIPT = Path(__file__).parent / "scripts" / "llama_index_answers.py"
WAYS = {
    "texts": [
        "texts",
        "text",
        "queries",
        "texts, async",
        "text, async",
        "queries, async",
        "saved",
    ],
    "images": ["images", "image", "files", "images, async", "image, async"],
}


@pytest.fixture(scope="module")
def python() -> Path:
    return adapter("llama-index")


@pytest.fixture(scope="module")
def found(python, server, texts, images) -> dict:
    return run(python, SCRIPT, server.grpc_url, json.dumps(texts), json.dumps([*map(str, images)]))


@pytest.mark.parametrize(
    ("kind", "way"), [(kind, way) for kind, ways in WAYS.items() for way in ways]
)
def test_vectors_are_those_of_transformers(found, expected, kind, way):
    np.testing.assert_allclose(found[kind][way], expected[kind], rtol=0, atol=1e-5)


def test_every_way_is_compared(found):
    assert {kind: list(found[kind]) for kind in WAYS} == WAYS


def test_saved_component_holds_no_options(found):
    assert found["saved"] == ["url"]


def test_example_finds_the_image(example, python, server):
    (best,) = example("LlamaIndex", python, **{"localhost:8001": server.grpc_url})
    assert best.endswith("red-star.png")
