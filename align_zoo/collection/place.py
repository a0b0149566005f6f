"""Where a collection is, and what it says of itself; and object stores, by their addresses."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from align_zoo.checkpoint.paths import user_cache
from align_zoo.errors import AlignZooError
from align_zoo.writing import replacing

__all__ = [
    "exists",
    "place_of",
    "read_about",
    "store_errors",
    "store_of",
    "work_folder",
    "write_about",
]

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


def work_folder(place: str) -> Path:
    """Return the folder of unfinished work: on this machine, wherever the collection is."""
    if "://" not in place:
        return Path(place) / "work"
    return user_cache() / "collections" / hashlib.sha256(place.encode()).hexdigest()[:32]


def store_of(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of an address, and the path in it.

    Raises:
        ImportError: the package of the address's store is not installed.
        ValueError: there is no such kind of address.
    """
    import fsspec

    if url.startswith("s3://"):
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return _s3(os.environ.get("AWS_ENDPOINT_URL"), region), url.removeprefix("s3://")
    system, path = fsspec.core.url_to_fs(url)
    return system, path


@lru_cache
def _s3(endpoint: str | None, region: str | None) -> Any:
    """Return one file system for all threads; fsspec itself makes one for each thread."""
    import fsspec

    return fsspec.filesystem("s3", endpoint_url=endpoint, client_kwargs={"region_name": region})


@contextmanager
def store_errors(url: str) -> Iterator[None]:
    """Turn what a store's package raises into an error of align-zoo; a missing file's stays.

    Raises:
        AlignZooError: the package is not installed, or the store does not answer or refuses.
    """
    try:
        yield
    except (AlignZooError, FileNotFoundError):
        raise
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or str(error)
        raise AlignZooError(f"{url} needs {package}: pip install {package}") from error
    except Exception as error:  # each store has its own types of errors
        said = str(error).partition("\n")[0] or type(error).__name__
        raise AlignZooError(
            f"{url} cannot be reached: {said}; check the address, the keys and the network, "
            "and run the command again"
        ) from error
