"""What a collection holds, by path: a small index beside the table, made again when it is lost.

The table is the truth. This index answers in a second what is new, changed, moved or gone among
100,000 files, without the table being opened.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from align_zoo.collection.sources import Input

__all__ = ["Known", "Moved", "State"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS known (
    path BLOB PRIMARY KEY, source TEXT, size INTEGER, mtime INTEGER, content BLOB, failed TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS known_size ON known (size);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TEMP TABLE listed (
    path BLOB PRIMARY KEY, size INTEGER, mtime INTEGER, place INTEGER, file TEXT, columns TEXT
) WITHOUT ROWID;
"""
_MANY = 10_000


class Known(NamedTuple):
    """A row of the collection, without its embedding."""

    path: str
    source: str
    size: int
    mtime_ns: int
    content: bytes | None
    failed: str | None
    """The reason why the image has no embedding."""


class Moved(NamedTuple):
    """An image that may be another's file under a new name."""

    item: Input
    old: str
    content: bytes


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

    def list(self, items: Iterable[Input]) -> int:
        """Remember what a source holds now, and return how many different paths that are."""
        self._base.execute("BEGIN")
        self._base.execute("DELETE FROM listed")
        self._base.executemany(
            "INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?, ?, ?)",
            (
                (
                    os.fsencode(item.path),
                    item.size,
                    item.mtime_ns,
                    item.offset,
                    item.file,
                    json.dumps(dict(item.columns), default=str) if item.columns else None,
                )
                for item in items
            ),
        )
        self._base.execute("COMMIT")
        return int(self._base.execute("SELECT count(*) FROM listed").fetchone()[0])

    def fresh(self, *, failed: bool = False) -> Iterator[Input]:
        """Yield the listed images to embed.

        Args:
            failed: yield what failed before and is unchanged, instead of what is new or changed.
        """
        rows = self._base.execute(
            "SELECT l.path, l.size, l.mtime, l.place, l.file, l.columns "
            "FROM listed l LEFT JOIN known k ON k.path = l.path WHERE "
            + (
                "k.failed IS NOT NULL"
                if failed
                else "k.path IS NULL OR k.size != l.size OR k.mtime != l.mtime"
            )
            + " ORDER BY l.path"
        )
        while part := rows.fetchmany(_MANY):
            for path, size, mtime, place, file, columns in part:
                further: dict[str, Any] = json.loads(columns) if columns else {}
                yield Input(os.fsdecode(path), size, mtime, place, file, further)

    def gone(self, source: str) -> Iterator[Known]:
        """Yield the rows of a source that are not among the listed paths."""
        rows = self._base.execute(
            "SELECT k.* FROM known k LEFT JOIN listed l ON l.path = k.path "
            "WHERE k.source = ? AND l.path IS NULL",
            (source,),
        )
        while part := rows.fetchmany(_MANY):
            for path, *rest in part:
                yield Known(os.fsdecode(path), *rest)

    def moved(self, source: str) -> Iterator[Moved]:
        """Yield new images whose size is that of an embedded row whose file is gone.

        Their content tells whether they are the same image.
        """
        rows = self._base.execute(
            "SELECT n.path, n.size, n.mtime, n.place, n.file, n.columns, k.path, k.content "
            "FROM listed n "
            "JOIN known k ON k.size = n.size AND k.source = ? AND k.failed IS NULL "
            "LEFT JOIN known same ON same.path = n.path "
            "LEFT JOIN listed still ON still.path = k.path "
            "WHERE same.path IS NULL AND still.path IS NULL ORDER BY n.path, k.path",
            (source,),
        )
        while part := rows.fetchmany(_MANY):
            for path, size, mtime, place, file, columns, old, content in part:
                further = json.loads(columns) if columns else {}
                item = Input(os.fsdecode(path), size, mtime, place, file, further)
                yield Moved(item, os.fsdecode(old), content)

    def get(self, path: str) -> Known | None:
        """Return the row of a path, if there is one."""
        row = self._base.execute(
            "SELECT * FROM known WHERE path = ?", (os.fsencode(path),)
        ).fetchone()
        return Known(path, *row[1:]) if row else None

    def counts(self) -> dict[str, int]:
        """Count the rows by reason of failure; the embedded ones under the empty reason."""
        rows = self._base.execute("SELECT ifnull(failed, ''), count(*) FROM known GROUP BY failed")
        return dict(rows.fetchall())
