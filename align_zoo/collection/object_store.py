"""Object stores by their addresses: their file systems, the state of a file, their errors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from align_zoo.errors import AlignZooError

__all__ = ["state_at", "state_of", "store_errors", "store_of"]


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


def state_at(url: str) -> tuple[int, int]:
    """Return the size and the time of change of a file; zeros if it cannot be asked for."""
    try:
        with store_errors(url):
            system, name = store_of(url)
            return state_of(system.info(name))
    except (FileNotFoundError, AlignZooError):
        return 0, 0


def state_of(info: Mapping[str, Any]) -> tuple[int, int]:
    """Read the size and the time of change in nanoseconds, as far as the store has them."""
    changed = info.get("mtime") or info.get("LastModified") or info.get("last_modified") or 0
    if hasattr(changed, "timestamp"):
        changed = changed.timestamp()
    return int(info.get("size") or 0), int(float(changed) * 1e9)
