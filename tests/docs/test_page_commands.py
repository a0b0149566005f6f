"""The commands of the pages run as written, where a folder has what the pages name.

align_emoji stands for the real weights, in a cache of the hub. Addresses, ports and /tmp are the
test's own, the device is a CPU, and each measurement is short.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from code_blocks import PAGES, ROOT, SHELL_ELSEWHERE, commands, runs_as_written
from huggingface_hub import constants
from PIL import Image
from served import starts_server
from service import running_service, until
from typer.testing import CliRunner

from align_zoo.checkpoint.folder import EMBEDDED
from align_zoo.cli import app
from align_zoo.serving.triton.command import ServeOptions

EMOJI = ROOT / "align_zoo" / "assets" / "emoji"
SERVICES = {"bench", "probe", "reload", "serve", "web"}
MAKES = ("--out", "--sheet")
SHOWN = re.compile("align-zoo: (ready on|the page is at)")


def pages(*, services: bool) -> dict[str, list[list[str]]]:
    """Return the commands of each page that start or ask a service, or the others."""
    found = {
        page: [
            words
            for words in commands(text)
            if runs_as_written(words) and (words[1] in SERVICES) == services
        ]
        for page, text in PAGES.items()
        if page not in SHELL_ELSEWHERE
    }
    return {page: lines for page, lines in found.items() if lines}


FOLDERS = pages(services=False)
SERVED = pages(services=True)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working directory: images, tables and a hub's cache, as the pages assume them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BROWSER", "true")
    images = {name: EMOJI / f"{name}.png" for name in ("cat", "dog", "beach-with-umbrella")}
    for name in ("home/Pictures", "photos", "val2017", "images/cat", "images/dog", "drawn"):
        Path(name).mkdir(parents=True)
        for path in images.values():
            shutil.copy(path, name)
    Image.open(images["dog"]).convert("RGB").save("dog.jpg")
    Image.open(images["beach-with-umbrella"]).resize((1200, 900)).save("home/Pictures/wide.png")
    shutil.copy("home/Pictures/cat.png", "home/Pictures/cat-again.png")
    Path("align_zoo/assets/emoji").mkdir(parents=True)
    Path("align_zoo/assets/samples").symlink_to(EMOJI.parent / "samples")
    for name in (*images, "crying-cat"):
        shutil.copy(EMOJI / f"{name}.png", "align_zoo/assets/emoji")
    captions = [(f"drawn/{name}.png", f"{form} {name}") for name in images for form in range(22)]
    for name in ("pairs.csv", "held_out.csv"):
        with Path(name).open("w", newline="") as file:
            csv.writer(file).writerows([("image", "caption"), *captions])
    numbered = list(enumerate(images))
    content = {
        "images": [{"id": i, "file_name": f"{name}.png"} for i, name in numbered],
        "annotations": [{"image_id": i, "caption": f"a {name}"} for i, name in numbered],
    }
    Path("captions_val2017.json").write_text(json.dumps(content))
    Path("token.txt").write_text("s3cret")
    shutil.copytree(EMBEDDED["align_tiny"], "models/new")
    shutil.copytree(
        EMBEDDED["align_emoji"], f"hub/models--kakaobrain--align-base/snapshots/{0:040}"
    )
    Path("hub/models--kakaobrain--align-base/refs").mkdir()
    Path("hub/models--kakaobrain--align-base/refs/main").write_text(f"{0:040}")
    for name, value in {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, name, value)
    return tmp_path


@pytest.fixture(scope="module")
@starts_server
def service(tmp_path_factory):
    """What answers at the addresses of the pages."""
    with running_service("align_tiny", tmp_path_factory.mktemp("served") / "log") as running:
        yield running


def run(words: list[str], given: str = "") -> str:
    """Run a command that ends by itself; return what it prints on stdout."""
    if words[0] == "xargs":
        return subprocess.run(words, input=given, check=True, capture_output=True, text=True).stdout
    words = [str(Path(word).expanduser()) if word.startswith("~") else word for word in words[1:]]
    done = CliRunner(env={"ACCELERATE_USE_CPU": "true"}).invoke(app, words)
    AcceleratorState._reset_state(reset_partial_state=True)
    assert done.exit_code == 0, f"{words}\n{done.output}"
    return done.stdout


def run_until_shown(words: list[str], log: Path) -> None:
    """Run a command that serves until Ctrl-C; end it once it names its address."""
    if words[1] == "serve":
        free = ServeOptions().on_free_ports()
        words = [*words, f"--grpc-port={free.grpc_port}", f"--http-port={free.http_port}"]
        words.append(f"--metrics-port={free.metrics_port}")
    program = Path(sys.executable).with_name(words[0])
    with log.open("wb") as output:
        process = subprocess.Popen([program, *words[1:]], stdout=output, stderr=subprocess.STDOUT)
    until(lambda: process.poll() is not None or SHOWN.search(log.read_text()), 120, "the address")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0, log.read_text()
    assert SHOWN.search(log.read_text()), log.read_text()


@pytest.mark.parametrize("page", FOLDERS)
def test_commands_of_the_page_run(page, folder):
    printed = ""
    for words in FOLDERS[page]:
        words = [re.sub("^/tmp/", f"{folder}/", word).replace("cuda", "cpu") for word in words]
        printed = run(words, printed)
        made = [words[words.index(option) + 1] for option in MAKES if option in words]
        assert all((folder / name).exists() for name in made)


@pytest.mark.parametrize("page", SERVED)
def test_commands_for_a_service_run(page, folder, service):
    own = {"localhost:8001": service.url, "gpu-box:8001": service.url}
    own |= {"http://gpu1:8000": service.http, "/models/new": f"{folder}/models/new"}
    if page == "docs/page.md":
        run(FOLDERS["README.md"][0])  # its collection
    for words in SERVED[page]:
        words = [own.get(word, word) for word in words]
        if words[1] in ("serve", "web"):
            run_until_shown(words, folder / "log")
        elif words[1] == "reload":
            run([*words, f"--grpc-port={service.grpc_port}"])
        elif words[1:] == ["bench"]:
            run([*words, service.url, "--seconds=0.05"])
        else:
            run([*words, "--seconds=0.05"] if words[1] == "bench" else words)
