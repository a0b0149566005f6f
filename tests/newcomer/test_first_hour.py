"""The uses of docs/first-hour.md, as a newcomer runs them: the page's own commands, a clean clone.

`make test-newcomer` runs this file by itself. The clone is of the present commit: what is not
committed is not tried. Its environment is made by `make setup`, above the packages of the
environment that runs the tests, so that a minute is enough; .ci/run makes one from nothing.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from service import until

from align_zoo.serving.triton.command import ServeOptions

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "first-hour.md").read_text(encoding="utf-8")
READY = "align-zoo: ready on"
PORTS = ServeOptions().on_free_ports()


def uses() -> dict[str, list[tuple[str, str]]]:
    """Return the commands of each use by its heading: pairs of language and text."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)[1:]
    return {
        heading: re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }


INSTALL = uses()["Install"]


def environment() -> dict[str, str]:
    """Return a newcomer's: programs of the environment that runs the tests are not on PATH."""
    ours = f"{Path(sys.executable).parent}{os.pathsep}"
    left_out = ("PYTHONPATH", "MAKEFLAGS")  # a make that runs the tests is not a newcomer's
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "PATH": kept["PATH"].replace(ours, ""), "HF_HUB_OFFLINE": "1"}


def shell(command: str, folder: Path) -> str:
    """Run a command in a new terminal; return what it prints on stdout."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A clean clone after the page's installation."""
    folder = tmp_path_factory.mktemp("installed") / "align-zoo"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    (packages,) = folder.glob(".venv/lib/python*/site-packages")
    (packages / "below.pth").write_text(sysconfig.get_path("purelib") + "\n")
    ((_, command),) = INSTALL
    shell(command, folder)
    return folder


@pytest.fixture
def clone(installed, tmp_path) -> Path:
    """A clean clone with the environment of the installed one."""
    folder = tmp_path / "align-zoo"
    subprocess.run(["git", "clone", "--quiet", installed, folder], check=True)
    (folder / ".venv").symlink_to(installed / ".venv")
    return folder


@pytest.fixture
def use(clone) -> Iterator[Callable[[str], list[str]]]:
    """Run all commands of a use; return what each prints. A service runs until the test ends."""
    services = []

    def run(heading: str) -> list[str]:
        printed = []
        for language, text in uses()[heading]:
            command = text.replace("localhost:8001", f"localhost:{PORTS.grpc_port}")
            if language == "python":
                (clone / "pasted.py").write_text(command)
                command = "python pasted.py"
            if command.startswith("align-zoo serve"):
                services.append(serve(command, clone))
            elif services:  # a second terminal
                printed.append(shell(command, clone))
            else:
                printed.append(shell(f"source .venv/bin/activate; {command}", clone))
        return printed

    yield run
    for service in services:
        service.send_signal(signal.SIGTERM)
        assert service.wait(90) == 0


def serve(command: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a service on free ports; return it after the line that the page names."""
    ports = f"--grpc-port={PORTS.grpc_port} --http-port={PORTS.http_port}"
    ports += f" --metrics-port={PORTS.metrics_port}"
    log = folder / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", f"source .venv/bin/activate; exec {command.strip()} {ports}"],
            cwd=folder,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    until(lambda: process.poll() is not None or READY in log.read_text(), 300, READY)
    assert process.poll() is None, log.read_text()
    return process


def test_each_use_takes_at_most_five_commands():
    assert READY in PAGE
    assert len(uses()) == 7
    for heading, commands in uses().items():
        assert len({*INSTALL, *commands}) <= 5, heading


def test_folder_is_classified(use):
    (answers,) = use("Classify a folder")
    star = next(line for line in answers.splitlines() if "red-star.png" in line)
    assert '"red star"' in star
    assert len(answers.splitlines()) == 11


def test_folder_is_indexed_and_searched(use, clone):
    _, found = use("Index and search a folder")
    assert "red-star.png" in found.splitlines()[0]
    assert (clone / "found.png").is_file()


@pytest.mark.served
def test_client_alone_asks_by_tls_and_token(use, clone):
    *_, answer = use("Serve with TLS and a token")
    assert answer.startswith("[Prediction(label='red star', score=0.9")
    assert not list(clone.glob("asker/lib/python*/site-packages/align_zoo*"))


@pytest.mark.served
def test_finetuned_model_is_served(use, clone):
    *_, answer = use("Fine-tune and serve the result")
    assert '"red star"' in answer
    assert re.search("loading .*finetuned", (clone / "service.log").read_text())


def test_baked_classifier_runs_by_timm(use):
    assert use("Bake a classifier for timm")[-1] == "red star\n"


def test_detector_on_the_backbone_trains(use):
    (losses,) = use("A backbone for a detector")
    assert losses.count("loss_") == 4


def test_every_use_has_a_test():
    tests = Path(__file__).read_text(encoding="utf-8")
    assert all(f'("{heading}")' in tests for heading in uses() if heading != "Install")
