"""Both towers beside transformers' AlignModel on one checkpoint: `python -m benchmarks.towers`.

The answers are compared, too. Everything runs in one process, in turns.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from transformers import AlignModel, AutoTokenizer

import align_zoo
from benchmarks.measure import Timing, interleaved

# What the fastest runtime must reach against transformers, as it is used by default.
TARGETS = {
    "1 image": 1.9,
    "4 images": 2.8,
    "16 images": 4.0,
    "1 label": 5.0,
    "8 labels": 5.0,
    "64 labels": 6.0,
    "1000 labels": 8.0,
}
# Labels of 5 to 12 tokens, as people write them.
_WORDS = "red big small old new wooden white black cat dog bus car house tree bird boat".split()


@dataclass(frozen=True)
class Row:
    """One comparison."""

    what: str
    count: int
    transformers: Timing
    ours: Timing
    error: float
    """The greatest difference of unit embeddings."""

    @property
    def ratio(self) -> float:
        """How many times as fast we are."""
        return self.transformers.median / self.ours.median

    @property
    def verdict(self) -> str:
        """Whether the target is reached."""
        return "pass" if self.ratio >= TARGETS[self.what] else "miss"


def labels(count: int) -> list[str]:
    """Different labels, the same each time."""
    rng = np.random.default_rng(0)
    made: dict[str, None] = {}
    while len(made) < count:
        made["a photo of a " + " ".join(rng.choice(_WORDS, rng.integers(1, 7)))] = None
    return list(made)


def unit(rows: torch.Tensor) -> np.ndarray:
    """Unit rows in numpy."""
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


def compare(folder: Path, rounds: int) -> list[Row]:
    """All rows of the table."""
    theirs = AlignModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = align_zoo.load_encoder(folder)
    rows = []
    with torch.inference_mode():
        for count in (1, 4, 16):
            pixels = torch.randn(count, 3, 289, 289, generator=torch.Generator().manual_seed(count))
            x = pixels.numpy()
            what = "1 image" if count == 1 else f"{count} images"
            rows.append(
                _row(
                    what,
                    count,
                    lambda pixels=pixels: unit(theirs.get_image_features(pixels).pooler_output),
                    lambda x=x: encoder.embed_pixels(x),
                    rounds,
                )
            )
        for count in (1, 8, 64, 1000):
            texts = labels(count)

            def reference(texts: list[str] = texts) -> np.ndarray:
                # As AlignProcessor pads by default.
                tokens = tokenizer(
                    texts, padding="max_length", max_length=64, truncation=True, return_tensors="pt"
                )
                return unit(theirs.get_text_features(**tokens).pooler_output)

            what = "1 label" if count == 1 else f"{count} labels"
            ours = lambda texts=texts: encoder.embed_texts(texts)  # noqa: E731
            rows.append(_row(what, count, reference, ours, 2 if count == 1000 else rounds))
    return rows


def _row(what: str, count: int, theirs: Any, ours: Any, rounds: int) -> Row:
    timings, answers = interleaved({"transformers": theirs, "ours": ours}, rounds=rounds)
    error = float(np.abs(answers["transformers"] - answers["ours"]).max())
    assert error < 1e-4, f"{what}: answers differ by {error}"
    row = Row(what, count, timings["transformers"], timings["ours"], error)
    print(line(row), flush=True)
    return row


def line(row: Row) -> str:
    """A row of the table."""
    return (
        f"| {row.what} | {row.count / row.transformers.median:.2f} "
        f"| {row.count / row.ours.median:.2f} (± {row.ours.spread:.0%}) "
        f"| {row.ratio:.2f}x | {TARGETS[row.what]}x | {row.verdict} | {row.error:.0e} |"
    )


def machine() -> dict[str, Any]:
    """What it ran on."""
    model = [
        text.partition(":")[2].strip()
        for text in Path("/proc/cpuinfo").read_text().splitlines()
        if text.startswith("model name")
    ]
    return {
        "cpu": model[0] if model else platform.processor(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def main(
    folder: Annotated[Path, typer.Argument(help="An ALIGN folder of base size.")],
    out: Annotated[Path, typer.Option(help="JSON to write.")] = Path("benchmarks/towers.json"),
    rounds: Annotated[int, typer.Option(help="Rounds of each.")] = 7,
) -> None:
    """Compare, print the table and write the figures."""
    about = machine()
    print(json.dumps(about))
    print("| | transformers, /s | align-zoo, /s | ratio | at least | | error |")
    print("|---|---:|---:|---:|---:|---|---:|")
    rows = compare(folder, rounds)
    content = {"machine": about, "rows": [{**asdict(row), "ratio": row.ratio} for row in rows]}
    out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
