"""Whether a collection's rows are as they were written, and which are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from align_zoo.collection.state import State
from align_zoo.collection.table import Table
from align_zoo.collection.writer import known_of
from align_zoo.errors import AlignZooError

__all__ = ["Health", "examine", "sound_rows"]

_ROWS = 4096
_LENGTH = 1e-3
"""How far an embedding's length may be from 1."""
_QUERIES, _HITS = 30, 10


@dataclass
class Health:
    """What a check found."""

    rows: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    """What is wrong, by path."""
    unnamed: int = 0
    """Damaged rows whose paths are not known either."""
    index: str = ""
    """Why the index cannot be used; empty if it can, or if there is none."""
    recall: float | None = None
    """The share of the ten nearest images that the index finds; None if there is no index."""

    @property
    def sound(self) -> bool:
        """Whether everything is as it was written."""
        return not (self.damaged or self.unnamed or self.index)

    def summary(self) -> list[str]:
        """Say what was found, in one line for each matter."""
        bad = len(self.damaged) + self.unnamed
        lines = [f"{self.rows} rows, {bad} damaged" if bad else f"{self.rows} rows, all sound"]
        if self.unnamed:
            lines.append(f"the paths of {self.unnamed} damaged rows are not known")
        if self.index:
            lines.append(f"the index cannot be used: {self.index}")
        if self.recall is not None:
            lines.append(f"the index finds {self.recall:.1%} of the {_HITS} nearest images")
        return lines


def examine(
    table: Table, state: State | None, advance: Callable[[int], None] = lambda rows: None
) -> Health:
    """Read all rows of a table, and measure its index.

    Args:
        table: the table, to which no other process writes.
        state: the index of its paths; None if it is lost, and then rows cannot be missed.
        advance: is called with the number of rows that are done, as they are.
    """
    health = Health(table.count())
    for _ in sound_rows(table, state, health, advance):
        pass
    if not health.damaged and not health.unnamed:
        try:
            health.recall = table.recall(_QUERIES, _HITS)
        except AlignZooError as error:
            health.index = str(error)
    return health


def sound_rows(
    table: Table,
    state: State | None,
    health: Health,
    advance: Callable[[int], None] = lambda rows: None,
) -> Iterator[pa.Table]:
    """Yield the sound rows of a table part by part, and note all others in ``health``."""
    count, unreadable = table.count(), 0
    if state:
        state.forget_seen()
    for start in range(0, count, _ROWS):
        end = min(start + _ROWS, count)
        for part in _readable(table, start, end):
            rows, lost = _decodable(part) if isinstance(part, pa.Table) else (None, part)
            unreadable += lost
            if rows is not None:
                yield _sound(rows, state.differing(known_of(rows)) if state else {}, health)
        advance(end - start)
    missing = list(state.unseen()) if state else []
    health.damaged.update(dict.fromkeys(missing, "the row cannot be read"))
    health.unnamed += max(0, unreadable - len(missing))


def _readable(table: Table, start: int, end: int) -> Iterator[pa.Table | int]:
    """Yield the rows from start to end, or how many of them cannot be read."""
    if rows := _taken(table, start, end):
        yield rows
    elif not any(_taken(table, i, i + 1) for i in {start, (start + end) // 2, end - 1}):
        yield end - start  # a damaged page has thousands of rows: each by itself would take long
    else:
        middle = (start + end) // 2
        yield from _readable(table, start, middle)
        yield from _readable(table, middle, end)


def _taken(table: Table, start: int, end: int) -> pa.Table | None:
    try:
        return table.take(start, end)
    except AlignZooError:
        return None


def _decodable(rows: pa.Table) -> tuple[pa.Table, int]:
    """Return the rows whose texts are UTF-8, and the number of the others."""
    try:
        rows.validate(full=True)
    except pa.ArrowInvalid:
        texts = [f.name for f in rows.schema if pa.types.is_string(f.type)]
        columns = [rows.column(name).cast(pa.binary()).to_pylist() for name in texts]
        kept = [i for i, texts in enumerate(zip(*columns, strict=True)) if all(map(_utf8, texts))]
        return rows.take(kept), len(rows) - len(kept)
    return rows, 0


def _utf8(text: bytes | None) -> bool:
    try:
        return text is None or text.decode() is not None
    except UnicodeDecodeError:
        return False


def _sound(rows: pa.Table, wrong: dict[int, str], health: Health) -> pa.Table:
    vectors = rows.column("vector").combine_chunks().flatten().to_numpy()
    lengths = np.linalg.norm(vectors.reshape(len(rows), -1), axis=1)
    failed = rows.column("error").is_valid().to_numpy()
    off = ~(np.abs(lengths - np.where(failed, 0, 1)) <= _LENGTH)  # of nan, too
    wrong = {
        i: f"the embedding has the length {lengths[i]:.3g}" for i in np.flatnonzero(off)
    } | wrong
    paths = rows.column("path")
    health.damaged.update((paths[i].as_py(), what) for i, what in wrong.items())
    return rows.take([i for i in range(len(rows)) if i not in wrong])
