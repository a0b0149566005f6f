"""The folder for what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

from align_zoo.errors import InvalidInput

__all__ = ["user_cache"]


def user_cache() -> Path:
    """``align-zoo`` in ``XDG_CACHE_HOME``, or else in the user's ``.cache``.

    Raises:
        InvalidInput: the user has no home.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "align-zoo"
    except RuntimeError as error:
        raise InvalidInput(
            "the user has no home to keep a cache in; set XDG_CACHE_HOME to a folder"
        ) from error
