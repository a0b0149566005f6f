"""Environments of other versions and of neighbours: their own packages, our torch below them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

__all__ = ["ADAPTERS", "SCRIPTS", "adapter", "environment", "pins", "run"]

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests" / "neighbours" / "scripts"
_FOLDER = ROOT / "build" / "neighbours"
_PINS = ROOT / "tests" / "integrations" / "pins"
ADAPTERS = sorted(path.stem for path in _PINS.glob("*.txt"))
"""The extras whose packages are in no other environment; release/ lists them, too."""


# tests/conftest.py gives each run a cache of its own; what pip has fetched is not to be lost by it.
_CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("PIP_CACHE_DIR", str(_CACHES / "pip"))


def environment(name: str, pins: Sequence[str], *, ours: bool = False) -> Path:
    """The Python of the environment ``build/neighbours/NAME``, made if the pins have changed.

    The pins are installed without their dependencies. What they do not replace (torch, numpy,
    Pillow) comes from the environment that runs the tests, so that seconds are enough.

    Args:
        name: the folder's name.
        pins: requirements with exact versions.
        ours: whether align-zoo and align-client can be imported, from this checkout.
    """
    folder = _FOLDER / name
    python, made = folder / "bin" / "python", folder / "pins.json"
    below = [sysconfig.get_path("purelib"), *([str(ROOT), str(ROOT / "client")] if ours else [])]
    wanted = json.dumps([sys.executable, *below, *pins])
    _FOLDER.mkdir(parents=True, exist_ok=True)
    # CI runs the tests of neighbours and of adapters at once, and both ask for some of them.
    with FileLock(_FOLDER / f"{name}.lock"):
        if not made.is_file() or made.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            _call(sys.executable, "-m", "venv", "--without-pip", folder)
            code = "import site; print(*site.getsitepackages())"
            packages = Path(_call(python, "-c", code).strip())
            # Read after the environment's own packages, which therefore go before.
            (packages / "below.pth").write_text("\n".join(below) + "\n")
            pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
            _call(*pip, "--no-deps", "--ignore-installed", "--disable-pip-version-check", *pins)
            made.write_text(wanted)
    return python


def adapter(extra: str) -> Path:
    """The Python of the environment in which the adapter of one of ``ADAPTERS`` is tried."""
    return environment(extra, pins(extra), ours=True)


def pins(extra: str) -> list[str]:
    """The packages of that environment, which are those that only this extra needs."""
    lines = (_PINS / f"{extra}.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def run(python: Path, script: str, *arguments: object) -> Any:
    """What a script of ``SCRIPTS`` prints as JSON on its last line; no hub can be reached."""
    output = _call(python, SCRIPTS / script, *arguments, timeout=300)
    return json.loads(output.splitlines()[-1])


def _call(*command: object, timeout: float = 600) -> str:
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [str(each) for each in command], env=env, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout
