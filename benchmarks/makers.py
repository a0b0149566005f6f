"""Compares base-size checkpoints of other makers with ours: their runtime and their speed.

`python -m benchmarks.makers`; `--only NAME` for one maker, `--rounds 0` for the runtimes alone.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import align_zoo
from align_zoo.runtime.load import export_checkpoint
from benchmarks.checkpoint import base_checkpoint
from benchmarks.inputs import WORDS, labels
from benchmarks.measure import compare
from benchmarks.peers.worker import Worker
from benchmarks.results import HEAD
from tests.support.checkpoints import save_checkpoint
from tests.support.makers import MAKERS, photographs

_HOME = Path("build/benchmarks/makers")
_SIDE = 289
_WITHIN = 0.95
"""The share of our checkpoint's speed that another maker's must reach."""
_TABLE = "| maker | export | runtime | images off | labels off |\n|---|---:|---|---:|---:|"


def main(
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(MAKERS)}.")] = None,
    rounds: Annotated[int, typer.Option(min=0, help="Turns of each contender.")] = 7,
) -> None:
    """Export each maker's checkpoint, print its runtime, and time it beside ours."""
    for name in set(only or ()) - MAKERS.keys():
        raise typer.BadParameter(f"there is no maker {name!r}; there are {', '.join(MAKERS)}")
    names = only or list(MAKERS)
    print(_TABLE)
    for name in names:
        print(_runtime(name), flush=True)
    if rounds:
        export_checkpoint(base_checkpoint())
        print(f"\n{HEAD}")
        for name in names:
            _speed(name, rounds)


def _checkpoint(name: str) -> Path:
    """Return the maker's folder, and make it the first time."""
    folder = _HOME / name.replace(" ", "-").replace("'", "")
    if not (folder / "model.safetensors").is_file():
        from transformers import AlignConfig

        draft = folder.with_name(f"{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        save_checkpoint(MAKERS[name](AlignConfig(), _SIDE), draft, words=WORDS)
        draft.rename(folder)
    return folder


def _runtime(name: str) -> str:
    """Make a row: seconds of the export, the runtime, and the answers' distance to PyTorch's."""
    folder, begin = _checkpoint(name), time.monotonic()
    fast = align_zoo.load_encoder(folder, device="cpu")
    pixels, texts = photographs(1, _SIDE).numpy(), labels(4)
    answers = fast.embed_pixels(pixels), fast.embed_texts(texts)
    seconds = time.monotonic() - begin
    plain = align_zoo.load_encoder(folder, runtime="torch", device="cpu")
    expected = plain.embed_pixels(pixels), plain.embed_texts(texts)
    image, text = (np.abs(a - b).max() for a, b in zip(answers, expected, strict=True))
    return f"| {name} | {seconds:.0f} s | {fast.explanation} | {image:.0e} | {text:.0e} |"


def _speed(name: str, rounds: int) -> None:
    """Compare the maker's towers with ours, each in a process of its own."""
    rng = np.random.default_rng(0)
    pixels = {n: rng.uniform(-1, 1, (n, 3, _SIDE, _SIDE)).astype(np.float32) for n in (1, 4)}
    with (
        Worker("align_zoo", _checkpoint(name)) as theirs,
        Worker("align_zoo", base_checkpoint()) as ours,
    ):
        work: dict[str, tuple[int, Callable[[Worker], Callable[[int], object]]]] = {
            **{
                f"{n} image{'s' * (n > 1)}": (n, lambda each, x=x: partial(each.pixels, x))
                for n, x in pixels.items()
            },
            "8 labels": (8, lambda each: partial(each.texts, labels(8))),
        }
        for what, (items, of) in work.items():
            compare(
                "makers",
                f"{what}, {name}",
                "our checkpoint",
                ours=of(theirs),
                theirs=of(ours),
                items=items,
                tolerance=None,  # the weights differ
                target=_WITHIN,
                rounds=rounds,
            )


if __name__ == "__main__":
    typer.run(main)
