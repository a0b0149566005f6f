"""What is asked of a machine with a GPU, in one run: `benchmarks/on_gpu.sh`.

The parity of the runtime in each dtype, both towers beside transformers and the device's bounds,
encoded images, an index of a folder, and fine-tuning. `--device cpu --tiny` takes the same way.
"""

from __future__ import annotations

import json
import math
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from align_zoo.checkpoint.folder import open_checkpoint
from align_zoo.inputs.decode import decode_image
from align_zoo.runtime.images import ImageBatcher
from align_zoo.runtime.load import load_encoder
from align_zoo.runtime.machine import cores
from align_zoo.runtime.torch.graphs import current
from benchmarks import gpu
from benchmarks.checkpoint import base_checkpoint
from benchmarks.inputs import labels, photos, write_photos
from benchmarks.machine import machine
from benchmarks.measure import interleaved, timed
from benchmarks.results import Row, table, write_rows

__all__ = ["PARTS", "Run", "measure"]

FAR = 1e-5
"""The greatest difference of an embedding in float32 from transformers' on the CPU."""


@dataclass(frozen=True)
class Run:
    """The device, the checkpoint, and how much is measured."""

    device: str
    folder: Path
    batches: tuple[int, ...] = (1, 16, 64, 256)
    items: int = 21
    """Images, and labels, to compare: by 64, 16, 4 and 1 they are several captured batches."""
    images: int = 1024
    """The encoded images of a turn."""
    rounds: int = 5
    seconds: float = 0.3
    steps: int = 50
    """The steps of fine-tuning."""
    pairs: int = 32
    """The pairs of a step."""
    workers: int = 8
    patience: int = 1
    """Multiplies the seconds that a part may take."""


def parity_rows(run: Run) -> Iterator[Row]:
    """Compare each dtype with transformers in float32 on the CPU."""
    from transformers import AlignModel, AutoTokenizer

    texts, files = labels(run.items), photos(run.items)
    model = AlignModel.from_pretrained(run.folder).eval()
    tokens = AutoTokenizer.from_pretrained(run.folder)(texts, padding=True, return_tensors="pt")
    wanted: dict[str, torch.Tensor] = {}
    for dtype in ("float32", "bfloat16", "float16"):
        encoder = load_encoder(run.folder, runtime="torch", device=run.device, dtype=dtype)
        if not wanted:
            pixels = torch.stack([encoder.transform(decode_image(file)) for file in files])
            with torch.inference_mode():
                image = model.get_image_features(pixel_values=pixels).pooler_output
                text = model.get_text_features(**tokens).pooler_output
            wanted = {"images": image, "labels": text}
        answers = {"images": encoder.embed_images(files), "labels": encoder.embed_texts(texts)}
        for what, rows in answers.items():
            truth = torch.nn.functional.normalize(wanted[what], dim=-1).numpy()
            cosine, off = (rows * truth).sum(axis=1).min(), np.abs(rows - truth).max()
            full = dtype == "float32"
            yield Row(
                group="gpu",
                what=f"{run.items} {what} in {dtype}{'' if full else ', 1 - cosine'}",
                against="transformers in float32, on the CPU",
                unit="off",
                ours=float(off if full else 1 - cosine),
                target=FAR if full else round(1 - gpu.NEAR, 6),
                at_most=True,
                note=f"least cosine {cosine:.6f}, off by at most {off:.1e}",
            )


def tower_rows(run: Run) -> Iterator[Row]:
    """Compare both towers with transformers' and with the device's bounds; nothing is compiled."""
    how = {"rounds": run.rounds, "seconds": run.seconds, "compiled": False}
    with current(torch.device(run.device), choosing=True):
        yield from gpu.compare_on(run.device, run.folder, list(run.batches), **how)


def image_rows(run: Run) -> Iterator[Row]:
    """Measure encoded images to embeddings, and beside it the tower and the decoding alone."""
    encoder = load_encoder(run.folder, runtime="torch", device=run.device)
    different = photos(32)
    files = list(islice(cycle(different), run.images))
    pixels = np.stack([encoder.transform(decode_image(file)) for file in different])
    batch = pixels[np.arange(min(256, run.images)) % len(pixels)]
    batcher = ImageBatcher(encoder.transform, at_once=encoder.images_at_once)
    nothing = np.zeros((encoder.images_at_once, 1), np.float32)

    def decode() -> int:
        return sum(1 for _ in batcher.embed(files, lambda chunk: nothing[: len(chunk)]))

    before, start = time.process_time(), time.perf_counter()
    decode()
    busy = (time.process_time() - before) / (time.perf_counter() - start)
    runs = {
        "encoded images": (lambda: encoder.embed_images(files), len(files)),
        "the tower": (lambda: encoder.embed_pixels(batch), len(batch)),
        "decoding": (decode, len(files)),
    }
    contenders = {name: timed(each) for name, (each, _) in runs.items()}
    timings, _ = interleaved(contenders, rounds=run.rounds, seconds=run.seconds)
    rates = {name: count / timings[name].median for name, (_, count) in runs.items()}
    bound = min(("the tower", "decoding"), key=rates.__getitem__)
    notes = {
        "encoded images": f"{bound} is the bound",
        "decoding": f"{busy:.1f} of {cores()} cores are busy",
    }
    for name, rate in rates.items():
        alone = "" if name == "encoded images" else " alone"
        yield Row(
            group="gpu",
            what=f"640x480 JPEGs, {name}{alone}",
            against="",
            unit="/s",
            ours=rate,
            spread=timings[name].spread,
            note=notes.get(name, "pixels from the host"),
        )


def index_rows(run: Run) -> Iterator[Row]:
    """Measure the index of a folder, on an encoder that is loaded."""
    from align_zoo.collection.collection import Collection
    from align_zoo.collection.embedder import EncoderEmbedder

    encoder = load_encoder(run.folder, runtime="torch", device=run.device)
    embedder = EncoderEmbedder(str(run.folder), encoder)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        files = list(islice(cycle(photos(32)), run.images))
        write_photos(place / "photos", files)
        encoder.embed_images(files[:32])  # loads and captures the tower
        start = time.perf_counter()
        with Collection.create(place / "collection", model=embedder) as collection:
            report = collection.add(place / "photos")
        seconds = time.perf_counter() - start
    assert report.embedded == len(files), report
    what = "640x480 JPEGs, align-zoo index"
    yield Row(group="gpu", what=what, against="", unit="/s", ours=len(files) / seconds)


def finetune_rows(run: Run) -> Iterator[Row]:
    """Fine-tune in mixed precision, and measure the steps behind the first fifth."""
    from align_zoo.training.finetune import FinetuneOptions, finetune
    from align_zoo.training.trainer import Every

    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        paths = write_photos(place, photos(2 * run.pairs))
        rows = [f"{p.name},{label}" for p, label in zip(paths, labels(len(paths)), strict=True)]
        table = place / "pairs.csv"
        table.write_text("\n".join(["image,caption", *rows]) + "\n", encoding="utf-8")
        options = FinetuneOptions(
            model=str(run.folder),
            data=str(table),
            out=place / "finetuned",
            steps=run.steps,
            batch_size=run.pairs,
            mixed_precision="bf16",
            workers=run.workers,
        )
        finetune(options, Every(save=0, log=1, measure=0))
        log = (place / "finetuned" / "training" / "log.jsonl").read_text(encoding="utf-8")
    lines = [line for line in map(json.loads, log.splitlines()) if "loss" in line]
    losses = [line["loss"] for line in lines]
    assert len(losses) == run.steps and all(map(math.isfinite, losses)), losses
    warm = run.steps // 5
    seconds = lines[-1]["seconds"] - lines[warm - 1]["seconds"]
    yield Row(
        group="gpu",
        what=f"fine-tuning in bf16, {run.steps} steps of {run.pairs} pairs",
        against="",
        unit="/s",
        ours=run.pairs * (run.steps - warm) / seconds,
        note=f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last",
    )


PARTS: dict[str, tuple[Callable[[Run], Iterator[Row]], int]] = {
    "parity": (parity_rows, 120),
    "images": (image_rows, 80),
    "finetune": (finetune_rows, 90),
    "index": (index_rows, 60),
    "towers": (tower_rows, 150),
}
"""Each part and the most seconds that it may take."""


def measure(run: Run, out: Path) -> bool:
    """Measure all parts, and write the rows and the failures after each row.

    Returns:
        Whether no part has failed and no goal is missed.
    """
    about, failed = machine(), {}
    if run.device.startswith("cuda"):
        about |= {"gpu": torch.cuda.get_device_name(run.device), "cuda": torch.version.cuda}
    about["failed"] = failed
    done: dict[str, list[Row]] = {}
    for name, (part, seconds) in PARTS.items():
        done[name] = []
        start = time.monotonic()
        try:
            with _at_most(run.patience * seconds):
                for row in part(run):
                    print(row.line(), flush=True)
                    done[name].append(row)
                    write_rows(out, about, done)
        # Whatever fails here, the other parts are measured: the machine is lent for minutes.
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
            print(f"{name} failed: {failed[name]}", flush=True)
        about[f"seconds of {name}"] = round(time.monotonic() - start, 1)
        write_rows(out, about, done)
    rows = [row for part in done.values() for row in part]
    print(f"\n{table(rows)}\n\nwritten to {out}")
    return not failed and all(row.verdict != "miss" for row in rows)


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError(f"stopped after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main(
    device: Annotated[str, typer.Option(help="cuda, or cpu to try it.")] = "cuda",
    out: Annotated[Path, typer.Option(help="JSON to write.")] = Path("build/on_gpu.json"),
    tiny: Annotated[bool, typer.Option("--tiny", help="align_tiny, and little of all.")] = False,
) -> None:
    """Measure all that is asked of a machine with a GPU."""
    if tiny:
        folder = open_checkpoint("align_tiny").folder
        few = {"batches": (2,), "items": 5, "images": 16, "rounds": 1, "seconds": 0.001}
        run = Run(device, folder, **few, steps=5, pairs=4, workers=0, patience=4)
    else:
        run = Run(device, base_checkpoint())
    raise typer.Exit(not measure(run, out))


if __name__ == "__main__":
    typer.run(main)
