"""What a collection holds, by path: a small index beside the table, made again when it is lost.

The table is the truth. This index answers in a second what is new, changed, moved or gone among
100,000 files, without the table being opened.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from align_zoo.collection.sources import Input

__all__ = ["Known", "State"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS known (
    path BLOB PRIMARY KEY, source TEXT, size INTEGER, mtime INTEGER, content BLOB, failed TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS known_content ON known (content);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TEMP TABLE seen (path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE listed (path BLOB PRIMARY KEY, size INTEGER, mtime INTEGER) WITHOUT ROWID;
CREATE TEMP TABLE further (
    path BLOB PRIMARY KEY, place INTEGER, file TEXT, columns TEXT
) WITHOUT ROWID;
"""
_MANY = 10_000
_AT_ONCE = 200
"""SQLite takes some hundred values a statement in every build."""
_FRESH = "(k.path IS NULL OR k.size != l.size OR k.mtime != l.mtime)"
_FAILED = "k.failed IS NOT NULL"


class Known(NamedTuple):
    """A row of the collection, without its embedding."""

    path: str
    source: str
    size: int
    mtime_ns: int
    content: bytes | None
    failed: str | None
    """The reason why the image has no embedding."""


class State:
    """The index in a file; a context manager.

    Args:
        path: the file, made if there is none, or if it is damaged.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open(path)
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self._open(path)

    def _open(self, path: Path) -> None:
        self._base = sqlite3.connect(path, isolation_level=None)
        # A lost index is made again from the table, so the disk need not be waited for.
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute("PRAGMA temp_store = FILE")
        self._base.executescript(_SCHEMA)

    def __enter__(self) -> State:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._base.close()

    @property
    def version(self) -> str:
        """The version of the table that the index is of; empty if there is none yet."""
        row = self._base.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        return row[0] if row else ""

    def replace(self, rows: Iterable[Known], version: str) -> None:
        """Make the index of all rows of a table."""
        self._base.execute("BEGIN")
        self._base.execute("DELETE FROM known")
        self._insert(rows)
        self._finish(version)

    def update(self, rows: Iterable[Known], gone: Iterable[str], version: str) -> None:
        """Follow a change of the table: rows that were written, and paths that were deleted."""
        self._base.execute("BEGIN")
        self._base.executemany(
            "DELETE FROM known WHERE path = ?", ((os.fsencode(path),) for path in gone)
        )
        self._insert(rows)
        self._finish(version)

    def _insert(self, rows: Iterable[Known]) -> None:
        self._base.executemany(
            "INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?, ?, ?)",
            ((os.fsencode(row.path), *row[1:]) for row in rows),
        )

    def _finish(self, version: str) -> None:
        self._base.execute("INSERT OR REPLACE INTO meta VALUES ('version', ?)", (version,))
        self._base.execute("COMMIT")

    def remember(self, items: Iterable[Input]) -> int:
        """Remember what a source holds now, and return how many different paths that are."""
        self._base.execute("BEGIN")
        self._base.execute("DELETE FROM listed")
        self._base.execute("DELETE FROM further")
        iterator = iter(items)
        while part := list(islice(iterator, _AT_ONCE)):
            # One statement for many rows takes two thirds of the time of one for each.
            states = [(os.fsencode(item.path), item.size, item.mtime_ns) for item in part]
            rows = ", ".join(["(?, ?, ?)"] * len(states))
            self._base.execute(
                f"INSERT OR REPLACE INTO listed VALUES {rows}", [*chain.from_iterable(states)]
            )
            # Most images are files of their own, without columns.
            self._base.executemany(
                "INSERT OR REPLACE INTO further VALUES (?, ?, ?, ?)",
                (
                    (
                        os.fsencode(item.path),
                        item.offset,
                        item.file,
                        json.dumps(dict(item.columns), default=str) if item.columns else None,
                    )
                    for item in part
                    if item.file or item.columns
                ),
            )
        self._base.execute("COMMIT")
        return int(self._base.execute("SELECT count(*) FROM listed").fetchone()[0])

    def fresh(self, *, failed: bool = False) -> Iterator[Input]:
        """Yield the listed images to embed.

        Args:
            failed: yield what failed before and is unchanged, instead of what is new or changed.
        """
        return self._listed(_FAILED if failed else _FRESH)

    def count_fresh(self, *, failed: bool = False) -> int:
        """Count the images that :meth:`fresh` yields."""
        rows = self._base.execute(
            "SELECT count(*) FROM listed l LEFT JOIN known k ON k.path = l.path WHERE "
            + (_FAILED if failed else _FRESH)
        )
        return int(rows.fetchone()[0])

    def gone(self, source: str) -> Iterator[str]:
        """Yield the paths of a source's rows that are not among the listed."""
        rows = self._base.execute(
            "SELECT k.path FROM known k LEFT JOIN listed l ON l.path = k.path "
            "WHERE k.source = ? AND l.path IS NULL",
            (source,),
        )
        while part := rows.fetchmany(_MANY):
            yield from (os.fsdecode(path) for (path,) in part)

    def maybe_moved(self, source: str) -> Iterator[Input]:
        """Yield the new images of the size of an embedded row whose image is gone."""
        return self._listed(
            "k.path IS NULL AND l.size IN ("
            "SELECT g.size FROM known g LEFT JOIN listed s ON s.path = g.path "
            "WHERE g.source = ? AND g.failed IS NULL AND s.path IS NULL)",
            source,
        )

    def _listed(self, condition: str, *values: str) -> Iterator[Input]:
        """Yield the listed images ``l`` with rows ``k`` that fit a condition, by their paths."""
        rows = self._base.execute(
            "SELECT l.path, l.size, l.mtime, f.place, f.file, f.columns FROM listed l "
            "LEFT JOIN known k ON k.path = l.path LEFT JOIN further f ON f.path = l.path "
            f"WHERE {condition} ORDER BY l.path",
            values,
        )
        while part := rows.fetchmany(_MANY):
            for path, size, mtime, place, file, columns in part:
                further: dict[str, Any] = json.loads(columns) if columns else {}
                yield Input(os.fsdecode(path), size, mtime, place, file or "", further)

    def gone_with(self, content: bytes, source: str) -> list[str]:
        """Return the paths of embedded rows with that content whose images are gone."""
        rows = self._base.execute(
            "SELECT k.path FROM known k LEFT JOIN listed l ON l.path = k.path WHERE k.content = ? "
            "AND k.source = ? AND k.failed IS NULL AND l.path IS NULL ORDER BY k.path",
            (content, source),
        )
        return [os.fsdecode(path) for (path,) in rows.fetchall()]

    def forget_seen(self) -> None:
        """Begin a comparison of the table's rows with this index."""
        self._base.execute("DELETE FROM seen")

    def differing(self, rows: Sequence[Known]) -> dict[int, str]:
        """Return by its place what is wrong with a row of the table, and remember all as seen."""
        wrong = {}
        self._base.execute("BEGIN")
        for place, row in enumerate(rows):
            path = os.fsencode(row.path)
            if self._base.execute("INSERT OR IGNORE INTO seen VALUES (?)", (path,)).rowcount == 0:
                wrong[place] = "the row is there twice"
            elif (known := self.get(row.path)) is None:
                wrong[place] = "no row has been written for this path"
            elif known != row:
                wrong[place] = "the row is not as it was written"
        self._base.execute("COMMIT")
        return wrong

    def unseen(self) -> Iterator[str]:
        """Yield the paths that no row of the comparison had."""
        rows = self._base.execute(
            "SELECT k.path FROM known k LEFT JOIN seen s ON s.path = k.path WHERE s.path IS NULL"
        )
        return (os.fsdecode(path) for (path,) in rows)

    def get(self, path: str) -> Known | None:
        """Return the row of a path, if there is one."""
        row = self._base.execute(
            "SELECT * FROM known WHERE path = ?", (os.fsencode(path),)
        ).fetchone()
        return Known(path, *row[1:]) if row else None
