"""LlamaIndex embeds texts and images by a server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from environments import environment, run

SCRIPT = Path(__file__).parent / "scripts" / "llama_index_answers.py"
PINS = """
    Deprecated==1.3.1 SQLAlchemy==2.1.9 aiosqlite==0.22.1 banks==2.5.1 colorama==0.4.6
    dataclasses-json==0.6.7 defusedxml==0.7.1 dirtyjson==1.0.8 filetype==1.2.0 griffe==2.4.1
    griffecli==2.4.1 griffelib==2.4.1 httpcore==1.0.9 httpx==0.28.1 llama-index-core==0.14.25
    llama-index-instrumentation==0.6.0 llama-index-workflows==2.26.1 marshmallow==3.26.2
    nest-asyncio==1.6.0 nltk==3.10.4 platformdirs==4.14.9 tenacity==9.2.1 tiktoken==0.14.0
    tinytag==2.3.2
""".split()
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
    return environment("llama-index", PINS, ours=True)


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
