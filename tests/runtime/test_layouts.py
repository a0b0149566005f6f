"""The image tower laid out for the processor answers as the portable graph does, or is not used."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from checkpoints import FEW_BLOCKS, lively_model, save_checkpoint, small_config
from hypothesis import given, settings
from hypothesis import strategies as st
from tries import tries

import align_zoo
from align_zoo.runtime.load import export_checkpoint
from align_zoo.runtime.onnx.nchwc import BlockedImage, layouts, open_blocked, write_check
from align_zoo.runtime.onnx.nchwc_rewrite import lay_out
from align_zoo.runtime.onnx.sessions import OnnxImage

PIXELS = np.random.default_rng(5).standard_normal((3, 3, 75, 75), dtype=np.float32)


def portable(folder: Path, pixels: np.ndarray = PIXELS) -> np.ndarray:
    return OnnxImage(folder / "image.onnx")(pixels)


def embedded(checkpoint: Path) -> np.ndarray:
    return align_zoo.load_encoder(checkpoint, runtime="onnx").embed_pixels(PIXELS)


@pytest.fixture
def layout(checkpoint, folder) -> Path:
    """The layout of an export that is the test's own."""
    embedded(checkpoint)
    (made,) = layouts(folder)
    return made


SHAPES = {
    "other activations": {"hidden_act": "gelu_new"},
    "widths that fill no block": {
        "depth_divisor": 4,
        "in_channels": [32, 12, 20],
        "out_channels": [12, 20, 316],
    },
    "no gates": {"squeeze_expansion_ratio": 0.0},
}


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES.keys())
def shape(request, tmp_path_factory) -> Path:
    """The export of an image tower of another shape."""
    model = lively_model(small_config({**FEW_BLOCKS, **request.param}), seed=4)
    return export_checkpoint(save_checkpoint(model, tmp_path_factory.mktemp("shape")))


def test_layout_of_every_shape_answers_as_the_export(shape):
    (layout,) = layouts(shape)
    np.testing.assert_allclose(BlockedImage(layout)(PIXELS), portable(shape), atol=1e-5)


def test_feature_maps_average_to_the_embedding(shape):
    (layout,) = layouts(shape)
    maps = []
    for tower in (OnnxImage(shape / "image.onnx"), BlockedImage(layout)):
        rows = tower.features(PIXELS).mean(axis=(2, 3), dtype=np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(tower(PIXELS), rows, atol=1e-6)
        maps.append(tower.features(PIXELS))
    np.testing.assert_allclose(*maps, atol=1e-5 * np.abs(maps[0]).max())


@settings(max_examples=tries(25), deadline=None)
@given(
    count=st.integers(1, 9),
    height=st.integers(33, 160),
    width=st.integers(33, 160),
    threads=st.sampled_from([None, 1, 2, 3, 8]),
    seed=st.integers(0, 2**32 - 1),
)
def test_layout_answers_as_the_portable_export(exported, count, height, width, threads, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 3, height, width), dtype=np.float32)
    (layout,) = layouts(exported)
    got = BlockedImage(layout, threads)(x)
    np.testing.assert_allclose(got, portable(exported, x), atol=1e-5)


def test_gates_and_residuals_stay_in_the_layout(layout):
    operators = [node.op_type for node in onnx.load(layout / "image.onnx").graph.node]
    assert "Mul" not in operators
    assert "ReorderInput" not in operators
    assert "Add" not in operators


def test_the_next_start_needs_nothing_but_the_layout(checkpoint, folder, layout):
    expected = portable(folder)
    (folder / "image.onnx").unlink()
    code = (
        "import sys, numpy, align_zoo\n"
        "encoder = align_zoo.load_encoder(sys.argv[1], runtime='onnx')\n"
        "numpy.save(sys.argv[3], encoder.embed_pixels(numpy.load(sys.argv[2])))\n"
        "assert not {'onnx', 'onnx_ir', 'torch'} & set(sys.modules)"
    )
    given, answered = folder / "pixels.npy", folder / "answers.npy"
    np.save(given, PIXELS)
    subprocess.run([sys.executable, "-c", code, checkpoint, given, answered], check=True)
    np.testing.assert_allclose(np.load(answered), expected, atol=1e-5)


def tamper(layout: Path) -> None:
    """Give the layout's graph another answer: its stem's padding on the other sides."""
    graph = onnx.load(layout / "image.onnx", load_external_data=False)
    stem = next(node for node in graph.graph.node if node.op_type == "Conv")
    pads = next(attribute for attribute in stem.attribute if attribute.name == "pads")
    pads.ints[:] = reversed(pads.ints)
    onnx.save(graph, layout / "image.onnx")
    write_check(layout, layout.parent / "references.npz")


def flip_a_bit(layout: Path) -> None:
    content = bytearray((layout / "image.weights").read_bytes())
    content[len(content) // 2] ^= 1
    (layout / "image.weights").write_bytes(content)


DAMAGES = {
    "one bit of the weights": flip_a_bit,
    "no weights": lambda layout: (layout / "image.weights").unlink(),
    "another graph": lambda layout: (layout / "image.onnx").write_bytes(b"rubbish"),
    "no check": lambda layout: (layout / "check.json").unlink(),
    "half a check": lambda layout: (layout / "check.json").write_text('{"sha256": {}}'),
    "for a processor that answers otherwise": tamper,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_unusable_layout_is_made_again(checkpoint, folder, layout, damage):
    damage(layout)
    with pytest.raises(align_zoo.CheckpointError, match=layout.name):
        open_blocked(layout)
    np.testing.assert_allclose(embedded(checkpoint), portable(folder), atol=1e-5)
    assert layouts(folder) == [layout]
    open_blocked(layout)


def test_layout_of_another_onnxruntime_is_left_alone(checkpoint, folder, layout):
    version = onnxruntime.__version__
    other = layout.rename(layout.with_name(layout.name.replace(version, "1.2.3")))
    embedded(checkpoint)
    assert other.exists()
    assert layouts(folder) == [layout]


def test_layout_of_another_processor_is_left_alone(checkpoint, folder, layout):
    other = layout.with_name(layout.name + "0")
    shutil.copytree(layout, other)
    tamper(other)
    shutil.rmtree(layout)
    np.testing.assert_allclose(embedded(checkpoint), portable(folder), atol=1e-5)
    assert layouts(folder) == [layout, other]


def test_unknown_processor_runs_the_portable_export(
    checkpoint, without_layout, monkeypatch, caplog
):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    np.testing.assert_allclose(embedded(checkpoint), portable(without_layout), atol=1e-5)
    assert layouts(without_layout) == []
    assert "no layout in blocks is known for riscv64" in caplog.text


def test_layout_with_other_answers_runs_the_portable_export(
    checkpoint, without_layout, wrong_layout, caplog
):
    np.testing.assert_allclose(embedded(checkpoint), portable(without_layout), atol=1e-5)
    assert [each.name for each in without_layout.iterdir() if each.is_dir()] == []
    assert "the embeddings differ from PyTorch's by" in caplog.text


def test_failed_layout_runs_the_portable_export(checkpoint, without_layout, monkeypatch, caplog):
    def unknown(*args, **kwargs):
        raise RuntimeError("ReorderInput is not a registered operator")

    monkeypatch.setattr("align_zoo.runtime.onnx.nchwc_rewrite._block", unknown)
    np.testing.assert_allclose(embedded(checkpoint), portable(without_layout), atol=1e-5)
    assert "ReorderInput is not a registered operator" in caplog.text


def test_missing_export_packages_run_the_portable_export(
    checkpoint, without_layout, monkeypatch, caplog
):
    monkeypatch.delitem(sys.modules, "align_zoo.runtime.onnx.nchwc_rewrite", raising=False)
    monkeypatch.setitem(sys.modules, "onnx_ir", None)
    np.testing.assert_allclose(embedded(checkpoint), portable(without_layout), atol=1e-5)
    assert "onnx_ir" in caplog.text


def test_simultaneous_starts_make_one_layout(checkpoint, without_layout, monkeypatch):
    begun, second = [], threading.Event()

    def watched(*args):
        begun.append(args)
        if len(begun) > 1:
            second.set()
        second.wait(1)  # who comes now without waiting for the first is seen
        return lay_out(*args)

    monkeypatch.setattr("align_zoo.runtime.onnx.nchwc_rewrite.lay_out", watched)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(embedded, [checkpoint] * 2)
    assert len(begun) == len(layouts(without_layout)) == 1
    np.testing.assert_array_equal(one, other)


def test_leftovers_of_a_killed_process_are_removed(checkpoint, without_layout):
    left = without_layout / ".draft-killed"
    left.mkdir()
    (left / "one.onnx").write_bytes(b"half")
    embedded(checkpoint)
    assert not left.exists()
    assert len(layouts(without_layout)) == 1


def test_unwritable_layout_runs_the_portable_export(
    checkpoint, without_layout, monkeypatch, caplog
):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("align_zoo.runtime.onnx.nchwc_rewrite.tempfile.mkdtemp", refuse)
    np.testing.assert_allclose(embedded(checkpoint), portable(without_layout), atol=1e-5)
    assert f"{without_layout} cannot be written" in caplog.text
