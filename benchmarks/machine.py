"""Describes the machine of the figures, and measures its best arithmetic."""

from __future__ import annotations

import os
import platform
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from align_zoo.runtime.machine import cores

__all__ = ["Sgemm", "image_gflop", "machine"]

_PACKAGES = ("torch", "transformers", "timm", "onnxruntime", "tritonclient", "nvidia-pytriton")


def machine() -> dict[str, Any]:
    """Describe processor, cores, memory, system, versions and load."""
    return {
        "date": date.today().isoformat(),
        "cpu": _of("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": cores(),
        "avx512": "avx512f" in (_of("/proc/cpuinfo", "flags") or ""),
        "memory": _of("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load before": os.getloadavg()[0],
        **{name: _version(name) for name in _PACKAGES},
    }


class Sgemm:
    """A square float32 matrix product, the upper bound of compute-bound inference."""

    def __init__(self, side: int = 2048) -> None:
        import torch

        generator = torch.Generator().manual_seed(0)
        self._a, self._b = (torch.randn(side, side, generator=generator) for _ in range(2))
        self._multiply = torch.mm
        self._flop = 2 * side**3

    def gflops(self, repeats: int = 4) -> float:
        """Measure the billions of operations a second now."""
        start = time.perf_counter()
        for _ in range(repeats):
            self._multiply(self._a, self._b)
        return repeats * self._flop / (time.perf_counter() - start) / 1e9


def image_gflop(folder: Path) -> float:
    """Count the operations of the image tower for one image, in billions."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    import align_zoo

    model, transform, _ = align_zoo.create_align(folder)
    height, width = transform.input_size or (289, 289)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.image(torch.from_numpy(np.zeros((1, 3, height, width), np.float32)))
    return counter.get_total_flops() / 1e9


def _of(file: str, field: str) -> str | None:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return line.partition(":")[2].strip()
    return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
