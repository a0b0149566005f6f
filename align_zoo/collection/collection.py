"""A collection: images of any number with their embeddings, kept up to date and searched."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from align_zoo.collection.check import Health
from align_zoo.collection.classify import Labels
from align_zoo.collection.duplicates import Duplicates, find_duplicates
from align_zoo.collection.embedder import Embedder, EncoderEmbedder
from align_zoo.collection.engines import choose_engine
from align_zoo.collection.hits import HIDDEN, Hit
from align_zoo.collection.matching import Background, find_matches
from align_zoo.collection.place import alone, exists, place_of
from align_zoo.collection.query import Term, embed_terms, read_query, weighted_sum
from align_zoo.collection.rebuild import check_storage, rebuild_storage
from align_zoo.collection.search import hit_at, nearest_hits
from align_zoo.collection.sources import Source
from align_zoo.collection.storage import Storage
from align_zoo.collection.table import SOUND, Table
from align_zoo.collection.writer import Report, Writer
from align_zoo.errors import AlignZooError, InvalidInput

__all__ = ["Collection"]


class Collection:
    """Images with their embeddings in a folder, or in an object store.

    >>> with Collection.create("photos.collection", model="align_tiny") as photos:
    ...     report = photos.add("photos")
    ...     for hit in photos.search("a red star", k=1):
    ...         print(hit.path)
    /.../photos/red-star.png

    One process at a time adds; any number searches meanwhile.
    """

    def __init__(self, storage: Storage, embedder: Embedder | None) -> None:
        self.where = storage.where
        self._storage = storage
        self._embedder = embedder
        self._background: Background | None = None

    @classmethod
    def create(
        cls, where: str | os.PathLike[str], *, model: str | os.PathLike[str] | Embedder
    ) -> Collection:
        """Make an empty collection.

        Args:
            where: a new folder, or an object store's address.
            model: a hub id, an ALIGN folder, "align_tiny", "align_emoji", or an embedder
                such as :class:`ServerEmbedder`.

        Raises:
            AlignZooError: there is a collection already, or the place holds something else.
            CheckpointError: the checkpoint cannot be found, is damaged or not supported.
        """
        place = place_of(where)
        embedder = _embedder(model)
        if exists(place):
            raise AlignZooError(f"{place} is a collection already; open it")
        if "://" not in place:
            folder = Path(place)
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise AlignZooError(f"{place} is not empty; a new collection needs a new folder")
            folder.mkdir(parents=True, exist_ok=True)
        storage = Storage.create(
            place,
            fingerprint=embedder.fingerprint,
            model=embedder.model,
            dim=embedder.texts(["a"]).shape[1],
        )
        return cls(storage, embedder)

    @classmethod
    def open(
        cls,
        where: str | os.PathLike[str],
        *,
        model: str | os.PathLike[str] | Embedder | None = None,
    ) -> Collection:
        """Open a collection.

        Args:
            where: the folder or address.
            model: as for :meth:`create`; by default the model that the collection was made with,
                loaded when it is first needed.

        Raises:
            AlignZooError: there is no collection, or another version of align-zoo made it, or
                the model is another than the collection's.
        """
        collection = cls(Storage.open(place_of(where)), None)
        if model is not None:
            collection._embedder = collection._same(_embedder(model))
        return collection

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the collection; a closed one can be opened again."""

    @property
    def fingerprint(self) -> str:
        """The checkpoint's fingerprint: only embeddings of the same fingerprint compare."""
        return self._storage.fingerprint

    @property
    def embedder(self) -> Embedder:
        """What computes the embeddings.

        Raises:
            AlignZooError: the model cannot be loaded, or is not that of the collection any more.
        """
        if self._embedder is None:
            if not self._storage.model:
                raise AlignZooError(f"{self.where} was made by a server; name the server again")
            self._embedder = self._same(_embedder(self._storage.model))
        return self._embedder

    @property
    def _table(self) -> Table:
        return self._storage.table

    def _same(self, embedder: Embedder) -> Embedder:
        if embedder.fingerprint != self.fingerprint:
            raise AlignZooError(
                f"{self.where} holds embeddings of the checkpoint {self.fingerprint}, and this is "
                f"{embedder.fingerprint}; embeddings of two checkpoints do not compare: "
                "`align-zoo index --rebuild` embeds all images again"
            )
        return embedder

    def _renew(self) -> bool:
        """Follow a rebuild that another process has finished, and return whether there was one."""
        rebuilt = self._storage.rebuilt()
        if rebuilt is None:
            return False
        if rebuilt.fingerprint != self.fingerprint:
            if self._embedder is not None and not self._embedder.model:
                raise AlignZooError(
                    f"{self.where} was rebuilt with another checkpoint than that of the server"
                )
            self._embedder = None
        self._storage = rebuilt
        return True

    def add(
        self,
        source: Source,
        *,
        prune: bool = False,
        retry_failed: bool = False,
        workers: int | None = None,
        ray: str | None = None,
        progress: bool = False,
    ) -> Report:
        """Embed what is new or changed in a source since the last run.

        Killed at any moment and started again, the run goes on: a shard that is finished is not
        computed again. Every image becomes a row, with an embedding or with an error.

        Args:
            source: a folder, a file, a glob, a .csv or .parquet table with a column of paths, a
                webdataset .tar, or a URL of these.
            prune: delete the rows of this source whose images are gone.
            retry_failed: embed just the images that failed in an earlier run.
            workers: compute in so many processes of Ray; by default in this process.
            ray: the address of a Ray cluster of which this machine is a part, or "auto", instead
                of workers on this machine alone.
            progress: show a bar on stderr.

        Raises:
            AlignZooError: there is no such source, the disk is full, another process adds at the
                moment, the servers cannot be asked, or the workers cannot be started.
            InvalidInput: ``workers`` is below 1.
        """
        engine = choose_engine(workers, ray)
        with self._writer() as writer:
            return writer.add(
                source, engine, prune=prune, retry_failed=retry_failed, progress=progress
            )

    @contextmanager
    def _alone(self) -> Iterator[Path]:
        with alone(self.where) as work:
            self._renew()
            yield work

    @contextmanager
    def _writer(self) -> Iterator[Writer]:
        with self._alone() as work:
            place = work / self._table.name
            with Writer.opened(self._table, place, lambda: self.embedder) as writer:
                yield writer

    def rebuild(
        self,
        *,
        model: str | os.PathLike[str] | Embedder,
        prune: bool = False,
        workers: int | None = None,
        ray: str | None = None,
        progress: bool = False,
    ) -> Report:
        """Embed the images of all sources again, with another checkpoint; searches go on meanwhile.

        The rows go to a second table, which takes the place of the first when it is complete.
        Killed and started again, the run goes on. Columns of :meth:`label` are not carried over.

        Args:
            model: as for :meth:`create`.
            prune: forget images that are gone, and sources that are.
            workers: as for :meth:`add`.
            ray: as for :meth:`add`.
            progress: show a bar on stderr.

        Raises:
            AlignZooError: a source or an image is gone and ``prune`` is not set, the disk is full,
                another process writes at the moment, the servers cannot be asked, or the workers
                cannot be started.
            CheckpointError: the checkpoint cannot be found, is damaged or not supported.
            InvalidInput: ``workers`` is below 1.
        """
        engine = choose_engine(workers, ray)
        embedder = _embedder(model)
        with self._alone() as work:
            report = rebuild_storage(
                self._storage, work, embedder, engine, prune=prune, progress=progress
            )
            self._embedder = embedder
        return report

    def check(self, *, repair: bool = False, progress: bool = False) -> Health:
        """Read all rows and compare them with what was written; measure the index.

        Args:
            repair: copy the sound rows to a new table, which takes the place of the damaged one.
                The next :meth:`add` of the sources embeds the images of the others again.
            progress: show a bar on stderr.

        Raises:
            AlignZooError: another process writes at the moment, or the disk is full.
        """
        with self._alone() as work:
            return check_storage(self._storage, work, repair=repair, progress=progress)

    def search(
        self,
        query: str | Sequence[str] | Sequence[Term] | np.ndarray,
        *,
        k: int = 10,
        where: str | None = None,
        exact: bool = False,
        fold_duplicates: bool = False,
        all: bool = False,
    ) -> list[Hit]:
        """Find the images that match a query, best first; none if nothing matches.

        Args:
            query: words, the path of an image, sums and differences of these with weights, as
                "beach + ./dog.jpg - 0.5:people"; or its terms, as ``read_query`` gives them; or a
                unit vector [D], whose hits are not judged.
            k: the most hits.
            where: an SQL condition on the columns, as "width > 1000 and path like '%2024%'".
            exact: compute every distance, without the index.
            fold_duplicates: return of near-duplicates the nearest alone, with the number of the
                others in its column ``duplicates``.
            all: return the nearest images, whether they match or not.

        Raises:
            InvalidInput: the query or the condition cannot be used, or ``k`` is below 1.
        """
        if k < 1:
            raise InvalidInput(f"k is {k}, not a whole number above 0")
        try:
            return self._search(query, k, where, exact, fold_duplicates, not all)
        except AlignZooError:
            fingerprint = self.fingerprint
            if not self._renew():
                raise
            if isinstance(query, np.ndarray) and fingerprint != self.fingerprint:
                raise AlignZooError(
                    f"{self.where} was rebuilt with another checkpoint; embed the query again"
                ) from None
            return self._search(query, k, where, exact, fold_duplicates, not all)

    def _search(
        self,
        query: str | Sequence[str] | Sequence[Term] | np.ndarray,
        k: int,
        where: str | None,
        exact: bool,
        fold_duplicates: bool,
        judged: bool,
    ) -> list[Hit]:
        judge = None
        if not isinstance(query, np.ndarray):
            terms = read_query(query)
            parts = embed_terms(terms, self.embedder)
            query = weighted_sum(terms, parts)
            if judged:
                judge = partial(find_matches, terms, parts, self._measure(), self._table.count())
        return nearest_hits(
            self._table,
            query,
            k,
            where=where,
            exact=exact,
            fold_duplicates=fold_duplicates,
            judge=judge,
        )

    def _measure(self) -> Background:
        if self._background is None or self._background.embedder is not self.embedder:
            self._background = Background(self.embedder)
        return self._background

    def similar(self, path: str, *, k: int = 10, where: str | None = None) -> list[Hit]:
        """Find the images nearest to one of the collection, without it, best first.

        Args:
            path: the image's path in the collection.
            k: the most hits.
            where: an SQL condition on the columns.

        Raises:
            InvalidInput: the collection has no embedding of that path, or the condition cannot be
                used.
        """
        _, row = self.get(path)
        hits = self.search(row, k=k + 1, where=where)
        return [hit for hit in hits if hit.path != path][:k]

    def get(self, path: str) -> tuple[Hit, np.ndarray]:
        """Return an image of the collection, with the score 1, and its unit row [D].

        Args:
            path: the image's path in the collection.

        Raises:
            InvalidInput: the collection has no embedding of that path.
        """
        found = hit_at(self._table, path)
        if found is None:
            raise InvalidInput(f"{self.where} has no embedding of {path}")
        return found

    def columns(self) -> list[str]:
        """Return the names of the columns that a hit has and a condition may name."""
        hidden = ("path", "raw_path", *HIDDEN)
        return ["path", *(name for name in self._table.columns if name not in hidden)]

    def count(self) -> int:
        """Count the images that have an embedding."""
        return self._table.count(SOUND)

    def duplicates(self, *, where: str | None = None, progress: bool = False) -> Duplicates:
        """Find the images that are copies of one: re-encoded, resized or a little trimmed.

        Every pair of embeddings is compared. The images that have a near one are read, and their
        thumbnails decide. An image is in one group at most.

        Args:
            where: an SQL condition on the columns.
            progress: show a bar on stderr.
        """
        return find_duplicates(self._table, where, progress=progress)

    def label(
        self,
        labels: Iterable[str],
        *,
        templates: str | Sequence[str] = "none",
        none: str | None = None,
        column: str = "zero_shot",
        progress: bool = False,
    ) -> dict[str, int]:
        """Give every image a zero-shot label and its score, as columns; nothing is embedded again.

        Images that are added or change later have no label until the next call.

        Args:
            labels: what to choose from.
            templates: prompt templates: "none", "photo", "imagenet", or texts with ``{}``.
            none: a further label, asked about without a template, for images of something else.
            column: the label's column, for ``where`` of a search; the score is in ``COLUMN_score``.
            progress: show a bar on stderr.

        Returns:
            The number of images by label.

        Raises:
            InvalidText: there is no label, a label is blank, or a template has not one ``{}``.
            InvalidInput: the column has another meaning, or its name is no word.
            AlignZooError: the model cannot be loaded, or another process writes at the moment.
        """
        if not column.isidentifier():
            raise InvalidInput(f"the column {column!r} is no word of letters, digits and _")
        with self._writer() as writer:
            there = self._table.columns
            if column in there and f"{column}_score" not in there:
                raise InvalidInput(f"{self.where} has a column {column} already; choose another")
            read = Labels.read(labels, self.embedder, templates=templates, none=none)
            return writer.label(read, self.embedder.temperature, column, progress=progress)

    def optimize(self) -> None:
        """Merge small files, follow with the index and remove old versions, now."""
        with self._writer() as writer:
            writer.upkeep(always=True)

    def info(self) -> dict[str, Any]:
        """Describe the collection: rows, failures by reason, checkpoint, bytes, indexes."""
        reasons: dict[str, int] = {}
        for batch in self._table.scan(["reason"], "error IS NOT NULL"):
            for reason in batch.column("reason").to_pylist():
                reasons[reason] = reasons.get(reason, 0) + 1
        return {
            "where": self.where,
            "model": self._storage.model,
            "fingerprint": self.fingerprint,
            "dim": self._table.dim,
            "rows": self._table.count(),
            "embedded": self._table.count(SOUND),
            "failed": dict(sorted(reasons.items(), key=lambda item: -item[1])),
            **self._table.stats(),
        }


def _embedder(model: str | os.PathLike[str] | Embedder) -> Embedder:
    return EncoderEmbedder(os.fspath(model)) if isinstance(model, str | os.PathLike) else model
