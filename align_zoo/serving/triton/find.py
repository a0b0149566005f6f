"""Find a tritonserver: on PATH, as in NVIDIA's container, or in the server extra's wheel.

The wheel's server needs two things to run our Python: a backend folder and an environment.
"""

from __future__ import annotations

import ctypes.util
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from align_zoo.checkpoint.paths import user_cache
from align_zoo.errors import AlignZooError, to_install

__all__ = ["TritonServer", "Wheel", "backend_folder", "find_tritonserver", "python_environment"]

_STUB = "triton_python_backend_stub"


@dataclass(frozen=True)
class Wheel:
    """An installed nvidia-pytriton, which carries the server and stubs for several Pythons."""

    root: Path
    """The wheel's ``tritonserver`` folder: ``bin``, ``backends``, ``python_backend_stubs``."""
    version: str


@dataclass(frozen=True)
class TritonServer:
    """An installed server that can be started.

    >>> find_tritonserver().binary
    PosixPath('/opt/tritonserver/bin/tritonserver')
    """

    binary: Path
    wheel: Wheel | None = None
    """The server's wheel; None for a server on PATH, which finds its backends by itself."""


def find_tritonserver() -> TritonServer:
    """Return the server on PATH, or else the wheel's.

    Raises:
        AlignZooError: no server is found; the message says how to install one.
    """
    on_path = shutil.which("tritonserver")
    if on_path:
        return TritonServer(Path(on_path))
    wheel = _find_wheel()
    if wheel:
        return TritonServer(wheel.root / "bin" / "tritonserver", wheel)
    raise AlignZooError(
        "no tritonserver: there is none on PATH, and nvidia-pytriton, which carries one, is not "
        f"installed: {to_install('.[server]')} with Python 3.11 or 3.12, or work in NVIDIA's "
        "Triton container"
    )


def _find_wheel() -> Wheel | None:
    # find_spec, not import: importing pytriton pulls in half of its dependencies.
    spec = importlib.util.find_spec("pytriton")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        root = Path(location) / "tritonserver"
        if (root / "bin" / "tritonserver").is_file():
            return Wheel(root, importlib.metadata.version("nvidia-pytriton"))
    return None


def backend_folder(wheel: Wheel, cache: Path | None = None) -> Path:
    """Return a ``--backend-directory`` of links into the wheel, with the running Python's stub.

    Triton wants the stub beside the backend's library. Another program may own site-packages,
    so the folder is in the user's cache (``XDG_CACHE_HOME``): the first call creates the folder,
    and later calls find it.

    Raises:
        AlignZooError: the wheel has no stub for this Python, or the cache cannot be written.
    """
    version = _python_version()
    stub = wheel.root / "python_backend_stubs" / version / _STUB
    if not stub.is_file():
        raise AlignZooError(
            f"nvidia-pytriton {wheel.version} has no Python backend for Python {version}; "
            "use Python 3.11 or 3.12"
        )
    # The name contains the path, too: links into one environment's wheel must not serve another's.
    place = hashlib.sha256(str(wheel.root).encode()).hexdigest()[:8]
    parent = (cache or user_cache()) / "backends"
    folder = parent / f"{wheel.version}-python{version}-{place}"
    try:
        if not folder.exists():
            _link(wheel, stub, folder)
    except OSError as error:
        raise AlignZooError(
            f"{parent} cannot be written ({error.strerror}); set XDG_CACHE_HOME to another folder"
        ) from error
    return folder


def _link(wheel: Wheel, stub: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".draft-"))
    python = draft / "python"
    python.mkdir()
    for file in (wheel.root / "backends" / "python").iterdir():
        if file.is_file() and file.name != _STUB:
            (python / file.name).symlink_to(file)
    (python / _STUB).symlink_to(stub)
    try:
        # Whole or not at all: another server may start at the same moment.
        draft.rename(folder)
    except OSError:
        shutil.rmtree(draft)
        if not folder.exists():
            raise


def python_environment(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return ``env`` with the variables that make the stub the running Python with its packages.

    The stub embeds libpython and finds its packages as a ``python3`` on PATH would. The stub
    ignores PYTHONPATH and a virtual environment's activation.

    Raises:
        AlignZooError: this Python has no shared libpython.
    """
    programs = env.get("PATH") or os.defpath
    changed = {**env, "PATH": os.pathsep.join([str(Path(sys.executable).parent), programs])}
    library = f"libpython{_python_version()}.so.1.0"
    folder = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    if (folder / library).is_file():
        others = [env["LD_LIBRARY_PATH"]] if env.get("LD_LIBRARY_PATH") else []
        changed["LD_LIBRARY_PATH"] = os.pathsep.join([str(folder), *others])
    elif not ctypes.util.find_library(f"python{_python_version()}"):
        raise AlignZooError(
            f"{library} is missing: Triton's Python backend needs a Python with a shared library. "
            f"Install your system's libpython{_python_version()} package"
        )
    return changed


def _python_version() -> str:
    return ".".join(platform.python_version_tuple()[:2])
