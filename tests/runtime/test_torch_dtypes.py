"""The torch runtime in half precision is the model's, nearly; the choice is checked and told."""

from __future__ import annotations

import logging
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

import align_zoo
from align_zoo.runtime.torch.encoder import _fastest_dtype
from align_zoo.runtime.torch.towers import TorchImage, TorchText
from align_zoo.serving.model.settings import ServingSettings
from align_zoo.serving.triton.command import ServeOptions, environment
from align_zoo.serving.triton.find import TritonServer

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
TEXTS = ["cat", "a photo of a big red bus", "dog", "the cat, " * 40]


@pytest.fixture(scope="module")
def model(checkpoint) -> align_zoo.Align:
    return align_zoo.create_align(checkpoint)[0]


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    assert a.dtype == b.dtype == np.float32
    for rows in (a, b):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    return (a * b).sum(1)


@pytest.mark.parametrize("captured", [False, True], ids=["as they come", "captured"])
# Random weights amplify what bfloat16's 8 bits round away; trained ones are tested below.
@pytest.mark.parametrize(("dtype", "least"), [(torch.bfloat16, 0.999), (torch.float16, 0.9999)])
def test_images_in_half_precision_are_near(model, dtype, least, captured):
    pixels = np.random.default_rng(1).standard_normal((6, 3, 128, 128), dtype=np.float32)
    shapes = {"sizes": (1, 4), "image_size": (128, 128)} if captured else {}
    got = TorchImage(deepcopy(model.image), "cpu", dtype, **shapes)(pixels)
    near = cosines(got, TorchImage(deepcopy(model.image))(pixels))
    assert near.min() >= least
    assert near.min() < 1 - 1e-7  # in float32 it would not be tested


@pytest.mark.parametrize("dtype", HALVES.values(), ids=HALVES)
def test_the_last_map_becomes_a_vector_in_float32(model, dtype):
    pool, dtypes = type(model.image.global_pool), []

    def note(module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        if isinstance(module, pool):
            dtypes.append(output.dtype)

    tower = TorchImage(deepcopy(model.image), "meta", dtype)
    hook = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        tower.batches.function(torch.empty(1, 3, 75, 75, device="meta"))
    finally:
        hook.remove()
    assert dtypes == [torch.float32]


@pytest.mark.parametrize("dtype", HALVES)
def test_trained_towers_in_half_precision_are_near(dtype):
    images = sorted((Path(align_zoo.__file__).parent / "assets/samples").glob("*.png"))
    half, full = (
        align_zoo.load_encoder("align_tiny", runtime="torch", device="cpu", dtype=each)
        for each in (dtype, "float32")
    )
    assert cosines(half.embed_images(images), full.embed_images(images)).min() >= 0.9995
    assert cosines(half.embed_texts(TEXTS), full.embed_texts(TEXTS)).min() >= 0.9995


@pytest.mark.parametrize("captured", [False, True], ids=["as they come", "captured"])
@pytest.mark.parametrize("dtype", HALVES.values(), ids=HALVES)
@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
def test_texts_in_half_precision_are_near(model, dtype, captured, padded):
    rng = np.random.default_rng(2)
    ids = rng.integers(0, 200, (6, 20))
    mask = np.ones_like(ids)
    if padded:  # down to a single token
        mask[:] = np.arange(20) < np.array([[1], [2], [5], [10], [19], [20]])
    shapes = {"sizes": (1, 4), "lengths": (8, 32)} if captured else {}
    got = TorchText(deepcopy(model.text), "cpu", dtype, **shapes)(ids, mask)
    near = cosines(got, TorchText(deepcopy(model.text))(ids, mask))
    assert near.min() >= 0.9995
    assert near.min() < 1 - 1e-7


def test_masked_tokens_change_nothing_in_half_precision(model):
    ids = np.random.default_rng(3).integers(0, 200, (3, 12))
    mask = np.ones_like(ids)
    mask[:, 4:] = 0
    for dtype in HALVES.values():
        tower = TorchText(deepcopy(model.text), "cpu", dtype)
        other = np.where(mask, ids, 17)
        np.testing.assert_array_equal(tower(ids, mask), tower(other, mask))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("runtime", ["torch", "auto"])
def test_an_encoder_in_half_precision_says_so(checkpoint, runtime, dtype, caplog):
    caplog.set_level(logging.INFO)
    encoder = align_zoo.load_encoder(checkpoint, runtime=runtime, device="cpu", dtype=dtype)
    reason = "asked for" if runtime == "torch" else f"{dtype} was asked for"
    threads = f"threads: {torch.get_num_threads()}"
    assert encoder.explanation == f"torch ({dtype} on cpu, {threads}): {reason}"
    assert encoder.explanation in caplog.text
    full = align_zoo.load_encoder(checkpoint, runtime="torch", device="cpu")
    assert full.explanation == f"torch (float32 on cpu, {threads}): asked for"
    near = cosines(encoder.embed_texts(TEXTS), full.embed_texts(TEXTS))
    assert 0.9995 <= near.min() < 1 - 1e-7


def test_float32_is_what_onnx_computes_in(checkpoint):
    encoder = align_zoo.load_encoder(checkpoint, runtime="onnx", dtype="float32")
    assert encoder.runtime == "onnx"
    with pytest.raises(align_zoo.InvalidInput, match=r"'onnx' .* not in 'float16'; use .*'torch'"):
        align_zoo.load_encoder(checkpoint, runtime="onnx", dtype="float16")


def test_another_dtype_is_refused(checkpoint):
    with pytest.raises(align_zoo.InvalidInput, match="'int8'; there are auto, float32, bfloat16"):
        align_zoo.load_encoder(checkpoint, dtype="int8")


@pytest.mark.parametrize(
    ("device", "capability", "dtype"),
    [
        ("cpu", None, "float32"),
        ("cuda", (9, 0), "bfloat16"),
        ("cuda:1", (8, 0), "bfloat16"),
        ("cuda", (7, 5), "float16"),
    ],
)
def test_the_fastest_dtype_is_the_devices(device, capability, dtype, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda asked: capability)
    assert _fastest_dtype(device) == dtype


def test_served_model_reads_its_dtype_from_the_environment():
    assert ServingSettings.from_env({"ALIGN_ZOO_DTYPE": "float16"}).dtype == "float16"
    assert ServingSettings.from_env({"ALIGN_ZOO_DTYPE": ""}).dtype == "auto"


def test_serve_hands_the_dtype_to_its_models(tmp_path):
    server = TritonServer(tmp_path / "tritonserver")
    env = environment(server, ServeOptions(dtype="bfloat16"), {"ALIGN_ZOO_DTYPE": "float16"})
    assert ServingSettings.from_env(env).dtype == "bfloat16"
