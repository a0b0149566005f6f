"""The runtime, the device and the threads of an encoder: chosen, or refused by name."""

from __future__ import annotations

import pytest
import torch

import align_zoo
from align_zoo.runtime import load
from align_zoo.runtime.machine import cores

ON_A_CPU = f"onnx (threads: {cores()}): the fastest on a CPU"


@pytest.mark.parametrize("threads", [0, -1, "2", 1.5])
@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_threads_are_a_whole_number_above_0(checkpoint, runtime, threads):
    with pytest.raises(align_zoo.InvalidInput, match=f"threads is {threads!r}, not a whole number"):
        align_zoo.load_encoder(checkpoint, runtime=runtime, device="cpu", threads=threads)


def test_another_runtime_is_refused(checkpoint):
    with pytest.raises(align_zoo.InvalidInput, match="'tensorrt'; there are auto, onnx, torch"):
        align_zoo.load_encoder(checkpoint, runtime="tensorrt")


def test_onnx_on_a_gpu_is_refused(checkpoint):
    with pytest.raises(align_zoo.InvalidInput, match="'onnx' runs on the CPU"):
        align_zoo.load_encoder(checkpoint, runtime="onnx", device="cuda")


def test_gpu_on_a_machine_without_gpu_is_named(checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(align_zoo.InvalidInput, match="'cuda:7': it finds no GPU"):
        align_zoo.load_encoder(checkpoint, runtime="torch", device="cuda:7")


def test_gpu_that_does_not_exist_is_named(checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(align_zoo.InvalidInput, match=r"'cuda:2': it finds cuda:0, cuda:1$"):
        align_zoo.load_encoder(checkpoint, device="cuda:2")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", torch.device("mps"), None])
def test_another_device_is_refused(checkpoint, device):
    told = f"there is no device '{device}'; there are auto, cpu, cuda"
    with pytest.raises(align_zoo.InvalidInput, match=told):
        align_zoo.load_encoder(checkpoint, device=device)


def test_gpu_that_torch_cannot_use_is_none(checkpoint, monkeypatch):
    monkeypatch.setattr(load, "_driver_sees_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert align_zoo.load_encoder(checkpoint).explanation == ON_A_CPU


@pytest.mark.parametrize("runtime", ["auto", "torch"])
def test_a_gpu_is_taken_where_there_is_one(checkpoint, monkeypatch, runtime):
    monkeypatch.setattr(load, "_driver_sees_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    encoder = align_zoo.load_encoder(checkpoint, runtime=runtime, dtype="float32")
    reason = "asked for" if runtime == "torch" else "there is a GPU"
    assert encoder.explanation == (f"torch (float32 on cuda, threads: {encoder.threads}): {reason}")
    on_cpu = align_zoo.load_encoder(checkpoint, runtime="onnx")
    assert on_cpu.explanation == f"onnx (threads: {cores()}): asked for"


@pytest.mark.parametrize(
    ("state", "count", "sees"), [(0, 1, True), (0, 0, False), (100, 1, False), (None, 1, False)]
)
def test_driver_that_starts_and_counts_sees_a_gpu(monkeypatch, state, count, sees):
    class Driver:
        def __init__(self, name: str) -> None:
            if state is None:
                raise OSError(f"{name}: cannot open shared object file")

        def cuInit(self, flags: int) -> int:
            return state

        def cuDeviceGetCount(self, pointer) -> int:
            pointer._obj.value = count
            return 0

    monkeypatch.setattr(load.ctypes, "CDLL", Driver)
    assert load._driver_sees_gpu() is sees


@pytest.mark.parametrize("device", [torch.device("cpu"), torch.device("cpu", 0)], ids=str)
def test_a_device_may_be_torchs_own_object(checkpoint, device):
    assert align_zoo.load_encoder(checkpoint, runtime="torch", device=device).device == "cpu"
    assert align_zoo.load_encoder(checkpoint, device=device).explanation == ON_A_CPU
