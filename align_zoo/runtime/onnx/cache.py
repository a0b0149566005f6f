"""Where exported towers are kept, and making them once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from align_zoo.checkpoint.user_cache import user_cache
from align_zoo.errors import CheckpointError
from align_zoo.runtime.onnx.manifest import EXPORT_VERSION, Manifest, open_exported

__all__ = ["export_folder", "find_or_export"]


def export_folder(fingerprint: str) -> Path:
    """Where the export of a checkpoint belongs, in the user's cache."""
    return user_cache() / "exports" / f"{fingerprint}-v{EXPORT_VERSION}"


def find_or_export(folder: Path, files: tuple[str, ...], make: Callable[[], None]) -> Manifest:
    """The manifest of a whole export; made if it is absent, made again if it is damaged.

    Processes that start together wait for the one that makes it.

    Raises:
        CheckpointError: it cannot be made or written.
    """
    try:
        return open_exported(folder, *files)
    except CheckpointError:
        pass
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            try:  # another process may have made it while this one waited
                return open_exported(folder, *files)
            except CheckpointError:
                make()
    except OSError as error:
        raise CheckpointError(
            f"{folder.parent} cannot be written ({error.strerror}); set XDG_CACHE_HOME to another "
            "folder"
        ) from error
    return open_exported(folder, *files)
