"""Embeddings of a source as files that other tools read: Parquet parts, or one .npy with names."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from align_zoo.collection.embedder import Embedder
from align_zoo.collection.engines import Engine, in_process
from align_zoo.collection.shards import Shard, plan
from align_zoo.collection.sources import Source, list_source
from align_zoo.collection.writer import Report
from align_zoo.errors import AlignZooError, InvalidInput
from align_zoo.progress import progress_bar
from align_zoo.writing import alone_in, replacing

__all__ = ["DTYPES", "write_vectors"]

DTYPES = ("float32", "float16")
_LEFT_OUT = ("raw_path", "source", "archive", "offset", "content", "mtime_ns")


def write_vectors(
    source: Source,
    out: Path,
    embedder: Embedder,
    *,
    dtype: str = "float32",
    engine: Engine = in_process,
    progress: bool = False,
) -> Report:
    """Embed every image of a source, and write paths and unit rows.

    A second run after an interruption computes what is missing. Images that cannot be used are
    in the report; in Parquet they are rows with an ``error`` and zeros.

    Args:
        source: as of :meth:`Collection.add`.
        out: a folder for Parquet parts (``path``, ``vector`` as a fixed-size list, ``width``,
            ``height``, ``error`` and the source's further columns); or a file ``NAME.npy``
            for [N, D], beside which ``NAME.jsonl`` has a line ``{"path": ...}`` for each row.
        embedder: what computes the embeddings.
        dtype: "float32" or "float16", of the numbers on disk.
        engine: what hands out the work.
        progress: show a bar on stderr.

    Raises:
        InvalidInput: there is no such dtype.
        AlignZooError: there is no such source, the place cannot be written, or another process
            writes there.
    """
    if dtype not in DTYPES:
        raise InvalidInput(f"there is no dtype {dtype!r}; there are {', '.join(DTYPES)}")
    single = out.suffix == ".npy"
    folder = out.with_name(f".{out.name}.parts") if single else out
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):
            report = _write_parts(source, folder, embedder, dtype, engine, progress)
            if single:
                _write_npy(folder, out)
        if single:
            shutil.rmtree(folder)
    except BlockingIOError as error:
        raise AlignZooError(f"another process writes to {out}; wait for its end") from error
    except OSError as error:
        raise AlignZooError(f"{out} cannot be written: {error.strerror or error}") from error
    return report


def _write_parts(
    source: Source, folder: Path, embedder: Embedder, dtype: str, engine: Engine, progress: bool
) -> Report:
    items = list(list_source(source))
    dim = embedder.texts(["a"]).shape[1]
    failed: dict[str, str] = {}
    embedded = unchanged = 0
    kept: set[str] = set()
    unfinished: dict[int, Path] = {}

    def missing() -> Iterator[Shard]:
        nonlocal unchanged
        for number, shard in enumerate(plan(items, embedder.fingerprint, os.fspath(source))):
            path = folder / f"part-{number:06}-{shard.name[:16]}-{dtype}.parquet"
            kept.add(path.name)
            if not path.exists():
                unfinished[id(shard)] = path
                yield shard
                continue
            unchanged += len(shard.items)
            advance(len(shard.items))

    with (
        progress_bar("images", len(items), show=progress) as advance,
        closing(engine(missing(), embedder, dim, advance)) as finished,
    ):
        for shard, rows in finished:
            errors = rows.column("error").to_pylist()
            for item, error in zip(shard.items, errors, strict=True):
                if error is not None:
                    failed[item.path] = error
            embedded += len(errors) - sum(error is not None for error in errors)
            with replacing(unfinished.pop(id(shard))) as part:
                pq.write_table(_shown(rows, dim, dtype), part)
    for path in folder.glob("part-*.parquet"):
        if path.name not in kept:  # of the same source as it was before, or another dtype
            path.unlink()
    return Report(listed=len(items), embedded=embedded, unchanged=unchanged, failed=failed)


def _shown(rows: pa.Table, dim: int, dtype: str) -> pa.Table:
    rows = rows.drop_columns(list(_LEFT_OUT))
    if dtype == "float16":
        place = rows.schema.get_field_index("vector")
        numbers = rows.column("vector").combine_chunks().values.to_numpy().astype(np.float16)
        halves = pa.FixedSizeListArray.from_arrays(pa.array(numbers), dim)
        rows = rows.set_column(place, "vector", halves)
    return rows


def _sound(folder: Path) -> Iterator[pa.Table]:
    for path in sorted(folder.glob("part-*.parquet")):
        table = pq.read_table(path)
        yield table.filter(pa.compute.is_null(table.column("error")))


def _write_npy(folder: Path, out: Path) -> None:
    count = sum(len(table) for table in _sound(folder))
    written = 0
    with replacing(out) as vectors, replacing(out.with_suffix(".jsonl")) as names:
        rows: np.memmap | None = None
        with names.open("w", encoding="utf-8") as lines:
            for table in _sound(folder):
                column = table.column("vector").combine_chunks()
                part = column.flatten().to_numpy().reshape(len(table), -1)
                if rows is None:
                    rows = np.lib.format.open_memmap(
                        vectors, "w+", part.dtype, (count, part.shape[1])
                    )
                rows[written : written + len(part)] = part
                written += len(part)
                for path in table.column("path").to_pylist():
                    lines.write(json.dumps({"path": path}) + "\n")
        if rows is None:
            raise AlignZooError("no image of the source can be embedded")
        rows.flush()
