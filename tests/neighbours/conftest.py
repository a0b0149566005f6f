"""What tests of installation share."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from environments import environment
from install_lines import ROOT


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
