"""A checkpoint exported for ONNX Runtime: a folder that is read without torch or transformers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
    "open_exported",
]

EXPORT_VERSION = 4
"""Raised when an older export must not be used any more."""

MANIFEST, IMAGE, TEXT, TOKENIZER = "export.json", "image.onnx", "text.onnx", "tokenizer.json"
REFERENCES = "references.npz"
"""Pictures and their exact embeddings, to compare other layouts of the image tower with."""


@dataclass(frozen=True)
class Manifest:
    """What the exported towers need beside their graphs."""

    fingerprint: str
    """The checkpoint's."""
    temperature: float
    num_channels: int
    max_length: int
    """Tokens of a text, at most."""
    pad_token_id: int
    preprocessor: dict[str, Any]
    """The checkpoint's ``preprocessor_config.json``."""
    sha256: dict[str, str] = field(default_factory=dict)
    """Of every other file in the folder."""
    version: int = EXPORT_VERSION

    def write(self, folder: Path) -> None:
        """Add the manifest to a folder that holds the other files."""
        content = {**asdict(self), "sha256": {n: digest(folder / n) for n in _FILES}}
        (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


_FILES = (IMAGE, TEXT, TOKENIZER, REFERENCES)


def open_exported(folder: Path, *files: str) -> Manifest:
    """The manifest of an exported folder whose ``files`` are whole.

    Raises:
        CheckpointError: a file is missing or damaged, or of another export version.
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
    """Whether files are what was once written.

    Raises:
        CheckpointError: one is missing or another; the message names it.
    """
    for name, expected in sha256.items():
        try:
            whole = digest(folder / name) == expected
        except OSError as error:
            raise CheckpointError(f"{folder / name} cannot be read: {error}") from error
        if not whole:
            raise CheckpointError(f"{folder / name} is damaged: it is not what was exported")


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
