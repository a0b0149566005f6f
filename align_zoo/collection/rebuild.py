"""Replacing a collection's table: with another checkpoint's rows, or with the sound rows alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from align_zoo.collection.check import Health, examine, sound_rows
from align_zoo.collection.embedder import Embedder
from align_zoo.collection.engines import Engine
from align_zoo.collection.sources import is_gone
from align_zoo.collection.state import State
from align_zoo.collection.storage import Storage
from align_zoo.collection.writer import Report, Writer, keep_finished
from align_zoo.errors import AlignZooError
from align_zoo.progress import progress_bar

__all__ = ["check_storage", "rebuild_storage"]


def rebuild_storage(
    storage: Storage,
    work: Path,
    embedder: Embedder,
    engine: Engine,
    *,
    prune: bool,
    progress: bool,
) -> Report:
    """See :meth:`Collection.rebuild`; ``work`` is the folder of unfinished work."""
    dim = embedder.texts(["a"]).shape[1]
    first, second = storage.table, storage.begin_second(embedder.fingerprint, dim)
    report = Report()
    with Writer.opened(second, work / second.name, lambda: embedder) as writer:
        for source in first.sources():
            if not (prune and is_gone(source)):
                report += writer.add(source, engine, prune=True, progress=progress)
        lost = list(writer.lacking(first))
    if lost and not prune:
        raise AlignZooError(
            f"{len(lost)} images of {storage.where} are gone, such as {lost[0]}; "
            "--prune forgets them"
        )
    storage.finish_second(second, embedder.fingerprint, embedder.model, work)
    return replace(report, pruned=len(lost))


def check_storage(storage: Storage, work: Path, *, repair: bool, progress: bool) -> Health:
    """See :meth:`Collection.check`; ``work`` is the folder of unfinished work."""
    table = storage.table
    with State(work / table.name / "state.sqlite") as state:
        known = state if state.version == table.version else None
        with progress_bar("rows", table.count(), show=progress) as advance:
            health = examine(table, known, advance)
        if repair and not health.sound:
            second = storage.begin_second(storage.fingerprint, table.dim, new=True)
            second.fill(sound_rows(table, known, Health()))
            keep_finished(work / table.name, work / second.name)
            storage.finish_second(second, storage.fingerprint, storage.model, work)
    return health
