"""An encoder of one tower alone, and what PyTorch keeps of a checkpoint."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

import align_zoo
from align_zoo.checkpoint import folder as checkpoints
from align_zoo.checkpoint.weights import read_weights

TEXTS = ["cat", "a photo of a big red bus", "cat"]


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
@pytest.mark.parametrize("only", ["image", "text"])
def test_one_tower_alone_answers_as_with_both(checkpoint, runtime, only):
    both = align_zoo.load_encoder(checkpoint, runtime=runtime, device="cpu")
    alone = align_zoo.load_encoder(checkpoint, runtime=runtime, device="cpu", only=only)
    pixels = np.random.default_rng(2).standard_normal((2, 3, 75, 75), dtype=np.float32)
    uses = {
        "image": lambda each: each.embed_pixels(pixels),
        "text": lambda each: each.embed_texts(TEXTS),
    }
    use = uses.pop(only)
    np.testing.assert_array_equal(use(alone), use(both))
    assert alone.temperature == both.temperature and alone.explanation == both.explanation
    (other,) = uses.values()
    with pytest.raises(align_zoo.InvalidInput, match="loaded for the other tower only"):
        other(alone)


@pytest.mark.parametrize("only", ["image", "text"])
def test_pytorch_reads_only_the_chosen_towers_weights(checkpoint, only, monkeypatch):
    read = []

    def noted(path, *prefixes):
        read.extend(prefixes)
        return read_weights(path, *prefixes)

    monkeypatch.setattr(checkpoints, "read_weights", noted)
    align_zoo.load_encoder(checkpoint, runtime="torch", device="cpu", only=only)
    towers = {"image": {"vision_model."}, "text": {"text_model.", "text_projection."}}
    assert set(read) == {*towers[only], "temperature"}


def test_pytorch_holds_one_copy_of_the_weights(checkpoint):
    def parameters() -> int:
        gc.collect()
        found = (each for each in gc.get_objects() if type(each) is torch.nn.Parameter)
        return sum(each.nbytes for each in found)

    before = parameters()
    encoder = align_zoo.load_encoder(checkpoint, runtime="torch", device="cpu")
    loaded = parameters()
    encoder.embed_texts(["a"])
    encoder.embed_pixels(np.zeros((1, 3, 75, 75), np.float32))
    assert (
        parameters()
        <= loaded
        < before + 1.01 * sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))
    )


@pytest.mark.parametrize("only", ["images", "", 1])
def test_another_tower_is_refused(checkpoint, only):
    with pytest.raises(align_zoo.InvalidInput, match=r"no tower .*; there are image, text"):
        align_zoo.load_encoder(checkpoint, only=only)
