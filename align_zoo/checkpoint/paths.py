"""The user's home and cache in the names of files and folders."""

from __future__ import annotations

import os
from pathlib import Path

from align_zoo.errors import AlignZooError, InvalidInput

__all__ = ["at_home", "user_cache"]


def at_home(name: str | Path, error: type[AlignZooError] = AlignZooError) -> Path:
    """Expand a leading ``~`` to the user's home, and ``~ann`` to Ann's.

    Raises:
        AlignZooError: there is no such home; of the kind ``error``.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError as nowhere:
        raise error(
            f"{name} cannot be used: there is no home that {Path(name).parts[0]} is short for; "
            "write the whole path"
        ) from nowhere


def user_cache() -> Path:
    """Return the folder for files that can be made again: in ``XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        InvalidInput: the user has no home.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "align-zoo"
    except RuntimeError as error:
        raise InvalidInput(
            "the user has no home to keep a cache in; set XDG_CACHE_HOME to a folder"
        ) from error
