"""State of the process that other libraries change: it changes no answer, and comes back."""

from __future__ import annotations

import json
import locale
import multiprocessing
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from process_states import AT_ONCE, MATMUL, ORDINARY, TRACED, default_dtype, setting
from torch.backends import cudnn, mkldnn
from tries import tries

import align_zoo
from align_zoo.runtime.load import export_checkpoint
from align_zoo.serving.model.image import ImageService
from align_zoo.serving.model.text import TextService
from align_zoo.torch_state import as_documented

SAMPLES = Path(align_zoo.__file__).parent / "assets" / "samples"
FILES = [SAMPLES / "red-star.png", SAMPLES / "digit-3.png"]
TEXTS = ["a red star", "a photo of the digit three"]


Answers = tuple[np.ndarray, np.ndarray]
"""Unit embeddings of FILES and of TEXTS, [2, D] each."""


def embedded(image: Any, text: Any, transform: Any, tokens: Any) -> Answers:
    pixels = torch.stack([transform(Image.open(path)) for path in FILES])
    with torch.no_grad():
        rows = image(pixels), text(**tokens)
    units = (torch.nn.functional.normalize(each, dim=-1).numpy() for each in rows)
    return tuple(units)


def loaded_by_create_align() -> Callable[[], Answers]:
    """The caller's own computing comes after the state: it is the caller's to choose."""
    model, transform, tokenizer = align_zoo.create_align("align_tiny")
    assert {each.dtype for each in model.parameters()} == {torch.float32}
    assert not any(each.is_inference() for each in model.parameters())
    return partial(embedded, model.image, model.text, transform, tokenizer(TEXTS))


def created_by_timm() -> Callable[[], Answers]:
    named = {"pretrained": True, "device": "cpu", "dtype": torch.float32}
    towers = [timm.create_model(f"align_tiny_{each}", **named).eval() for each in ("image", "text")]
    _, transform, tokenizer = align_zoo.create_align("align_tiny")
    return partial(embedded, *towers, transform, tokenizer(TEXTS))


def encoded(runtime: str) -> Callable[[], Answers]:
    encoder = align_zoo.load_encoder("align_tiny", runtime=runtime, device="cpu")
    images, texts = encoder.embed_images(FILES), encoder.embed_texts(TEXTS)
    pixels = np.stack([encoder.transform.to_array(Image.open(path)) for path in FILES])
    np.testing.assert_allclose(encoder.embed_pixels(pixels), images, atol=1e-6)
    np.testing.assert_allclose(encoder.embed_texts(TEXTS[:1]), texts[:1], atol=1e-6)
    return lambda: (images, texts)


def served(runtime: str) -> Callable[[], Answers]:
    encoder = align_zoo.load_encoder("align_tiny", runtime=runtime, device="cpu")
    portions = ImageService(encoder).portions([path.read_bytes() for path in FILES])
    images = np.stack([row for portion in portions for row in portion])
    texts = np.stack(TextService(encoder).embed([text.encode() for text in TEXTS]))
    return lambda: (images, texts)


def saved(folder: Path) -> Callable[[], Answers]:
    model, transform, tokenizer = align_zoo.create_align("align_tiny")
    align_zoo.save_timm(model, folder / "timm", transform=transform, tokenizer=tokenizer)
    align_zoo.save_hf(model, folder / "hf", transform=transform, tokenizer=tokenizer)
    model, transform, tokenizer = align_zoo.create_align(folder / "hf")
    return partial(embedded, model.image, model.text, transform, tokenizer(TEXTS))


def exported(folder: Path) -> Callable[[], Answers]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        export_checkpoint("align_tiny")
        return encoded("onnx")


OPERATIONS: dict[str, Callable[[Path], Callable[[], Answers]]] = {
    "create_align": lambda _: loaded_by_create_align(),
    "timm": lambda _: created_by_timm(),
    "onnx": lambda _: encoded("onnx"),
    "torch": lambda _: encoded("torch"),
    "served onnx": lambda _: served("onnx"),
    "served torch": lambda _: served("torch"),
    "save": saved,
    "export": exported,
}
THOROUGH = bool(tries(1, short=0))
STATES = TRACED | AT_ONCE | (ORDINARY if THOROUGH else {})
EXPORTED = AT_ONCE | (TRACED if THOROUGH else {})
WRAPPED = () if THOROUGH else ("served onnx", "served torch", "save")
"""What does more than the other operations around the same loading and computing."""
CASES = [
    (state, operation)
    for state in STATES
    for operation in OPERATIONS
    if state in AT_ONCE or operation not in WRAPPED
    if state in EXPORTED or operation != "export"
]
"""Under a state by itself, what is wrapped and an export, which takes seconds, run in `long`."""


def state_of_the_process() -> dict[str, Any]:
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomalies": torch.is_anomaly_enabled(),
        "threads": torch.get_num_threads(),
        "cuDNN": (cudnn.enabled, cudnn.benchmark, cudnn.deterministic),
        "precision": [
            each.fp32_precision
            for each in (torch.backends, mkldnn, mkldnn.matmul, mkldnn.conv, cudnn, cudnn.conv)
        ],
        "seed": torch.initial_seed(),
        "numpy's random": np.random.get_state()[1].tolist(),
        "numpy's errors": np.geterr(),
        "numpy's prints": np.get_printoptions(),
        "warnings": list(warnings.filters),
        "recursion": sys.getrecursionlimit(),
        "locale": locale.setlocale(locale.LC_ALL),
        "start method": multiprocessing.get_start_method(),
        "folder": Path.cwd(),
        "environment": dict(os.environ),
    }


@cache
def expected() -> Answers:
    images, texts = loaded_by_create_align()()
    assert np.abs(images[0] - images[1]).max() > 0.05 < np.abs(texts[0] - texts[1]).max()
    return images, texts


@pytest.mark.parametrize(("state", "operation"), CASES)
def test_state_neither_changes_answers_nor_leaks(state, operation, tmp_path):
    images, texts = expected()
    with STATES[state]():
        before = state_of_the_process()
        answers = OPERATIONS[operation](tmp_path)
        assert state_of_the_process() == before
    got = answers()
    np.testing.assert_allclose(got[0], images, atol=2e-6)
    np.testing.assert_allclose(got[1], texts, atol=2e-6)


def test_towers_follow_torchs_defaults_as_timms_own_do():
    with default_dtype(torch.float64):
        names = ("align_tiny_image", "align_tiny_text", "resnet10t")
        dtypes = {next(timm.create_model(name).parameters()).dtype for name in names}
    assert dtypes == {torch.float64}


def test_encoder_loaded_under_a_state_answers_after_it():
    with default_dtype(torch.float64), torch.inference_mode():
        encoder = align_zoo.load_encoder("align_tiny", runtime="torch", device="cpu")
        encoder.embed_images(FILES[:1])
    np.testing.assert_allclose(encoder.embed_images(FILES), expected()[0], atol=2e-6)
    np.testing.assert_allclose(encoder.embed_texts(TEXTS), expected()[1], atol=2e-6)


def test_model_loaded_in_inference_mode_can_be_trained():
    with torch.inference_mode():
        model, transform, tokenizer = align_zoo.create_align("align_tiny")
    pixels = torch.stack([transform(Image.open(path)) for path in FILES])
    model(pixels, tokenizer(TEXTS), return_loss=True).loss.backward()
    assert all(each.grad is not None for each in model.parameters())


def test_relative_folder_is_found_after_chdir(tmp_path, monkeypatch):
    model, transform, tokenizer = align_zoo.create_align("align_tiny")
    align_zoo.save_hf(model, tmp_path / "here", transform=transform, tokenizer=tokenizer)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    encoder = align_zoo.load_encoder("here", runtime="onnx")
    for exported in tmp_path.rglob("text.onnx"):
        exported.write_bytes(b"damaged")  # so that the folder is read once more
    monkeypatch.chdir("/")
    np.testing.assert_allclose(encoder.embed_texts(TEXTS), expected()[1], atol=2e-6)


ASCII = r"""
import json, sys, align_zoo
assert open(sys.argv[1]).encoding.lower() not in ("utf-8", "utf8")
model, transform, tokenizer = align_zoo.create_align("align_tiny")
align_zoo.save_hf(model, sys.argv[2], transform=transform, tokenizer=tokenizer)
for runtime in ("onnx", "torch"):
    encoder = align_zoo.load_encoder(sys.argv[2], runtime=runtime, device="cpu")
    print(encoder.embed_texts(["caf\xe9 \u732b"])[0].tolist())
"""


def test_files_are_read_alike_under_an_ascii_locale(tmp_path):
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    arguments = [sys.executable, "-c", ASCII, __file__, str(tmp_path / "folder")]
    done = subprocess.run(arguments, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = align_zoo.load_encoder("align_tiny", runtime="torch").embed_texts(["caf\xe9 \u732b"])[0]
    for line in done.stdout.splitlines():
        np.testing.assert_allclose(json.loads(line), text, atol=2e-6)


def test_threads_compute_exactly_though_others_leave_before():
    """The last to leave puts back what was there before the first."""
    inside, first_left = threading.Event(), threading.Event()

    def second() -> None:
        with as_documented(torch.device("cpu")):
            inside.set()
            first_left.wait()
            seen.append(torch.get_float32_matmul_precision())

    seen: list[str] = []
    with setting(*MATMUL, "medium"):
        with as_documented(torch.device("cpu")):
            other = threading.Thread(target=second)
            other.start()
            inside.wait()
        first_left.set()
        other.join()
        assert (seen, torch.get_float32_matmul_precision()) == (["highest"], "medium")
