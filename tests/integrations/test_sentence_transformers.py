"""sentence-transformers opens an ALIGN folder as it is; tests/neighbours compares the vectors."""

from __future__ import annotations

from environments import environment

PINS = ["sentence-transformers==6.2.0"]


def test_example_finds_the_image(example):
    python = environment("sentence-transformers", PINS)
    assert example("sentence-transformers", python) == ["align_zoo/assets/samples/red-star.png"]
