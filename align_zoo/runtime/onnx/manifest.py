"""An export of a checkpoint for ONNX Runtime: a folder, read without torch or transformers.

Exports lie in the user's cache. ``find_or_export`` makes an export once for all processes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from align_zoo.checkpoint.paths import user_cache
from align_zoo.errors import CheckpointError

__all__ = [
    "EXPORT_VERSION",
    "IMAGE",
    "MANIFEST",
    "REFERENCES",
    "TEXT",
    "TOKENIZER",
    "Manifest",
    "check_whole",
    "digest",
    "export_folder",
    "find_or_export",
    "open_exported",
]

EXPORT_VERSION = 5
"""The version of the export's format, raised when an older export must not be used any more."""

MANIFEST, IMAGE, TEXT, TOKENIZER = "export.json", "image.onnx", "text.onnx", "tokenizer.json"
REFERENCES = "references.npz"
"""The file of images and their exact embeddings, to which other image graphs are compared."""


@dataclass(frozen=True)
class Manifest:
    """The values that the exported towers need beside their graphs."""

    fingerprint: str
    """The checkpoint's fingerprint."""
    temperature: float
    """The learned scalar of ``logits = cosine / temperature``."""
    max_length: int
    """The most tokens of a text."""
    pad_token_id: int
    """The token id that fills shorter texts."""
    preprocessor: dict[str, Any]
    """The checkpoint's ``preprocessor_config.json``."""
    sha256: dict[str, str] = field(default_factory=dict)
    """The SHA-256 of every other file in the folder, by the file's name."""
    version: int = EXPORT_VERSION
    """The version of the export's format."""

    def write(self, folder: Path) -> None:
        """Add the manifest to a folder that holds the other files."""
        content = {**asdict(self), "sha256": {n: digest(folder / n) for n in _FILES}}
        (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


_FILES = (IMAGE, TEXT, TOKENIZER, REFERENCES)


def export_folder(fingerprint: str) -> Path:
    """Return the folder in the user's cache for the export of a checkpoint."""
    return user_cache() / "exports" / f"{fingerprint}-v{EXPORT_VERSION}"


def find_or_export(folder: Path, files: tuple[str, ...], make: Callable[[], None]) -> Manifest:
    """Read the manifest of an export; make the export if any of ``files`` is absent or damaged.

    Processes that start together wait for the process that makes the export.

    Raises:
        CheckpointError: the export cannot be made or written.
    """
    try:
        return open_exported(folder, *files)
    except CheckpointError:
        pass
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            try:  # another process may have made the export while this process waited
                return open_exported(folder, *files)
            except CheckpointError:
                make()
    except OSError as error:
        raise CheckpointError(
            f"{folder.parent} cannot be written ({error.strerror}); set XDG_CACHE_HOME to another "
            "folder"
        ) from error
    return open_exported(folder, *files)


def open_exported(folder: Path, *files: str) -> Manifest:
    """Read the manifest of an exported folder, and check that ``files`` are whole.

    Raises:
        CheckpointError: a file is missing or damaged, or the export has another version.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if manifest.version != EXPORT_VERSION:
        raise CheckpointError(
            f"{folder} is an export of version {manifest.version}, not {EXPORT_VERSION}"
        )
    check_whole(folder, {name: manifest.sha256.get(name) for name in files})
    return manifest


def check_whole(folder: Path, sha256: Mapping[str, str | None]) -> None:
    """Check that the files in ``folder`` still have the digests ``sha256``.

    Raises:
        CheckpointError: a file is missing or has another content; the message names the file.
    """
    for name, expected in sha256.items():
        try:
            whole = digest(folder / name) == expected
        except OSError as error:
            raise CheckpointError(f"{folder / name} cannot be read: {error}") from error
        if not whole:
            raise CheckpointError(f"{folder / name} is damaged: it is not what was exported")


def digest(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
