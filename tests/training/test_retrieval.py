"""Retrieval on held-out pairs: what is measured does not depend on how it is measured."""

from __future__ import annotations

import pytest
import torch
from captioned import write_csv

import align_zoo
from align_zoo.training.pairs import open_pairs
from align_zoo.training.retrieval import HeldOutPairs


@pytest.fixture(scope="module")
def tiny():
    return align_zoo.create_align("align_tiny")


def measure(path, tiny, batch_size=32, **options):
    model, transform, tokenizer = tiny
    held_out = HeldOutPairs(
        open_pairs(path), transform, tokenizer, batch_size=batch_size, **options
    )
    with torch.inference_mode():
        return held_out.measure(model)


def test_equal_captions_are_equal_answers_whatever_they_are_batched_with(pairs_csv, tmp_path, tiny):
    # Two captions in turn, among others that are longer: each batch pads them differently.
    captions = ["a star", "a ring", "a photo of a blue ring that is there to be long" + " so" * 9]
    rows = [(str(pairs_csv.with_name(f"{i}.png")), captions[(i * i) % 3]) for i in range(24)]
    data = write_csv(tmp_path / "pairs.csv", rows)
    found = [measure(data, tiny, batch_size) for batch_size in (1, 2, 5, 24)]
    assert all(each == found[0] for each in found)
    # Whoever has a caption of many never stands before the others.
    assert found[0]["image_to_text_R@1"] == 0
