"""Compares both towers on a GPU with transformers at its best: `python -m benchmarks.gpu FOLDER`.

Inputs and answers are tensors on the device. Contenders take turns, timed by the device's own
clock. `--device cpu` takes the same path, as a trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch.nn import functional as F
from transformers import AlignModel

import align_zoo
from align_zoo.runtime.torch.graphs import current, pad_texts
from benchmarks.bounds import Bounds, Work, count
from benchmarks.machine import machine
from benchmarks.measure import Contender, interleaved, timed
from benchmarks.results import Row, table, write_rows

__all__ = ["NEAR", "compare_on"]

NEAR = 0.9995
"""The least cosine to transformers in float32."""

_OURS = "bfloat16"
_THEIRS = ("bfloat16", "float16")
# Compiled and captured kernels; "max-autotune" would compile each batch size for many minutes.
_COMPILED: dict[str, dict[str, Any]] = {
    "cuda": {"mode": "reduce-overhead"},
    "cpu": {"disable": True},
}
_BOUNDS = {"cuda": {"side": 8192, "megabytes": 2048}, "cpu": {"side": 256, "megabytes": 8}}
_TOKENS, _PADDED = 12, 16
_COLD = 4
"""The first runs, in which kernels are chosen or compiled, and a compiled peer captures a graph."""

Run = Callable[[], torch.Tensor]


def compare_on(
    device: str,
    folder: Path,
    batches: list[int],
    *,
    rounds: int = 7,
    seconds: float = 0.5,
    compiled: bool = True,
) -> Iterator[Row]:
    """Yield the rows of all batch sizes: ratios to each peer, and shares of the device's bounds.

    Args:
        device: "cuda", "cuda:1" ..., or "cpu".
        folder: an ALIGN folder.
        batches: the batch sizes.
        rounds: the turns of each contender.
        seconds: the duration of a turn.
        compiled: whether compiled peers take part; compiling takes a minute for each batch size.

    Raises:
        AssertionError: our embeddings are not near transformers' in float32.
    """
    kind = device.partition(":")[0]
    clock = _on_device(device)
    encoder = align_zoo.load_encoder(folder, runtime="torch", device=device, dtype=_OURS)
    truth = _load(folder, device, "float32")
    peers = {dtype: _load(folder, device, dtype) for dtype in _THEIRS}
    bounds = Bounds.measure(
        lambda run: _seconds(clock(run), seconds), device, getattr(torch, _OURS), **_BOUNDS[kind]
    )
    side = encoder.transform.input_size or (289, 289)
    for batch in batches:
        pixels = _noise(batch, encoder.vision.num_channels, *side).to(device)
        ids, mask = _texts(batch, truth.config.text_config.vocab_size)
        padded = [torch.from_numpy(x).to(device) for x in pad_texts(ids, mask, [_PADDED])]
        tokens = {
            "input_ids": torch.from_numpy(ids).to(device),
            "attention_mask": torch.from_numpy(mask).to(device),
        }
        for what, tower, given, features, asked in (
            ("images", encoder.image, [pixels], "get_image_features", {"pixel_values": pixels}),
            ("labels", encoder.text, padded, "get_text_features", tokens),
        ):
            runs: dict[str, Run] = {"ours": lambda t=tower, g=given: t.batches.compute(*g)}
            for dtype, model in peers.items():
                run = _features(model, features, asked)
                runs[f"transformers {dtype}"] = run
                if compiled:
                    runs[f"transformers {dtype}, compiled"] = torch.compile(
                        run, dynamic=False, **_COMPILED[kind]
                    )
            with current(torch.device(device)), torch.inference_mode():
                wanted = _features(truth, features, asked)()
            limits = count(lambda t=tower, g=given: t.batches.function(*g)), bounds
            how = {"rounds": rounds, "seconds": seconds}
            yield from _rows(f"{what}, batch {batch}", batch, runs, wanted, clock, limits, how)
            torch.compiler.reset()  # so that the next shapes do not count as recompilations


def _rows(
    what: str,
    batch: int,
    runs: dict[str, Run],
    truth: torch.Tensor,
    clock: Callable[[Run], Contender],
    limits: tuple[Work, Bounds],
    how: dict[str, Any],
) -> Iterator[Row]:
    with torch.inference_mode():
        own = _nearness(runs["ours"](), truth)
        assert own >= NEAR, f"{what}: cosine {own:.6f} to float32, below {NEAR}"
        for run in runs.values():
            for _ in range(_COLD):
                run()
        timings, answers = interleaved({name: clock(run) for name, run in runs.items()}, **how)
        near = {name: _nearness(answer, truth) for name, answer in answers.items()}
    ours = timings.pop("ours")
    for name, theirs in timings.items():
        yield Row(
            group="gpu",
            what=what,
            against=name,
            unit="/s",
            ours=batch / ours.median,
            theirs=batch / theirs.median,
            spread=ours.spread,
            their_spread=theirs.spread,
            ratio=theirs.median / ours.median,
            note=f"cosine to float32 {near['ours']:.6f}, theirs {near[name]:.6f}",
        )
    work, bounds = limits
    for name, least, asked in zip(
        ("matmul", "memory"),
        bounds.seconds(work),
        (f"{work.flop / 1e9:.3g} GFLOP", f"{work.bytes / 1e6:.3g} MB"),
        strict=True,
    ):
        yield Row(
            group="gpu",
            what=f"{what}, share of the {name} bound",
            against="",
            unit="%",
            ours=100 * least / ours.median,
            spread=ours.spread,
            note=asked,
        )


def _on_device(device: str) -> Callable[[Callable[[], Any]], Contender]:
    """Return the way to time on a device: by events on a GPU, which runs behind the host."""
    return _by_events if device.startswith("cuda") else timed


def _nearness(rows: torch.Tensor, truth: torch.Tensor) -> float:
    """Compute the least cosine of a row to its true row."""
    return float(F.cosine_similarity(rows.float(), truth.float()).min())


def _by_events(run: Callable[[], Any]) -> Contender:
    def contender(repeats: int) -> tuple[float, Any]:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            answer = run()
        end.record()
        end.synchronize()
        # A copy, because the next run of a captured peer writes to the same tensor.
        return start.elapsed_time(end) / 1000 / repeats, answer.clone()

    return contender


def _seconds(contender: Contender, seconds: float) -> float:
    return interleaved({"": contender}, rounds=3, seconds=seconds)[0][""].median


def _load(folder: Path, device: str, dtype: str) -> AlignModel:
    model = AlignModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    return model.to(device, memory_format=torch.channels_last)


def _features(model: AlignModel, name: str, asked: dict[str, torch.Tensor]) -> Run:
    """Make a run of a peer; its input gets the peer's dtype and layout before the clock starts."""
    given = {
        key: x.to(model.dtype, memory_format=torch.channels_last) if x.is_floating_point() else x
        for key, x in asked.items()
    }

    def run() -> torch.Tensor:
        return F.normalize(getattr(model, name)(**given).pooler_output.float(), dim=-1)

    return run


def _noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _texts(batch: int, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Make ids and mask [N, 12] of labels of 5 to 12 tokens."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, vocabulary, (batch, _TOKENS))
    lengths = rng.integers(5, _TOKENS + 1, (batch, 1))
    lengths[0] = _TOKENS
    return ids, (np.arange(_TOKENS) < lengths).astype(np.int64)


def main(
    folder: Annotated[Path, typer.Argument(help="An ALIGN folder of base size.")],
    device: Annotated[str, typer.Option(help="cuda, or cpu to try it.")] = "cuda",
    batch: Annotated[
        list[int] | None, typer.Option(help="Batch size; again for more. 1, 16, 64, 256.")
    ] = None,
    out: Annotated[Path, typer.Option(help="JSON to write.")] = Path("benchmarks/results/gpu.json"),
    rounds: Annotated[int, typer.Option(help="Turns of each.")] = 7,
    seconds: Annotated[float, typer.Option(help="Duration of each turn.")] = 0.5,
) -> None:
    """Compare, print the table and write the figures."""
    about, rows = machine(), []
    if device.startswith("cuda"):
        about |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    batches = batch or [1, 16, 64, 256]
    # Events measure on the current device. The peers are fastest with chosen kernels; our encoder
    # chooses by itself.
    with current(torch.device(device), choosing=True):
        for row in compare_on(device, folder, batches, rounds=rounds, seconds=seconds):
            print(row.line(), flush=True)
            rows.append(row)
            write_rows(out, about, {"gpu": rows})
    print(f"\n{table(rows)}")


if __name__ == "__main__":
    typer.run(main)
