"""A folder of pictures with one folder a class."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from align_zoo.errors import AlignZooError

__all__ = ["ImageFolder", "read_image_folder"]

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class ImageFolder:
    """What a folder holds, in the order of the alphabet.

    Attributes:
        folders: [C] names of the class folders.
        classnames: [C] what the classes are called.
        files: [N] pictures.
        targets: [N] which class each belongs to.
    """

    folders: list[str]
    classnames: list[str]
    files: list[Path]
    targets: list[int]


def read_image_folder(root: Path, classnames: Path | None = None) -> ImageFolder:
    """List the pictures in ``root``'s folders.

    Args:
        root: one folder a class; its name, with ``_`` as a space, is the class's name.
        classnames: a JSON file ``{"folder": "name"}`` that names them instead.

    Raises:
        AlignZooError: there are fewer than two class folders or no pictures, or ``classnames``
            cannot be read or lacks a folder.
    """
    folders = sorted(
        path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    if len(folders) < 2:
        raise AlignZooError(
            f"{root} needs a folder for each class, at least two; it holds {len(folders)}"
        )
    files: list[Path] = []
    targets: list[int] = []
    for target, folder in enumerate(folders):
        found = sorted(path for path in _files(root / folder) if _is_picture(path))
        files += found
        targets += [target] * len(found)
    if not files:
        raise AlignZooError(
            f"the folders in {root} hold no pictures ({', '.join(sorted(_SUFFIXES))})"
        )
    if classnames is None:
        names = [folder.replace("_", " ") for folder in folders]
    else:
        names = _named(folders, classnames)
    return ImageFolder(folders, names, files, targets)


def _files(root: Path) -> Iterator[Path]:
    """All below, links followed, each folder once: a link may lead back to where it is."""
    seen = set()
    for path, folders, names in os.walk(root, onerror=_refuse, followlinks=True):
        folders.sort()  # of two ways to a folder it is always the same one
        if (real := os.path.realpath(path)) in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(path, name) for name in names)


def _refuse(error: OSError) -> NoReturn:
    raise error  # os.walk would leave the folder out without a word


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()


def _named(folders: list[str], path: Path) -> list[str]:
    try:
        mapping = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise AlignZooError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(mapping, dict):
        raise AlignZooError(f'{path} must be a JSON object {{"folder": "class name"}}')
    missing = [folder for folder in folders if folder not in mapping]
    if missing:
        raise AlignZooError(
            f"{path} names {len(folders) - len(missing)} of {len(folders)} folders; "
            f"it lacks, for one, {missing[0]!r}"
        )
    return [mapping[folder] for folder in folders]
