"""The parts of the comparison: the contenders of each part, and their work."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from align_client import AlignClient
from align_zoo.runtime.machine import with_huge_pages
from benchmarks.collections.index import index_rows
from benchmarks.collections.search import search_rows
from benchmarks.collections.workers import workers_row
from benchmarks.inputs import photos, write_photos
from benchmarks.peers import PeerUnavailable, infinity, triton_transformers
from benchmarks.peers.worker import Worker
from benchmarks.results import Row
from benchmarks.served import analyzer_rows, bare_rows, classify_rows, peer_rows
from benchmarks.serving_cost import cost_rows
from benchmarks.start import memory_row, serving, start_rows
from benchmarks.towers import tower_rows

__all__ = ["PARTS", "Part"]

Part = Callable[[Path, int, int], "list[Row]"]
"""Makes rows from a checkpoint folder, the image tower's input size and the number of turns."""

_PATIENCE = 600.0


def towers(folder: Path, size: int, rounds: int) -> list[Row]:
    """Compare both towers without a server."""
    ours, theirs = partial(Worker, "align_zoo", folder), partial(Worker, "transformers", folder)
    return tower_rows(folder, ours, theirs, size=size, rounds=rounds)


def against_triton(folder: Path, _: int, rounds: int) -> list[Row]:
    """Compare with a Triton model that wraps transformers, by the same kind of client."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        triton_transformers.running(folder) as peer,
        serving(folder, Path(scratch) / "serve.log") as (_, url, _),
        AlignClient(url, timeout=_PATIENCE) as client,
    ):
        return peer_rows(
            client,
            "Triton wrapping transformers",
            peer.embed_image,
            peer.embed_texts,
            images={1: None, 4: None, 16: None},
            labels_at_once={1: None, 100: None},
            rounds=rounds,
            padding="padded to 64",
        )


def by_perf_analyzer(folder: Path, _: int, rounds: int) -> list[Row]:
    """Compare the same two servers under NVIDIA's load generator."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        triton_transformers.running(folder) as peer,
        serving(folder, Path(scratch) / "serve.log") as (_, url, _),
    ):
        return analyzer_rows(url, peer.grpc_url, rounds=min(rounds, 3))


def against_infinity(folder: Path, _: int, rounds: int) -> list[Row]:
    """Compare with infinity on the same folder; print infinity's words if it does not load."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "serve.log"
        try:
            with (
                infinity.running(folder) as peer,
                serving(folder, log) as (_, url, _),
                AlignClient(url, timeout=_PATIENCE) as client,
            ):
                return peer_rows(
                    client,
                    "infinity",
                    lambda data: peer.embed_images([data])[0],
                    peer.embed_texts,
                    images={1: 2.0, 8: 2.2},
                    labels_at_once={1: 3.0, 100: 1.4},
                    rounds=rounds,
                )
        except PeerUnavailable as error:
            print(f"infinity does not serve {folder}: {error}", flush=True)
            return []


def serving_itself(folder: Path, _: int, rounds: int) -> list[Row]:
    """Measure the time that serving adds to our own towers, and the memory."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving(folder, Path(scratch) / "serve.log") as (process, url, _),
    ):
        with Worker("transformers", folder) as theirs:
            memory = memory_row(folder, process.pid, url, theirs)
        # With the huge pages of the server's models, so that the towers are the same.
        env = with_huge_pages(os.environ)
        with (
            Worker("align_zoo", folder, env=env) as ours,
            AlignClient(url, timeout=_PATIENCE) as client,
        ):
            return [memory, *bare_rows(client, ours, folder, rounds=rounds)]


def classify(folder: Path, _: int, rounds: int) -> list[Row]:
    """Measure zero-shot classification from end to end."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving(folder, Path(scratch) / "serve.log") as (_, url, _),
        AlignClient(url, timeout=_PATIENCE) as client,
        Worker("transformers", folder) as pipeline,
    ):
        (photo,) = write_photos(Path(scratch) / "photos", photos(1))
        return classify_rows(client, pipeline, photo, rounds=rounds)


def start(folder: Path, _: int, rounds: int) -> list[Row]:
    """Measure the seconds from the command to the first answer."""
    return start_rows(folder, rounds=min(rounds, 3))


def index(folder: Path, _: int, rounds: int) -> list[Row]:
    """A collection's upkeep: images, files, memory."""
    return index_rows(folder, rounds=rounds)


def workers(folder: Path, _: int, rounds: int) -> list[Row]:
    """A collection's images by two workers of Ray."""
    return [workers_row(folder, min(rounds, 3))]


def cost(_folder: Path, _: int, rounds: int) -> list[Row]:
    """The CPU time of serving an image, with towers of next to no work."""
    return cost_rows(rounds=rounds)


def search(_folder: Path, _: int, rounds: int) -> list[Row]:
    """Searches of a large collection."""
    return search_rows(rounds=rounds)


PARTS: dict[str, Part] = {
    "towers": towers,
    "infinity": against_infinity,
    "triton": against_triton,
    "perf_analyzer": by_perf_analyzer,
    "serving": serving_itself,
    "cost": cost,
    "classify": classify,
    "start": start,
    "index": index,
    "workers": workers,
    "search": search,
}
"""The parts by name, in the order of the table."""
