"""Makes a Python environment for each peer, once, from its pinned requirements."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from benchmarks.peers import PeerUnavailable

__all__ = ["BUILD", "environment"]

BUILD = Path(__file__).resolve().parents[2] / "build"
"""The folder of the benchmarks' downloads and environments; git ignores it."""


def environment(name: str) -> Path:
    """Return the Python of the environment that ``benchmarks/peers/<name>.txt`` describes.

    The environment is made in ``build/peers/<name>``, and again when the requirements or our Python
    change.

    Raises:
        PeerUnavailable: the environment cannot be installed; the message has pip's last words.
    """
    requirements = Path(__file__).with_name(f"{name}.txt")
    folder = BUILD / "peers" / name
    python = folder / "bin" / "python"
    stamp = folder / "made-from"
    made_from = fingerprint(requirements.read_bytes(), sys.version)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not stamp.is_file() or stamp.read_text() != made_from:
            print(f"installing {name} into {folder} (some minutes, once) ...", flush=True)
            _make(name, folder, python, requirements)
            stamp.write_text(made_from)  # last, so that an interrupted installation does not count
    return python


def fingerprint(requirements: bytes, python_version: str) -> str:
    """Compute a hash of an environment's requirements and Python."""
    return hashlib.sha256(requirements + python_version.encode()).hexdigest()


def _make(name: str, folder: Path, python: Path, requirements: Path) -> None:
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [*pip, "install", "--quiet", "--requirement", str(requirements)],
    ):
        done = subprocess.run(command, text=True, capture_output=True)
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines()[-5:]
            raise PeerUnavailable(
                "\n".join([f"{name} cannot be installed from {requirements}:", *words])
            )
