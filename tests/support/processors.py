"""The kinds of processor that this machine can be: its own, and one without AVX-512."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["KINDS", "as_processor"]

_SHIM = Path(__file__).with_name("without_avx512.c")
_flags = set(Path("/proc/cpuinfo").read_text().split())

KINDS = ["its own"]
"""Of each, ONNX Runtime lays maps out in blocks of another size: 16 channels with AVX-512, or 8."""
if "avx512f" in _flags and "cpuid_fault" in _flags and shutil.which("cc"):
    KINDS.append("without AVX-512")


def as_processor(kind: str, scratch: Path) -> Mapping[str, str]:
    """The environment in which a program runs on a processor of this kind."""
    if kind == "its own":
        return os.environ
    return {**os.environ, "LD_PRELOAD": str(_compiled(scratch))}


@cache
def _compiled(scratch: Path) -> Path:
    library = scratch / "without_avx512.so"
    command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(_SHIM)]
    subprocess.run(command, check=True)
    return library
