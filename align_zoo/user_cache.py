"""The folder for what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["user_cache"]


def user_cache() -> Path:
    """``align-zoo`` in ``XDG_CACHE_HOME``, or else in the user's ``.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "align-zoo"
