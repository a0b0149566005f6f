"""What documents and messages say to install can be installed where nothing of ours is."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from install_lines import ROOT, arguments, install_lines
from served import starts_server
from service import running_service

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


@pytest.fixture(scope="module")
def clean(uv, checkout, tmp_path_factory) -> Iterator[Path]:
    """The ``bin`` of an environment by `pip install '.[server]'` alone: 6 GB."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    install(uv, folder / "bin", checkout, "pip install '.[server]'")
    yield folder / "bin"
    shutil.rmtree(folder)


def install(uv: Path, programs: Path, checkout: Path, line: str) -> None:
    """Run a line of the documents by uv, which takes a quarter of pip's time."""
    assert line in LINES
    _, verb, *rest = shlex.split(line)
    command = [uv, "pip", verb, "--quiet", "--python", programs / "python", *rest]
    env = {**os.environ, "UV_CACHE_DIR": str(programs / "cache")}
    subprocess.run(command, cwd=checkout, env=env, check=True)


@pytest.fixture
@starts_server
def service(clean, tmp_path):
    """What this environment's `align-zoo serve` serves."""
    with running_service("align_tiny", tmp_path / "log", program=clean / "align-zoo") as running:
        python = Path(f"/proc/{running.process.pid}/cmdline").read_bytes().split(b"\0")[0]
        assert Path(python.decode()).parent == clean
        yield running


def test_the_service_installed_alone_answers(service):
    tensor = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": ["a red star"]}
    asked = json.dumps({"inputs": [tensor], "outputs": [{"name": "EMBEDDING"}]}).encode()
    url = f"{service.http}/v2/models/align_text/infer"
    with urllib.request.urlopen(url, data=asked, timeout=30) as answer:
        (output,) = json.load(answer)["outputs"]
    assert sum(x * x for x in output["data"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.served
def test_the_client_installed_beside_it_asks_it(uv, clean, checkout, tmp_path):
    install(uv, clean, checkout, "pip install '.[server]' ./client")
    code = "import sys, align_client; client = align_client.AlignClient(sys.argv[1]); "
    code += "print(client.classify(sys.argv[2], ['red star', 'digit 3'])[0].label)"
    sample = ROOT / "align_zoo" / "assets" / "samples" / "red-star.png"
    with running_service("align_tiny", tmp_path / "log", program=clean / "align-zoo") as service:
        command = [clean / "python", "-c", code, service.url, sample]
        said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert said.stdout == "red star\n"


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
