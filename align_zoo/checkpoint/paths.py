"""``~`` in the names of files and folders."""

from __future__ import annotations

from pathlib import Path

from align_zoo.errors import AlignZooError

__all__ = ["at_home"]


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
