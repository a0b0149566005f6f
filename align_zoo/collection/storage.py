"""What a collection is made of: the table of its rows, and the file that names this table.

A second table may be filled beside the first, and takes its place in one step.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from align_zoo.collection.database import connect, create, drop_others
from align_zoo.collection.place import read_about, write_about
from align_zoo.collection.shards import rows_schema
from align_zoo.collection.table import Table
from align_zoo.errors import AlignZooError

__all__ = ["Storage"]

_FORMAT = 1


class Storage:
    """The table of a collection, by the file ``collection.json``.

    >>> Storage.open("/photos.collection").table.count()
    2

    Args:
        where: the collection's place.
        about: the content of the file.
    """

    def __init__(self, where: str, about: dict[str, Any]) -> None:
        self.where = where
        self._about = about
        self._base = connect(where)
        self.table = Table(self._base, about["table"], where)

    @classmethod
    def create(cls, where: str, *, fingerprint: str, model: str, dim: int) -> Storage:
        """Make an empty table, and the file.

        Args:
            where: the collection's place.
            fingerprint: the checkpoint's.
            model: the checkpoint's name; empty if servers compute the embeddings.
            dim: the numbers of an embedding.
        """
        name = f"rows_{fingerprint}"
        create(connect(where), name, rows_schema(dim))
        about = _about(name, fingerprint, model)
        write_about(where, about)
        return cls(where, about)

    @classmethod
    def open(cls, where: str) -> Storage:
        """Open the table of a collection.

        Raises:
            AlignZooError: there is no collection, or another version of align-zoo made it.
        """
        about = read_about(where)
        if about is None:
            raise AlignZooError(
                f"there is no collection at {where}; make one by `align-zoo index SOURCE {where}`"
            )
        if about.get("format") != _FORMAT:
            raise AlignZooError(
                f"{where} has the format {about.get('format')!r}; this align-zoo reads {_FORMAT}"
            )
        return cls(where, about)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the checkpoint that computed the rows."""
        return str(self._about["fingerprint"])

    @property
    def model(self) -> str:
        """The name of this checkpoint; empty if servers computed the rows."""
        return str(self._about["model"])

    def rebuilt(self) -> Storage | None:
        """Return the storage with the table of another process that has taken this one's place."""
        about = read_about(self.where)
        if about is None or about["table"] == self._about["table"]:
            return None
        return Storage(self.where, about)

    def begin_second(self, fingerprint: str, dim: int, *, new: bool = False) -> Table:
        """Return the table that will take the place of this one: unfinished, or new."""
        names = (f"rows_{fingerprint}", f"rows_{fingerprint}_2")
        name = next(name for name in names if name != self.table.name)
        if new or self._about.get("second") != name:
            # There is another one if a run was killed, or its rebuild was given up.
            drop_others(self._base, self.table.name)
            create(self._base, name, rows_schema(dim))
            self._about["second"] = name
            write_about(self.where, self._about)
        return Table(self._base, name, self.where)

    def finish_second(self, table: Table, fingerprint: str, model: str, work: Path) -> None:
        """Put the second table in the place of the first, which is deleted.

        Args:
            table: the second table.
            fingerprint: that of the checkpoint that computed its rows.
            model: the name of this checkpoint.
            work: the collection's folder of unfinished work.
        """
        first = self.table.name
        self._about = _about(table.name, fingerprint, model)
        write_about(self.where, self._about)
        self.table = table
        drop_others(self._base, table.name)
        shutil.rmtree(work / first, ignore_errors=True)


def _about(table: str, fingerprint: str, model: str) -> dict[str, Any]:
    return {"format": _FORMAT, "table": table, "fingerprint": fingerprint, "model": model}
