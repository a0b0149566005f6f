"""Bringing a collection's table up to date with a source, one process at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from align_zoo.collection.classify import Labels
from align_zoo.collection.embedder import Embedder
from align_zoo.collection.engines import Engine
from align_zoo.collection.place import place_of
from align_zoo.collection.shards import SHARD, Shard, content_of, plan, shown_path
from align_zoo.collection.sources import Input, Source, list_source, read_bytes
from align_zoo.collection.state import Known, State
from align_zoo.collection.table import SOUND, Table, quoted
from align_zoo.errors import InvalidImage
from align_zoo.progress import progress_bar
from align_zoo.writing import replacing

__all__ = ["Report", "Writer", "keep_finished", "known_of"]

_SHARDS_A_COMMIT = 32
"""Many small commits make many files."""
_BATCHES_A_COMMIT = 64
"""Batches of 4,096 rows whose labels are written at once."""
_KNOWN = ("path", "raw_path", "source", "size", "mtime_ns", "content", "reason")


@dataclass(frozen=True)
class Report:
    """What a run did: ``listed`` is the sum of ``embedded``, ``unchanged``, ``moved`` and failures.

    >>> with Collection.create("photos.collection", model="align_tiny") as photos:
    ...     report = photos.add("photos")
    >>> report.embedded, report.failed
    (2, {})

    An image that failed in an earlier run and is the same file counts as unchanged.
    """

    listed: int = 0
    """Images that the source has."""
    embedded: int = 0
    unchanged: int = 0
    moved: int = 0
    """Images known by their content under another path, which are not embedded again."""
    pruned: int = 0
    """Rows that were deleted because their images are gone."""
    gone: int = 0
    """Rows that stay although their images are gone."""
    failed: dict[str, str] = field(default_factory=dict)
    """The error of each image of this run that cannot be used, by path."""

    def __add__(self, other: Report) -> Report:
        """Return the report of two runs as of one."""
        pairs = ((each.name, getattr(self, each.name)) for each in fields(self))
        counts = {name: own + getattr(other, name) for name, own in pairs if name != "failed"}
        return Report(**counts, failed={**self.failed, **other.failed})

    def summary(self) -> str:
        """Say in one line what was done; counts of 0 are left out."""
        counts = {
            "embedded": self.embedded,
            "unchanged": self.unchanged,
            "moved": self.moved,
            "pruned": self.pruned,
            "failed": len(self.failed),
            "gone (--prune forgets them)": self.gone,
        }
        shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        return f"{self.listed} images: {shown or 'nothing to do'}"


def keep_finished(work: Path, other: Path) -> None:
    """Move the finished shards of a table to the folder of one that takes its place."""
    other.mkdir(exist_ok=True)
    for path in work.glob("*.parquet"):
        path.replace(other / path.name)


class Writer:
    """The one process that writes to a collection.

    A finished shard is a Parquet file in the work folder until a commit moves many of them to the
    table. So a killed run loses the shard that it was at, and the next run begins with a commit.
    """

    def __init__(
        self, table: Table, work: Path, state: State, embedder: Callable[[], Embedder]
    ) -> None:
        self._table, self._work, self._state = table, work, state
        self._embedder = embedder

    @classmethod
    @contextmanager
    def opened(cls, table: Table, work: Path, embedder: Callable[[], Embedder]) -> Iterator[Writer]:
        """Open the index of a table's paths, which is made again if it is not the table's.

        Args:
            table: the collection's table, to which no other process writes: see :func:`alone`.
            work: the folder of the table's unfinished work.
            embedder: returns what computes the embeddings, when it is first needed.
        """
        with State(work / "state.sqlite") as state:
            writer = cls(table, work, state, embedder)
            if state.version != table.version:
                batches = map(known_of, table.scan(_KNOWN))
                state.replace((row for rows in batches for row in rows), table.version)
            yield writer

    def add(
        self,
        source: Source,
        engine: Engine,
        *,
        prune: bool = False,
        retry_failed: bool = False,
        progress: bool = False,
    ) -> Report:
        """See :meth:`Collection.add`."""
        name = place_of(source)
        self._commit_finished()
        listed = self._state.remember(list_source(source))
        fresh = self._state.count_fresh(failed=retry_failed)
        moved = self._follow_moves(name) if fresh and not retry_failed else 0
        fresh -= moved
        failed: dict[str, str] = {}
        if fresh:
            shards = plan(
                self._state.fresh(failed=retry_failed), self._embedder().fingerprint, name
            )
            self._embed(engine, shards, fresh, failed, progress=progress)
        gone = list(self._state.gone(name))
        if prune:
            self._forget(gone)
        if fresh or moved or (prune and gone):
            self.upkeep()
        return Report(
            listed=listed,
            embedded=fresh - len(failed),
            unchanged=listed - fresh - moved,
            moved=moved,
            pruned=len(gone) if prune else 0,
            gone=0 if prune else len(gone),
            failed=failed,
        )

    def label(
        self, labels: Labels, temperature: float, column: str, *, progress: bool
    ) -> dict[str, int]:
        """See :meth:`Collection.label`."""
        counts = dict.fromkeys(labels.names, 0)
        with progress_bar("images", self._table.count(SOUND), show=progress) as advance:
            batches = self._table.scan(["path", "vector"], SOUND)
            for part in _chunks(batches, _BATCHES_A_COMMIT):
                rows = pa.Table.from_batches(part)
                vectors = rows.column("vector").combine_chunks().flatten().to_numpy()
                best, scores = labels.best(vectors.reshape(len(rows), -1), temperature)
                names = [labels.names[i] for i in best]
                for name in names:
                    counts[name] += 1
                kept = {column: pa.array(names), f"{column}_score": pa.array(scores, pa.float32())}
                self._table.set_columns(pa.table({"path": rows.column("path"), **kept}))
                advance(len(rows))
        self._state.update([], [], self._table.version)
        return counts

    def lacking(self, other: Table) -> Iterator[str]:
        """Yield the paths of another table that this one has no row of."""
        for batch in other.scan(_KNOWN):
            for row in known_of(batch):
                if self._state.get(row.path) is None:
                    yield row.path

    def upkeep(self, *, always: bool = False) -> None:
        """Merge small files, follow with the index and remove old versions, where it is due."""
        self._table.upkeep(always=always)
        self._state.update([], [], self._table.version)

    def _embed(
        self,
        engine: Engine,
        shards: Iterator[Shard],
        count: int,
        failed: dict[str, str],
        *,
        progress: bool,
    ) -> None:
        embedder, dim = self._embedder(), self._table.dim
        try:
            with (
                progress_bar("images", count, show=progress) as advance,
                closing(engine(shards, embedder, dim, advance)) as finished,
            ):
                for number, (shard, rows) in enumerate(finished, 1):
                    self._finish(shard, rows)
                    for item, error in zip(shard.items, rows["error"].to_pylist(), strict=True):
                        if error is not None:
                            failed[item.path] = error
                    if number % _SHARDS_A_COMMIT == 0:
                        self._commit_finished()
        finally:
            self._commit_finished()

    def _finish(self, shard: Shard, rows: pa.Table) -> None:
        with replacing(self._work / f"{shard.name}.parquet") as part:
            pq.write_table(rows, part, compression="none")

    def _commit_finished(self) -> None:
        """Move the finished shards to the table."""
        for part in _chunks(sorted(self._work.glob("*.parquet")), _SHARDS_A_COMMIT):
            tables = [pq.read_table(path) for path in part]
            self._commit(pa.concat_tables(tables, promote_options="permissive"))
            for path in part:
                path.unlink()

    def _commit(self, rows: pa.Table) -> None:
        """Add the rows that the table does not have yet: a killed run may have added some."""
        known = known_of(rows)
        new, changed = [], []
        for i, row in enumerate(known):
            there = self._state.get(row.path)
            if there is None:
                new.append(i)
            elif there != row:
                changed.append(i)
        if new:
            self._table.append(rows.take(new))
        if changed:
            self._table.upsert(rows.take(changed))
        self._state.update(known, [], self._table.version)

    def _follow_moves(self, source: str) -> int:
        """Give the rows of moved images their new paths, without computing them again."""
        renamed: dict[str, Input] = {}
        for item in self._state.maybe_moved(source):
            content = _content(item)
            olds = self._state.gone_with(content, source) if content is not None else []
            if old := next((old for old in olds if old not in renamed), None):
                renamed[old] = item
        for olds in _chunks(list(renamed), SHARD):
            listed = ", ".join(quoted(shown_path(old)[0]) for old in olds)
            batches = self._table.scan(self._table.columns, f"path IN ({listed})")
            rows = pa.Table.from_batches(list(batches))
            items = [renamed[known.path] for known in known_of(rows)]
            shown = [shown_path(item.path) for item in items]
            for column, values in (
                ("path", [path for path, _ in shown]),
                ("raw_path", [raw for _, raw in shown]),
                ("mtime_ns", [item.mtime_ns for item in items]),
                ("archive", [item.file or None for item in items]),
                ("offset", [item.offset for item in items]),
            ):
                place = rows.schema.get_field_index(column)
                kind = rows.schema.field(column)
                rows = rows.set_column(place, kind, pa.array(values, kind.type))
            self._table.upsert(rows)
            self._state.update(known_of(rows), [], self._table.version)
            self._forget(olds)
        return len(renamed)

    def _forget(self, paths: Sequence[str]) -> None:
        for part in _chunks(paths, SHARD):
            self._table.delete([shown_path(path)[0] for path in part])
            self._state.update([], part, self._table.version)


def known_of(rows: pa.Table | pa.RecordBatch) -> list[Known]:
    """Return what rows of the table have beside their embeddings."""
    columns = (rows.column(name).to_pylist() for name in _KNOWN)
    return [
        Known(os.fsdecode(raw) if raw is not None else path, *rest)
        for path, raw, *rest in zip(*columns, strict=True)
    ]


def _content(item: Input) -> bytes | None:
    try:
        return content_of(read_bytes(item))
    except InvalidImage:
        return None


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part
