"""Compares the server with other servers of the same folder, and with its own bare towers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from align_client import AlignClient
from align_zoo.inputs.decode import decode_image
from align_zoo.runtime.load import load_encoder
from benchmarks import perf_analyzer
from benchmarks.contenders import fresh_labels, latency, share, throughput
from benchmarks.inputs import labels, photos
from benchmarks.measure import Contender, compare, difference, timed
from benchmarks.peers import PeerUnavailable
from benchmarks.peers.worker import Worker
from benchmarks.results import Row

__all__ = ["analyzer_rows", "bare_rows", "classify_rows", "peer_rows"]

SECONDS = 6.0
"""The seconds of load of a turn."""
SAME_PIXELS = 1e-4
"""The greatest difference of embeddings of the same pixels."""
PAIRS = 60
"""The pairs of calls that are compared in a turn."""
OTHER_PIXELS = 1e-3
"""The greatest difference of embeddings if the other's processor resizes by another library.
Another photo differs by ten times as much."""
SAME_SCORES = 5e-2
"""The greatest difference of the scores' logarithms: a twentieth of each score."""

_LEAST = 1e-30  # about the least that float32 holds in full precision

EmbedImage = Callable[[bytes], np.ndarray]
EmbedTexts = Callable[[Sequence[str]], np.ndarray]


def peer_rows(
    client: AlignClient,
    against: str,
    embed_image: EmbedImage,
    embed_texts: EmbedTexts,
    *,
    images: dict[int, float | None],
    labels_at_once: dict[int, float | None],
    rounds: int,
    padding: str = "",
) -> list[Row]:
    """Compare images by numbers of callers, and new labels by labels in a call.

    Args:
        client: the client of our server.
        against: the name of the other server.
        embed_image: asks the other server for an image's embedding.
        embed_texts: asks the other server for texts' embeddings.
        images: the target for each number of callers.
        labels_at_once: the target for each number of labels in a call.
        rounds: the turns of each contender.
        padding: the other server's padding of labels, if longer than the longest label of a call.
    """
    files, check, texts = photos(32), photos(1, seed=9)[0], labels(4)
    rows = []
    for concurrency, target in images.items():
        rows.append(
            compare(
                "served images",
                f"images, concurrency {concurrency}",
                against,
                ours=throughput(
                    lambda i: client.embed_image(files[i % len(files)]),
                    lambda: client.embed_image(check)[0],
                    concurrency,
                    SECONDS,
                ),
                theirs=throughput(
                    lambda i: embed_image(files[i % len(files)]),
                    lambda: embed_image(check),
                    concurrency,
                    SECONDS,
                ),
                items=1,
                tolerance=OTHER_PIXELS,
                target=target,
                rounds=rounds,
            )
        )
    for count, target in labels_at_once.items():
        new = fresh_labels(count)
        rows.append(
            compare(
                "served labels",
                "labels, 1 at a time" if count == 1 else f"labels, {count} in a call",
                f"{against}, {padding}" if padding else against,
                ours=throughput(
                    lambda _, new=new: client.embed_text(next(new)),
                    lambda: client.embed_text(texts),
                    1,
                    SECONDS,
                ),
                theirs=throughput(
                    lambda _, new=new: embed_texts(next(new)),
                    lambda: embed_texts(texts),
                    1,
                    SECONDS,
                ),
                items=count,
                target=target,
                rounds=rounds,
            )
        )
    return rows


def analyzer_rows(ours: str, theirs: str, *, rounds: int) -> list[Row]:
    """Compare both servers by NVIDIA's load generator; print the reason if it cannot be had."""
    files = photos(16)

    def load(url: str, model: str, concurrency: int) -> Contender:
        def contender(_: int) -> tuple[float, None]:
            measured = perf_analyzer.measure(url, model, "IMAGE", files, concurrency)
            assert not measured.errors, f"{model}: {measured.errors} calls failed"
            return 1 / measured.per_second, None

        return contender

    rows = []
    for concurrency in (1, 4, 16):
        try:
            rows.append(
                compare(
                    "served images",
                    f"images, concurrency {concurrency}, perf_analyzer",
                    "Triton wrapping transformers",
                    ours=load(ours, "align_image", concurrency),
                    theirs=load(theirs, "hf_image", concurrency),
                    items=1,
                    tolerance=None,  # perf_analyzer keeps no answers
                    rounds=rounds,
                )
            )
        except PeerUnavailable as error:
            print(f"perf_analyzer cannot be had: {error}", flush=True)
            break
    return rows


def bare_rows(client: AlignClient, ours: Worker, folder: Path, *, rounds: int) -> list[Row]:
    """Measure the cost of serving, beside the same images in a tower in a process of its own."""
    files = photos(16)
    transform = load_encoder(folder).transform
    pixels = np.stack([transform.to_array(decode_image(data)) for data in files])
    row = compare(
        "serving",
        "images, concurrency 8",
        "our bare tower",
        ours=throughput(
            lambda i: client.embed_image(files[i % 16]),
            lambda: client.embed_image(files[0])[0],
            8,
            SECONDS,
        ),
        theirs=share(partial(ours.pixels, pixels), len(pixels)),
        items=1,
        tolerance=SAME_PIXELS,
        target=0.93,
        rounds=rounds,
    )
    return [row, _added_latency(client, ours, transform.to_array, rounds)]


def _added_latency(
    client: AlignClient, ours: Worker, to_array: Callable[..., np.ndarray], rounds: int
) -> Row:
    """Measure the added latency call by call: a tower's time varies by more than that."""
    small = photos(1, width=96, height=64)[0]
    pixels = to_array(decode_image(small))[None]
    served, bare = timed(lambda: client.embed_image(small)), partial(ours.pixels, pixels)
    error = float(np.abs(served(1)[1] - bare(1)[1]).max())
    assert error <= SAME_PIXELS, f"served and bare answers differ by {error:.1e}"
    added = difference(served, bare, pairs=PAIRS * rounds)
    row = Row(
        group="serving",
        what="added latency of one small image, p50",
        against="our bare tower",
        unit="ms",
        ours=1000 * added.median,
        spread=added.uncertainty / abs(added.median),
        target=6.0,
        at_most=True,
        note=f"{PAIRS * rounds} pairs of calls; its spread is the 95 % interval of the median",
    )
    print(row.line(), flush=True)
    return row


def classify_rows(client: AlignClient, pipeline: Worker, photo: Path, *, rounds: int) -> list[Row]:
    """Classify an image among new labels and among labels already seen."""
    seen, known = labels(1000, seed=77), {1000: labels(1000, seed=77), 2: labels(2, seed=77)}
    client.classify(photo, seen)

    def classified(count: int) -> Any:
        # One call a turn, so that the machine's noise of some seconds affects both alike.
        return latency(lambda _: client.classify(photo, known[count]), lambda: np.zeros(1), 0.0)

    rows = [
        compare(
            "classify",
            "1000 labels already seen",
            "2 labels already seen",
            ours=classified(1000),
            theirs=classified(2),
            tolerance=None,  # the labels differ
            target=1.05,
            at_most=True,
            rounds=PAIRS * rounds,
        )
    ]
    new = fresh_labels(1000)

    def ours(_: int) -> tuple[float, np.ndarray]:
        texts = next(new)
        seconds, _ = latency(lambda _: client.classify(photo, texts), lambda: np.zeros(1), 0.0)(1)
        return seconds, _logs({p.label: p.score for p in client.classify(photo, seen)}, seen)

    def theirs(_: int) -> tuple[float, np.ndarray]:
        seconds, scores = pipeline.classify(photo, seen)
        return seconds, _logs(scores, seen)

    rows.append(
        compare(
            "classify",
            "1000 new labels, one photo",
            "transformers' zero-shot pipeline",
            ours=ours,
            theirs=theirs,
            tolerance=SAME_SCORES,
            target=6.0,
            rounds=2,
        )
    )
    return rows


def _logs(scores: dict[str, float], order: Sequence[str]) -> np.ndarray:
    """Return the scores' logarithms, because 1000 scores near 0.001 always differ little."""
    return np.log(np.maximum([scores[label] for label in order], _LEAST))
