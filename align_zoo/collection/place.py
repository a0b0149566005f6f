"""Where a collection is, what it says of itself, and where its unfinished work is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from align_zoo.checkpoint.paths import user_cache
from align_zoo.collection.object_store import store_errors, store_of
from align_zoo.errors import AlignZooError
from align_zoo.writing import alone_in, replacing

__all__ = ["alone", "exists", "place_of", "read_about", "write_about"]

_ABOUT = "collection.json"


def exists(where: str | os.PathLike[str]) -> bool:
    """Return whether there is a collection."""
    return read_about(place_of(where)) is not None


def place_of(where: str | os.PathLike[str]) -> str:
    """Return a URL as it is, and a path as an absolute one."""
    name = os.fspath(where)
    return name if "://" in name else str(Path(name).expanduser().resolve())


def read_about(place: str) -> dict[str, Any] | None:
    """Read what a collection says of itself; None if there is no collection.

    Raises:
        AlignZooError: the file cannot be read, or is damaged; or the store does not answer.
    """
    try:
        if "://" in place:
            with store_errors(place):
                system, path = store_of(f"{place.rstrip('/')}/{_ABOUT}")
                text = system.cat_file(path).decode()
        else:
            text = (Path(place) / _ABOUT).read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AlignZooError(f"{place} cannot be read: {error.strerror or error}") from error
    try:
        about = json.loads(text)
    except ValueError as error:
        raise AlignZooError(f"{place}/{_ABOUT} is damaged: {error}") from error
    return about if isinstance(about, dict) else None


def write_about(place: str, about: dict[str, Any]) -> None:
    """Write what a collection says of itself, in one step."""
    text = json.dumps(about, indent=2) + "\n"
    if "://" in place:
        with store_errors(place):
            system, path = store_of(f"{place.rstrip('/')}/{_ABOUT}")
            system.pipe_file(path, text.encode())
    else:
        with replacing(Path(place) / _ABOUT) as part:
            part.write_text(text)


@contextmanager
def alone(where: str) -> Iterator[Path]:
    """Keep other processes from writing to a collection, and yield its folder of unfinished work.

    Raises:
        AlignZooError: another process writes to the collection, or the disk is full.
    """
    work = _work_folder(where)
    try:
        work.mkdir(parents=True, exist_ok=True)
        with alone_in(work):
            yield work
    except BlockingIOError as error:
        raise AlignZooError(
            f"another process writes to {where}; wait until it has finished"
        ) from error
    except OSError as error:
        raise AlignZooError(
            f"{error.filename or work}: {error.strerror or error}; what is finished is kept"
        ) from error


def _work_folder(place: str) -> Path:
    """Return the folder of unfinished work: on this machine, wherever the collection is."""
    if "://" not in place:
        return Path(place) / "work"
    return user_cache() / "collections" / hashlib.sha256(place.encode()).hexdigest()[:32]
