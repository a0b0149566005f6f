"""Where a collection is, and what it says of itself: its table and its checkpoint."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from align_zoo.checkpoint.paths import user_cache
from align_zoo.errors import AlignZooError
from align_zoo.writing import replacing

__all__ = ["exists", "place_of", "read_about", "work_folder", "write_about"]

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
        AlignZooError: the file cannot be read, or is damaged.
    """
    try:
        if "://" in place:
            import fsspec

            with fsspec.open(f"{place.rstrip('/')}/{_ABOUT}", "r") as file:
                text = file.read()
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
        import fsspec

        with fsspec.open(f"{place.rstrip('/')}/{_ABOUT}", "w") as file:
            file.write(text)
    else:
        with replacing(Path(place) / _ABOUT) as part:
            part.write_text(text)


def work_folder(place: str) -> Path:
    """Return the folder of unfinished work: on this machine, wherever the collection is."""
    if "://" not in place:
        return Path(place) / "work"
    return user_cache() / "collections" / hashlib.sha256(place.encode()).hexdigest()[:32]
