"""Captioned images to train on, and the command that does it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import torch
import typer
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from align_zoo.cli.data import finetune
from align_zoo.tiny.concepts import COLOURS, SHAPES
from align_zoo.tiny.evaluate import shape_examples

_APP = typer.Typer(pretty_exceptions_enable=False)
_APP.command()(finetune)

# A few steps of a few milliseconds each, without processes of their own for the images.
QUICK = ["--model", "align_tiny", "--batch-size", "8", "--learning-rate", "1e-3", "--workers", "0"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


def write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "caption"), *rows])
    return path


def draw_pairs(folder: Path, count: int, *, seed: int = 0) -> Path:
    """A CSV of so many shapes, each with its name for a caption."""
    combinations = list(product(COLOURS, SHAPES))
    chosen = [combinations[(7 * i) % len(combinations)] for i in range(count)]
    rows = []
    for i, example in enumerate(shape_examples(chosen, each=1, seed=seed)):
        example.image.save(folder / f"{i}.png")
        rows.append((f"{i}.png", f"a {example.meaning.colour} {example.meaning.shape}"))
    return write_csv(folder / "pairs.csv", rows)


def arguments(data: Path | str, out: Path, *more: str) -> list[str]:
    return [*QUICK, "--data", str(data), "--out", str(out), *more]


def run(data: Path | str, out: Path, *more: str) -> Result:
    """``align-zoo finetune`` in this process, on one CPU thread; options in ``more`` win."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        runner = CliRunner(env={"ACCELERATE_USE_CPU": "true"})
        return runner.invoke(_APP, arguments(data, out, *more), catch_exceptions=False)
    finally:
        torch.set_num_threads(threads)
        # Accelerate keeps one state a process; the next may want another precision.
        AcceleratorState._reset_state(reset_partial_state=True)


def start(data: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """``align-zoo finetune`` in a process of its own, whose output can be read."""
    command = [sys.executable, "-m", "align_zoo.training", *arguments(data, out, *more)]
    return subprocess.Popen(
        command, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def log_of(out: Path) -> list[dict]:
    lines = (out / "training" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def losses_of(out: Path) -> list[float]:
    return [line["loss"] for line in log_of(out) if "loss" in line]


def weights_of(folder: Path) -> dict:
    return load_file(folder / "model.safetensors")
