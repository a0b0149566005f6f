"""Divides a tower's time by operator, from ONNX Runtime's own profile.

`python -m benchmarks.operators FOLDER` prints a table for each tower: the share of the time, and
for operators that multiply matrices the billions of operations a second beside the machine's limit.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import typer

from align_zoo.runtime.load import export_checkpoint
from align_zoo.runtime.onnx.manifest import IMAGE, TEXT
from align_zoo.runtime.onnx.nchwc import GRAPH, layouts
from benchmarks.checkpoint import base_checkpoint
from benchmarks.machine import Sgemm

_RUNS = 10


def events(path: Path, inputs: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """Record the operators of ``_RUNS`` runs, after two uncounted runs."""
    options = onnxruntime.SessionOptions()
    if path.parent in layouts(path.parents[1]):  # the graph is optimized already
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory() as scratch:
        session = onnxruntime.InferenceSession(str(path), options)
        for _ in range(2):
            session.run(None, inputs)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(scratch) / "profile")
        session = onnxruntime.InferenceSession(str(path), options)
        for _ in range(_RUNS):
            session.run(None, inputs)
        recorded = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return (each for each in recorded if each["name"].endswith("_kernel_time"))


def kind(event: dict[str, Any]) -> tuple[str, float]:
    """Return an operator's name in the table, and its operations in billions."""
    args = event["args"]
    name = args["op_name"]
    shapes = [tuple(next(iter(each.values()))) for each in args["input_type_shape"]]
    (out,) = [tuple(next(iter(each.values()))) for each in args["output_type_shape"]][:1]
    if name == "Conv":
        weight = shapes[1]
        flop = 2 * math.prod(out) * math.prod(weight[1:])
        if weight[1:] == (1, 1, 1):
            return "squeeze and excitation's gates", flop / 1e9
        if weight[1] == 1:
            return "depthwise convolution", flop / 1e9
        if out[-2:] == (1, 1):
            return "squeeze and excitation's convolutions", flop / 1e9
        what = "pointwise convolution" if weight[2:] == (1, 1) else "stem convolution"
        return what, flop / 1e9
    if name in ("MatMul", "Gemm", "FusedMatMul"):
        return "linear layers", 2 * math.prod(out) * shapes[0][-1] / 1e9
    return name, 0.0


def operator_table(path: Path, inputs: dict[str, np.ndarray], limit: float) -> str:
    """Make a Markdown table, the longest operator first."""
    seconds: defaultdict[str, float] = defaultdict(float)
    gflop: defaultdict[str, float] = defaultdict(float)
    calls: Counter[str] = Counter()
    for event in events(path, inputs):
        name, work = kind(event)
        seconds[name] += event["dur"] / 1e6 / _RUNS
        gflop[name] += work / _RUNS
        calls[name] += 1
    total = sum(seconds.values())
    lines = [
        "| operator | calls | ms | share | GFLOP/s | of sgemm |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name in sorted(seconds, key=seconds.__getitem__, reverse=True):
        if seconds[name] < total / 500:
            continue
        rate = gflop[name] / seconds[name]
        reached = f"{rate:.0f} | {rate / limit:.0%}" if gflop[name] > 0.01 else " | "
        lines.append(
            f"| {name} | {calls[name] // _RUNS} | {seconds[name] * 1000:.1f} "
            f"| {seconds[name] / total:.1%} | {reached} |"
        )
    return "\n".join(lines)


def main(
    model: Annotated[
        Path | None, typer.Argument(help="An ALIGN folder; base size by default.")
    ] = None,
) -> None:
    """Print both towers' tables."""
    folder = export_checkpoint(model or base_checkpoint())
    sgemm = Sgemm()
    limit = float(np.median([sgemm.gflops() for _ in range(9)]))
    print(f"sgemm: {limit:.0f} GFLOP/s")
    rng = np.random.default_rng(0)
    pixels = rng.standard_normal((1, 3, 289, 289), dtype=np.float32)
    for name, graph in (
        ("as exported", folder / IMAGE),
        *(("laid out for the processor", layout / GRAPH) for layout in layouts(folder)),
    ):
        print(f"\nImage tower, {name}\n")
        print(operator_table(graph, {"pixels": pixels}, limit))
    for count in (1, 64):
        ids = rng.integers(5, 100, (count, 10))
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        print(f"\nText tower, {count} of 10 tokens\n")
        print(operator_table(folder / TEXT, inputs, limit))


if __name__ == "__main__":
    typer.run(main)
