"""What documents and messages say to install can be installed where nothing of ours is."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from environments import environment
from install_lines import ROOT, arguments, install_lines

LINES = sorted(install_lines())


@pytest.fixture(scope="module")
def uv() -> Path:
    """It resolves as pip does, by metadata alone: a second where pip downloads gigabytes."""
    return environment("uv", ["uv==0.13.9"]).parent / "uv"


@pytest.fixture
def empty(tmp_path) -> Path:
    """The Python of an environment without a package."""
    folder = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin" / "python"


@pytest.mark.parametrize("line", LINES)
def test_each_line_can_be_resolved(uv, empty, line):
    rest = shlex.split(line.rstrip(".,:)"))[2:]
    done = subprocess.run(
        [uv, "pip", "install", "--dry-run", "--python", empty, *rest],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for argument in arguments(line):
        name = "align-client" if argument == "./client" else "align-zoo"
        assert f" + {name}" in done.stderr


def test_the_client_is_installed_by_pip_and_imports(empty, tmp_path):
    pip = [sys.executable, "-m", "pip", "--python", empty, "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "./client"], cwd=ROOT, check=True)
    code = "import align_client; align_client.AlignClient('localhost:8001').close()"
    subprocess.run([empty, "-c", code], cwd=tmp_path, check=True)
