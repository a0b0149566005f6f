"""The table of a collection in LanceDB: rows in, nearest rows out, upkeep."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from align_zoo.collection.database import error_of, in_words
from align_zoo.errors import AlignZooError, InvalidInput

if TYPE_CHECKING:
    from lancedb.db import DBConnection

__all__ = ["SOUND", "Table", "quoted"]

EXACT = 100_000
"""Rows up to which a search computes every distance: 0.2 s on two cores."""
_ROUNDS = 25
"""Rounds in which the index's partitions are found; more take longer and find no better ones."""
_PROBES = 150
"""Partitions that a search reads."""
_REFINE = 10
"""Times ``k`` rows whose distances a search computes from the vectors themselves."""
_FRAGMENTS = 4
"""Small files of rows, beyond which they are merged."""
_PARTS_A_COMMIT = 32
_UNINDEXED = 0.1
"""Share of rows beside the index, beyond which they are added to it."""
SOUND = "error IS NULL"
"""The SQL condition of rows with an embedding."""


class Table:
    """The rows of one checkpoint.

    Args:
        base: the database.
        name: the table's name in it.
        where: the collection's place, for messages.
    """

    def __init__(self, base: DBConnection, name: str, where: str) -> None:
        self.where, self.name = where, name
        try:
            self._table = base.open_table(name)
        except (OSError, RuntimeError, ValueError) as error:
            raise error_of(where, error) from error

    @property
    @in_words
    def version(self) -> str:
        """The table's name and the number of its latest commit."""
        return f"{self.name} {self._table.version}"

    @property
    @in_words
    def dim(self) -> int:
        """The numbers of an embedding."""
        return int(self._table.schema.field("vector").type.list_size)

    @property
    @in_words
    def columns(self) -> list[str]:
        """The names of all columns."""
        return list(self._table.schema.names)

    @in_words
    def count(self, where: str | None = None) -> int:
        """Count the rows, or those that fit an SQL condition."""
        return int(self._table.count_rows(where))

    @in_words
    def append(self, rows: pa.Table) -> None:
        """Add rows of paths that the table does not have, in one commit."""
        self._table.add(self._fitting(rows))

    def fill(self, parts: Iterable[pa.Table]) -> None:
        """Add the rows of many small tables in few commits, and look after the table."""
        iterator = iter(parts)
        while some := list(islice(iterator, _PARTS_A_COMMIT)):
            self.append(pa.concat_tables(some, promote_options="permissive"))
        self.upkeep(always=True)

    @in_words
    def upsert(self, rows: pa.Table) -> None:
        """Put rows in the place of those of the same paths, in one commit."""
        merge = self._table.merge_insert("path")
        merge = merge.when_matched_update_all().when_not_matched_insert_all()
        merge.execute(self._fitting(rows))

    @in_words
    def delete(self, paths: Sequence[str]) -> None:
        """Delete the rows of some paths, in one commit."""
        listed = ", ".join(quoted(path) for path in paths)
        self._table.delete(f"path IN ({listed})")

    @in_words
    def set_columns(self, rows: pa.Table) -> None:
        """Write some columns of rows that are there, known by their paths, in one commit."""
        self._add_columns(rows.schema)
        self._table.merge_insert("path").when_matched_update_all().execute(rows)

    def _add_columns(self, schema: pa.Schema) -> None:
        names = self._table.schema.names
        # A column of nothing but nulls has no type yet.
        new = [f for f in schema if f.name not in names and not pa.types.is_null(f.type)]
        if new:
            self._table.add_columns(new)
            self._table.checkout_latest()

    def _fitting(self, rows: pa.Table) -> pa.Table:
        """Return the rows with the table's columns; columns that are new are added to the table."""
        self._add_columns(rows.schema)
        schema = self._table.schema
        arrays = []
        for field in schema:
            if field.name in rows.column_names:
                arrays.append(_cast(rows.column(field.name), field))
            else:
                arrays.append(pa.nulls(len(rows), field.type))
        return pa.Table.from_arrays(arrays, schema=schema)

    def scan(
        self, columns: Sequence[str], where: str | None = None, size: int = 4096
    ) -> Iterator[pa.RecordBatch]:
        """Yield some columns of all rows, or of those that fit an SQL condition, in parts.

        Raises:
            InvalidInput: the condition is no SQL, or names no column.
            AlignZooError: the table cannot be read.
        """
        try:
            query = self._table.search().select(list(columns))
            if where:
                query = query.where(where)
            yield from query.to_batches(size)
        except (OSError, RuntimeError, ValueError) as error:
            raise self._failure(error, where) from error

    def nearest(
        self,
        vector: np.ndarray,
        k: int,
        *,
        where: str | None = None,
        columns: Sequence[str] = ("path",),
        exact: bool = False,
    ) -> pa.Table:
        """Return the ``k`` rows of the greatest cosine, best first, and ``_distance`` = 1 - cosine.

        Args:
            vector: [D].
            k: the most rows to return.
            where: an SQL condition on the columns; only rows that fit it are searched.
            columns: what to return of a row.
            exact: do without the index.

        Raises:
            InvalidInput: the condition is no SQL, or names no column.
            AlignZooError: the table cannot be read.
        """

        def search(condition: str | None) -> pa.Table:
            query = self._table.search(vector.astype(np.float32), vector_column_name="vector")
            query = query.distance_type("cosine").limit(k)
            query = query.select([*dict.fromkeys((*columns, "error")), "_distance"])
            if condition:
                query = query.where(condition, prefilter=True)
            if exact:
                query = query.bypass_vector_index()
            else:
                query = query.nprobes(_PROBES).refine_factor(_REFINE)
            return query.to_arrow()

        def found() -> pa.Table:
            # A condition on a million rows takes five times as long as a search without one, and
            # rows with an error are hardly ever near: their embeddings are zeros.
            rows = search(None) if where is None else None
            if rows is None or len(rows) < k or rows["error"].null_count < len(rows):
                rows = search(f"({where}) AND {SOUND}" if where else SOUND)
            return rows if "error" in columns else rows.drop_columns(["error"])

        try:
            return found()
        except (OSError, RuntimeError, ValueError):
            pass  # A writer may have removed the version that was read: the latest one is there.
        try:
            self._table.checkout_latest()
            return found()
        except (OSError, RuntimeError, ValueError) as error:
            raise self._failure(error, where) from error

    def _failure(self, error: Exception, where: str | None) -> AlignZooError:
        said = str(error).partition("\n")[0]
        if where is not None:
            try:
                self._table.search().where(where).explain_plan()
            except (RuntimeError, ValueError):
                return InvalidInput(
                    f"where {where!r} cannot be used: {said}; "
                    f"there are the columns {', '.join(self.columns)}"
                )
        return error_of(self.where, error)

    @in_words
    def take(self, start: int, end: int) -> pa.Table:
        """Return the rows from one place to before another, with all columns."""
        return self._table.take_offsets(list(range(start, end))).to_arrow()

    def recall(self, queries: int, k: int) -> float | None:
        """Return the share of the exact ``k`` nearest rows of some rows that the index finds.

        None if there is no index.
        """
        if not self.stats()["indexes"]:
            return None
        places = np.random.default_rng(0).integers(0, self.count(), queries).tolist()
        rows = self._table.take_offsets(places).select(["vector", "error"]).to_arrow().to_pylist()
        found = wanted = 0
        for vector in (np.array(r["vector"], np.float32) for r in rows if r["error"] is None):
            exact = self.nearest(vector, k, exact=True)["path"].to_pylist()
            found += len({*exact} & {*self.nearest(vector, k)["path"].to_pylist()})
            wanted += len(exact)
        return found / wanted if wanted else None

    @in_words
    def sources(self) -> list[str]:
        """List the sources of all rows, in the order of their names."""
        batches = self.scan(["source"])
        return sorted({name for each in batches for name in each.column(0).unique().to_pylist()})

    @in_words
    def upkeep(self, *, always: bool = False) -> None:
        """Merge small files, follow with the index, and remove what no version needs.

        Args:
            always: do so however little there is to do.
        """
        fragments = self._table.stats()["fragment_stats"]["num_small_fragments"]
        indexed = {index.name for index in self._table.list_indices()}
        behind = 0
        if "vector_idx" in indexed:
            stats = self._table.index_stats("vector_idx")
            behind = stats.num_unindexed_rows if stats else 0
        if always or fragments > _FRAGMENTS or behind > _UNINDEXED * self.count():
            with warnings.catch_warnings():
                # A reader of an older version reads the latest one instead: see `nearest`.
                warnings.filterwarnings("ignore", message="optimize.cleanup_older_than=0")
                self._table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        if self.count(SOUND) > EXACT and "vector_idx" not in indexed:
            self.build_index()

    @in_words
    def build_index(self) -> None:
        """Build the index of the embeddings, in the place of an earlier one."""
        from lancedb.index import IvfRq

        # As many partitions as rows in each: finding them takes the square of their number.
        config = IvfRq(
            distance_type="cosine",
            num_partitions=math.isqrt(self.count()),
            max_iterations=_ROUNDS,
        )
        self._table.create_index("vector", config=config, replace=True)

    @in_words
    def stats(self) -> dict[str, Any]:
        """Describe the table: bytes, files of rows and indexes."""
        stats = self._table.stats()
        return {
            "bytes": stats["total_bytes"],
            "fragments": stats["fragment_stats"]["num_fragments"],
            "indexes": [index.name for index in self._table.list_indices()],
        }


def quoted(text: str) -> str:
    """Write a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise AlignZooError(
            f"the column {field.name} holds {field.type} in the collection, and the source has "
            f"{column.type} there: {str(error).partition(chr(10))[0]}"
        ) from error
