"""A checkpoint that somebody replaces while it is read: neither half of it is served or kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import align_zoo
from align_zoo.checkpoint import folder as checkpoints
from align_zoo.checkpoint.folder import open_checkpoint
from align_zoo.evaluation import checkpoint as evaluated
from align_zoo.runtime.onnx.manifest import export_folder

TEXTS = ["cat", "a photo of a dog"]


@pytest.fixture
def live(checkpoint, tmp_path, monkeypatch) -> Path:
    """A folder of which the first reader finds, behind the fingerprint, other weights."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    live = shutil.copytree(checkpoint, tmp_path / "live")
    read_weights = checkpoints.read_weights

    def replaced(*arguments):
        monkeypatch.setattr(checkpoints, "read_weights", read_weights)
        model, transform, tokenizer = align_zoo.create_align(live)
        with torch.no_grad():
            model.text.head.bias += 1
        align_zoo.save_hf(model, live, transform=transform, tokenizer=tokenizer)
        return read_weights(*arguments)

    monkeypatch.setattr(checkpoints, "read_weights", replaced)
    return live


@pytest.mark.parametrize("runtime", ["auto", "onnx", "torch"])
def test_changed_checkpoint_is_not_served_under_old_fingerprint(live, runtime):
    with pytest.raises(align_zoo.CheckpointError, match="live was changed while it was read"):
        align_zoo.load_encoder(live, runtime=runtime, device="cpu")
    again = align_zoo.load_encoder(live, runtime=runtime, device="cpu")
    assert again.fingerprint == open_checkpoint(live).fingerprint


def test_changed_checkpoint_is_not_evaluated_under_old_fingerprint(live):
    with pytest.raises(align_zoo.CheckpointError, match="live was changed while it was read"):
        evaluated.load(str(live))
    assert evaluated.load(str(live)).fingerprint == open_checkpoint(live).fingerprint


def test_changed_checkpoint_leaves_no_export(checkpoint, live):
    with pytest.raises(align_zoo.CheckpointError, match="was changed"):
        align_zoo.load_encoder(live, runtime="onnx")
    assert not export_folder(open_checkpoint(checkpoint).fingerprint).exists()
    expected = align_zoo.load_encoder(checkpoint, runtime="torch").embed_texts(TEXTS)
    got = align_zoo.load_encoder(checkpoint, runtime="onnx").embed_texts(TEXTS)
    np.testing.assert_allclose(got, expected, atol=1e-5)
