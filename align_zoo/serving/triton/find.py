"""Finding a tritonserver: on PATH, as in NVIDIA's container, or in the server extra's wheel."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from align_zoo.errors import AlignZooError, to_install

__all__ = ["TritonServer", "Wheel", "find_tritonserver"]


@dataclass(frozen=True)
class Wheel:
    """An installed nvidia-pytriton, which carries the server and stubs for several Pythons."""

    root: Path
    """Its ``tritonserver`` folder: ``bin``, ``backends``, ``python_backend_stubs``."""
    version: str


@dataclass(frozen=True)
class TritonServer:
    """A server that can be started."""

    binary: Path
    wheel: Wheel | None = None
    """Where it comes from; None for one on PATH, which knows where its backends are."""


def find_tritonserver() -> TritonServer:
    """The server on PATH, or else the wheel's.

    Raises:
        AlignZooError: there is none; the message says how to get one.
    """
    on_path = shutil.which("tritonserver")
    if on_path:
        return TritonServer(Path(on_path))
    wheel = _find_wheel()
    if wheel:
        return TritonServer(wheel.root / "bin" / "tritonserver", wheel)
    raise AlignZooError(
        "no tritonserver: there is none on PATH, and nvidia-pytriton, which carries one, is not "
        f"installed: {to_install('.[server]')}, or work in NVIDIA's Triton container"
    )


def _find_wheel() -> Wheel | None:
    # find_spec, not import: importing pytriton pulls in half of its dependencies.
    spec = importlib.util.find_spec("pytriton")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        root = Path(location) / "tritonserver"
        if (root / "bin" / "tritonserver").is_file():
            return Wheel(root, importlib.metadata.version("nvidia-pytriton"))
    return None
