"""What tests of installation share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from environments import environment
from install_lines import ROOT

# tests/conftest.py gives each run a cache of its own; what pip has fetched is not to be lost by it.
_CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("PIP_CACHE_DIR", str(_CACHES / "pip"))


@pytest.fixture(scope="session")
def uv() -> Path:
    """It resolves as pip does, by metadata alone: a second where pip downloads gigabytes."""
    return environment("uv", ["uv==0.13.9"]).parent / "uv"


@pytest.fixture
def empty(tmp_path) -> Path:
    """The Python of an environment without a package."""
    folder = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Path:
    """A copy of the product without what builds leave behind, links as they are."""
    skip = ("tests", "benchmarks", "docs", ".*", "build", "dist", "*.egg-info", "__pycache__")
    folder = tmp_path_factory.mktemp("checkout") / "align-zoo"
    return shutil.copytree(ROOT, folder, symlinks=True, ignore=shutil.ignore_patterns(*skip))
