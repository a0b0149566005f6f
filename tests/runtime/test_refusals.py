"""A refused or failed export is remembered, and what it costs is said."""

from __future__ import annotations

import errno
import json
import re

import numpy as np
import pytest
import torch
from checkpoints import FEW_BLOCKS, save_checkpoint, small_config
from makers import MAKERS
from typer.testing import CliRunner

import align_zoo
from align_zoo.checkpoint.folder import open_checkpoint
from align_zoo.cli import app
from align_zoo.runtime import load
from align_zoo.runtime.load import export_checkpoint
from align_zoo.runtime.onnx import refusals
from align_zoo.runtime.onnx.manifest import export_folder

PIXELS = np.zeros((1, 3, 75, 75), np.float32)


def note_of(checkpoint):
    folder = export_folder(open_checkpoint(checkpoint).fingerprint)
    return folder.with_name(f"{folder.name}.refused.json")


def test_a_refused_export_is_not_tried_again(checkpoint, refused, remembered, exports):
    reasons = [each.reason for each in (refused.encoder, align_zoo.load_encoder(checkpoint))]
    assert exports == []
    assert all("differ from PyTorch's" in reason for reason in reasons)
    assert "found on 20" in reasons[1]


def test_other_versions_try_again(checkpoint, remembered, wrong_graph, exports):
    note = note_of(checkpoint)
    content = json.loads(note.read_text())
    content["versions"]["onnxruntime"] = "1.0"
    note.write_text(json.dumps(content))
    align_zoo.load_encoder(checkpoint)
    assert len(exports) == 1


@pytest.mark.parametrize("rubbish", ["", "[]", "{", '{"reason": "no date"}', "\xff"])
def test_a_damaged_note_is_no_refusal(tmp_path, rubbish):
    (tmp_path / "note").write_text(rubbish, encoding="latin-1")
    assert refusals.recall(tmp_path / "note") is None


def test_again_tries_what_was_refused(checkpoint, own_cache, monkeypatch, request):
    with monkeypatch.context() as patch:
        patch.setattr(torch.onnx, "export", failing(RuntimeError("no such operator")))
        align_zoo.load_encoder(checkpoint)
    with pytest.raises(align_zoo.CheckpointError, match="no such operator"):
        export_checkpoint(checkpoint)
    export_checkpoint(checkpoint, again=True)
    assert not note_of(checkpoint).exists()
    assert align_zoo.load_encoder(checkpoint).runtime == "onnx"


def failing(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["disk", "memory", "torch's memory"],
)
def test_a_failure_of_the_moment_is_not_remembered(checkpoint, own_cache, monkeypatch, error):
    monkeypatch.setattr(torch.onnx, "export", failing(error))
    with pytest.raises(align_zoo.CheckpointError):
        align_zoo.load_encoder(checkpoint, runtime="onnx")
    assert not note_of(checkpoint).exists()


def test_refused_export_says_how_to_try_again(checkpoint, own_cache, wrong_graph):
    for _ in range(2):
        done = CliRunner().invoke(app, ["export", str(checkpoint)])
        assert done.exit_code == 1
        assert "differ from PyTorch's" in done.output
        assert f"`align-zoo export --again {checkpoint}` tries again" in done.output


@pytest.mark.parametrize("when", ["at once", "later"])
def test_torch_in_onnx_place_says_what_it_costs(checkpoint, refused, remembered, when):
    encoder = refused.encoder if when == "at once" else align_zoo.load_encoder(checkpoint)
    assert {tower: path.factor for tower, path in encoder.slow_paths.items()} == load._IN_TORCH
    assert re.search("; images take about [0-9.]+ times as long", encoder.explanation)
    assert not align_zoo.load_encoder(checkpoint, runtime="torch").slow_paths


def test_one_tower_says_its_own_cost_alone(checkpoint, remembered):
    assert set(align_zoo.load_encoder(checkpoint, only="text").slow_paths) == {"text"}


def test_a_refused_layout_is_remembered_and_said(checkpoint, without_layout, wrong_layout):
    for _ in range(2):
        encoder = align_zoo.load_encoder(checkpoint)
        assert not encoder.slow_paths
        encoder.embed_pixels(PIXELS)
        assert encoder.runtime == "onnx"
        assert "images take about 1.2 times as long" in encoder.explanation
        assert "the embeddings differ from PyTorch's" in encoder.explanation
    assert len(wrong_layout) == 1


def test_refused_layout_exits_1_until_retried(
    checkpoint, without_layout, wrong_layout, monkeypatch
):
    for _ in range(2):
        done = CliRunner().invoke(app, ["export", str(checkpoint)])
        assert done.exit_code == 1
        assert "is used, but images take about 1.2 times" in done.output
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(without_layout.parents[2]))
    assert CliRunner().invoke(app, ["export", "--again", str(checkpoint)]).exit_code == 0


def test_noise_beyond_all_images_refuses_no_sound_export(tmp_path, own_cache):
    """On it this network's activations explode, and PyTorch's kernels differ by 0.1."""
    deep = {"width_coefficient": 0.5, "depth_coefficient": 2.0}
    model = MAKERS["Kaiming"](small_config(deep, projection_dim=160), 75)
    encoder = align_zoo.load_encoder(save_checkpoint(model, tmp_path / "deep"), device="cpu")
    encoder.embed_pixels(PIXELS)
    assert encoder.runtime == "onnx" and not encoder.slow_paths


def test_weights_beyond_float32_are_named(tmp_path, own_cache):
    model = MAKERS["Kaiming"](small_config(FEW_BLOCKS), 75)
    with torch.no_grad():
        model.vision_model.embeddings.batchnorm.weight.fill_(1e38)
    folder = save_checkpoint(model, tmp_path / "vast")
    with pytest.raises(align_zoo.CheckpointError, match="beyond what float32 computes"):
        align_zoo.load_encoder(folder, runtime="onnx")
