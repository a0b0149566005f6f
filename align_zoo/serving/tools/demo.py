"""The demonstration: a real server on align_emoji classifies shipped emoji."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from align_zoo.errors import AlignZooError, to_install
from align_zoo.serving.triton.command import ServeOptions
from align_zoo.serving.triton.launcher import run_server
from align_zoo.serving.triton.process import how_it_ended

__all__ = [
    "SHOWN",
    "Answer",
    "classify_all",
    "emoji_folder",
    "run_demo",
    "sample_images",
    "sample_labels",
]

_ASSETS = Path(str(resources.files("align_zoo"))) / "assets"
_SAMPLES = _ASSETS / "samples"
SHOWN = (
    "bicycle",
    "crying-cat",
    "hot-beverage",
    "lady-beetle",
    "mushroom",
    "octopus",
    "red-apple",
    "rocket",
    "smiling-face-with-sunglasses",
    "umbrella-with-rain-drops",
)


class Answer(NamedTuple):
    """The server's answer for an image."""

    image: str
    label: str
    probability: float
    milliseconds: float


def sample_images() -> list[Path]:
    """Return the shipped images; none of them was in align_tiny's training set."""
    return sorted(path for path in _SAMPLES.iterdir() if path.suffix in (".png", ".jpg"))


def sample_labels() -> list[str]:
    """Return the candidate labels of the shipped images."""
    lines = (_SAMPLES / "labels.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]


def emoji_folder() -> Path:
    """Return the folder of the shipped emoji; a file's name is the emoji's name."""
    return _ASSETS / "emoji"


def classify_all(url: str, images: Sequence[Path], labels: Sequence[str]) -> list[Answer]:
    """Ask the server at ``url`` for the best label of each image.

    Raises:
        AlignZooError: the client is not installed, or the server fails on an image.
    """
    try:
        from align_client import AlignClient, AlignClientError
    except ImportError:
        raise AlignZooError(f"the demo needs align-client: {to_install('./client')}") from None
    answers = []
    with AlignClient(url) as client:
        for image in images:
            begin = time.perf_counter()
            try:
                best = client.classify(image, labels, top_k=1)[0]
            except AlignClientError as error:
                raise AlignZooError(f"{image.name} got no answer: {error}") from error
            milliseconds = (time.perf_counter() - begin) * 1000
            answers.append(Answer(image.name, best.label, best.score, milliseconds))
    return answers


def _table(answers: Sequence[Answer], labels: int) -> Table:
    """Make a table with a row for each image: image, best label, probability, ms."""
    table = Table(title=f"align_emoji behind tritonserver, {labels:,} labels")
    table.add_column("image")
    table.add_column("best label")
    table.add_column("probability", justify="right")
    table.add_column("ms", justify="right")
    for each in answers:
        probability, milliseconds = f"{each.probability:.1%}", f"{each.milliseconds:.0f}"
        table.add_row(each.image, each.label, probability, milliseconds)
    return table


def run_demo(console: Console) -> None:
    """Start a server on free loopback ports, classify ten shipped emoji, and stop the server.

    The labels are the names of all shipped emoji.

    Raises:
        AlignZooError: the server does not start, does not answer, or does not stop cleanly.
    """
    images = [emoji_folder() / f"{name}.png" for name in SHOWN]
    labels = sorted(path.stem.replace("-", " ") for path in emoji_folder().glob("*.png"))
    with tempfile.TemporaryDirectory(prefix="align-zoo-") as folder:
        options = ServeOptions(model="align_emoji").on_free_ports()
        console.print("starting tritonserver on align_emoji ...")
        begin = time.perf_counter()
        with run_server(options, log=Path(folder) / "tritonserver.log") as server:
            console.print(f"both models answer after {time.perf_counter() - begin:.1f} s")
            answers = classify_all(server.grpc_url, images, labels)
            console.print(_table(answers, len(labels)))
        code = server.wait()
    if code:
        raise AlignZooError(how_it_ended(code))
    # The median, because the first image's time includes the labels, which the client then keeps.
    middle = statistics.median(each.milliseconds for each in answers)
    console.print(
        f"{len(answers)} images classified among {len(labels):,} labels, "
        f"{middle:.0f} ms an image; the server is stopped."
    )
