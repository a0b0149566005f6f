"""FX, TorchScript, torch.compile, torch.export and ONNX give what eager mode gives."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from timm.utils.onnx import onnx_export
from torch.export import Dim
from tries import tries

import align_zoo  # noqa: F401  registers the towers

IMAGE_NAMES = timm.list_models("align_*_image")
SHALLOW = {"align_base_image": {"depth_coefficient": 1.0}} if not tries(1, short=0) else {}
"""Every stage of base with fewer repetitions of its blocks: all 55 blocks in `long` alone."""
SIZE = 65
TEXTS = [[2, 45, 9, 77, 3, 0], [2, 46, 3, 0, 0, 0], [2, 8, 9, 10, 11, 3]]


def image_tower(name: str, **kwargs):
    torch.manual_seed(0)
    if name in SHALLOW:
        kwargs.setdefault("config", SHALLOW[name])
    return timm.create_model(name, **kwargs).eval()


def images(count: int, size: int = SIZE) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(count))


@pytest.fixture(scope="module")
def tiny_image():
    return image_tower("align_tiny_image", pretrained=True)


@pytest.fixture(scope="module")
def tiny_text():
    return timm.create_model("align_tiny_text", pretrained=True).eval()


@pytest.mark.parametrize("name", IMAGE_NAMES)
def test_fx_equals_eager_and_trains(name):
    tower = image_tower(name, num_classes=5)
    traced = torch.fx.symbolic_trace(tower)
    with torch.inference_mode():
        torch.testing.assert_close(traced(images(2)), tower(images(2)))
    traced.train()(images(2)).mean().backward()
    assert all(p.grad is not None for p in traced.parameters())


def test_fx_features_equal_the_list_of_features(tiny_image):
    fx, plain = (
        timm.create_model("align_tiny_image", pretrained=True, features_only=True, **kwargs).eval()
        for kwargs in ({"feature_cls": "fx"}, {})
    )
    with torch.inference_mode():
        for one, other in zip(fx(images(2)), plain(images(2)), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", IMAGE_NAMES)
def test_torchscript_equals_eager(name):
    tower = image_tower(name, num_classes=5)
    scripted = torch.jit.script(tower)
    with torch.inference_mode():
        torch.testing.assert_close(scripted(images(2)), tower(images(2)))


def test_compile_is_one_graph_and_equals_eager(tiny_image, tiny_text):
    image = torch.compile(tiny_image, backend="aot_eager", fullgraph=True)
    text = torch.compile(tiny_text, backend="aot_eager", fullgraph=True)
    ids = torch.tensor(TEXTS)
    with torch.no_grad():
        torch.testing.assert_close(image(images(2)), tiny_image(images(2)))
        torch.testing.assert_close(text(ids), tiny_text(ids))


def test_inductor_equals_eager():
    """The compiler that users get by default, machine code included, on one block a stage."""
    shape = {"depth_coefficient": 0.1, "out_channels": [16, 24], "in_channels": [32, 16]}
    shape |= {"strides": [1, 2], "kernel_sizes": [3, 5], "expand_ratios": [1, 6]}
    tower = image_tower("align_base_image", config={**shape, "num_block_repeats": [1, 1]})
    compiled = torch.compile(tower)
    with torch.no_grad():
        expected = tower(images(2))
        torch.testing.assert_close(compiled(images(2)), expected, rtol=1e-4, atol=1e-4)


def test_export_takes_any_batch(tiny_image):
    program = torch.export.export(
        tiny_image, (images(2),), dynamic_shapes={"x": {0: Dim("batch", min=1, max=64)}}
    )
    for count in (1, 5):
        torch.testing.assert_close(program.module()(images(count)), tiny_image(images(count)))


def test_text_tower_exports_with_any_batch_and_length(tiny_text):
    dynamic = {0: Dim("batch", min=1, max=64), 1: Dim("length", min=2, max=64)}
    ids = torch.tensor(TEXTS)
    mask = (ids != 0).long()
    program = torch.export.export(
        tiny_text,
        (ids, mask),
        dynamic_shapes={"input_ids": dynamic, "attention_mask": dynamic},
    )
    for rows, length in ((3, 6), (1, 4), (2, 3)):
        some, its = ids[:rows, :length], mask[:rows, :length]
        torch.testing.assert_close(program.module()(some, its), tiny_text(some, its))


def run_onnx(path, **inputs) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {name: x.numpy() for name, x in inputs.items()})
    return output


@pytest.mark.parametrize("name", IMAGE_NAMES)
def test_onnx_takes_any_batch(name, tmp_path):
    tower = image_tower(name)
    path = tmp_path / "image.onnx"
    torch.onnx.export(
        tower,
        (images(2),),
        path,
        input_names=["x"],
        dynamic_shapes={"x": {0: Dim("batch", min=1, max=64)}},
        dynamo=True,
        verbose=False,
    )
    for count in (1, 3):
        with torch.inference_mode():
            expected = tower(images(count)).numpy()
        np.testing.assert_allclose(run_onnx(path, x=images(count)), expected, rtol=1e-3, atol=1e-4)


def test_timms_own_onnx_export_gives_equal_answers(tiny_image, tmp_path):
    path = tmp_path / "timm.onnx"
    onnx_export(tiny_image, str(path), images(1), dynamic_size=True)
    for size in (SIZE, 48):
        with torch.inference_mode():
            expected = tiny_image(images(1, size)).numpy()
        got = run_onnx(path, input0=images(1, size))
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_onnx_text_tower_takes_any_batch_and_length(tiny_text, tmp_path):
    ids = torch.tensor(TEXTS)
    mask = (ids != 0).long()
    dynamic = {0: Dim("batch", min=1, max=64), 1: Dim("length", min=2, max=64)}
    path = tmp_path / "text.onnx"
    torch.onnx.export(
        tiny_text,
        (ids, mask),
        path,
        input_names=["input_ids", "attention_mask"],
        dynamic_shapes={"input_ids": dynamic, "attention_mask": dynamic},
        dynamo=True,
        verbose=False,
    )
    for rows, length in ((3, 6), (1, 4), (2, 3)):
        some, its = ids[:rows, :length], mask[:rows, :length]
        with torch.inference_mode():
            expected = tiny_text(some, its).numpy()
        got = run_onnx(path, input_ids=some, attention_mask=its)
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
