"""The last release, in an environment of its own with the packages of this one."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import align_zoo

ROOT = Path(__file__).parents[2]
SAMPLES = Path(align_zoo.__file__).parent / "assets" / "samples"
BEFORE_THE_FIRST_TAG = "2480a5aa2f92265549d25ab619d2319b4b2c2ed4"
"""Stands for the last release as long as there is none: collections, but no heat maps yet."""


def last_revision() -> str:
    """Return the newest tag before the present commit."""
    command = ["git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or BEFORE_THE_FIRST_TAG


@pytest.fixture(scope="session")
def last_python(tmp_path_factory) -> Path:
    """Return the Python that imports the last release, in Triton's stub process, too."""
    folder = tmp_path_factory.mktemp("last")
    command = ["git", "archive", "--output", folder / "archive.tar", last_revision()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, f"{done.stderr}git fetch --tags --unshallow brings the history"
    source = folder / "source"
    source.mkdir()
    subprocess.run(["tar", "-xf", folder / "archive.tar", "-C", source], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    code = "import site; print(*site.getsitepackages())"
    packages = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    lines = [source, source / "client", sysconfig.get_path("purelib")]
    (Path(packages.stdout.strip()) / "last.pth").write_text("".join(f"{line}\n" for line in lines))
    return python


@pytest.fixture(scope="session")
def last_release(last_python, tmp_path_factory) -> Callable[..., Any]:
    """Run code in the last release, with ``arguments`` in sys.argv; return the JSON it prints."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run(code: str, *arguments: object) -> Any:
        command = [last_python, "-c", f"import json, sys\n{code}", *arguments]
        done = subprocess.run(
            [str(each) for each in command],
            cwd=elsewhere,
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def checkpoint(last_release, tmp_path_factory) -> Path:
    """A folder with align_tiny that both releases open: each has an align_tiny of its own."""
    folder = tmp_path_factory.mktemp("checkpoint") / "align"
    code = """
import align_zoo
model, transform, tokenizer = align_zoo.create_align("align_tiny")
align_zoo.save_hf(model, sys.argv[1], transform=transform, tokenizer=tokenizer)
print(json.dumps(align_zoo.__file__))
"""
    assert not Path(last_release(code, folder)).is_relative_to(ROOT)
    return folder
