"""What documents and messages say to install can be installed where nothing of ours is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from install_lines import ROOT, arguments, install_lines

LINES = sorted(install_lines())


DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


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


@pytest.fixture
def image(tmp_path) -> Path:
    """A folder with what the Dockerfile copies, and nothing else of the checkout."""
    for sources, target in re.findall(r"^COPY (.*) (\S+)$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            place = tmp_path / target.strip("/")
            place.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(
                    ROOT / source, place, symlinks=True, dirs_exist_ok=True, ignore=skip
                )
            else:
                shutil.copy(ROOT / source, place)
    return tmp_path


def test_the_images_environment_is_made_without_ensurepip(image):
    """With the pip of the Python below, as in NVIDIA's image."""
    (make,) = re.findall(r"python3 (-m venv .* /opt/align-zoo) ", DOCKERFILE)
    below = Path(sys.base_prefix) / "bin" / "python3"
    arguments = shlex.split(make.replace("/opt", f"{image}/opt"))
    without = "import sys, runpy; sys.modules['ensurepip'] = None; sys.argv = sys.argv[1:]; "
    code = f"{without}runpy.run_module('venv', run_name='__main__')"
    subprocess.run([below, "-c", code, *arguments[1:]], check=True)
    python = image / "opt" / "align-zoo" / "bin" / "python"
    pip = subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True)
    assert pip.stdout.startswith(b"pip ")


def test_image_requirements_resolve_on_its_python(uv, empty, image):
    """Of what is copied, at the pinned versions; 26.09 has Python 3.12."""
    (install,) = re.findall(r"pip install --no-cache-dir (.*) \\", DOCKERFILE)
    wanted = shlex.split(install.replace("/src", f"{image}/src"))
    options = ["--python", empty, "--python-version", "3.12"]
    done = subprocess.run(
        [uv, "pip", "install", "--dry-run", *options, *wanted],
        env={**os.environ, "UV_CONSTRAINT": str(image / "src" / "constraints.txt")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert " + align-zoo" in done.stderr and " + aiohttp==" in done.stderr
    assert "nvidia-pytriton" not in done.stderr
