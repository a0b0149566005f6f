"""A folder of images with one folder a class."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from align_zoo.errors import AlignZooError
from align_zoo.inputs.caption_csv import real_paths
from align_zoo.inputs.cost import FORMATS, format_of
from align_zoo.inputs.image_files import SUFFIXES, is_of_tools

__all__ = ["ImageFolder", "LeftOut", "read_image_folder"]


class LeftOut(NamedTuple):
    """A file, or a folder of files, that is not evaluated."""

    path: Path
    reason: str
    files: int = 1


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, in the order of the alphabet.

    Every file below the folder is in ``files`` or counted in ``left_out``.

    Attributes:
        folders: [C] names of the class folders.
        classnames: [C] names of the classes.
        files: [N] images.
        targets: [N] the index of each image's class.
        left_out: all other files.
    """

    folders: list[str]
    classnames: list[str]
    files: list[Path]
    targets: list[int]
    left_out: list[LeftOut]


def read_image_folder(root: Path, classnames: Path | None = None) -> ImageFolder:
    """List the images in ``root``'s folders, known by their names or their first bytes.

    Args:
        root: a folder with a folder for each class; the folder's name, with ``_`` as a space, is
            the class's name.
        classnames: a JSON file ``{"folder": "name"}`` that names the classes instead.

    Raises:
        AlignZooError: there are fewer than two class folders or no images, or ``classnames``
            cannot be read or lacks a folder.
    """
    folders: list[str] = []
    left_out: list[LeftOut] = []
    for path in sorted(root.iterdir()):
        if not path.is_dir():
            left_out.append(LeftOut(path, "not in the folder of a class"))
        elif is_of_tools(path.name):
            left_out.append(_hidden(path))
        else:
            folders.append(path.name)
    if len(folders) < 2:
        raise AlignZooError(
            f"{root} needs a folder for each class, at least two; it holds {len(folders)}"
        )
    files: list[Path] = []
    targets: list[int] = []
    for target, folder in enumerate(folders):
        found = _images(root / folder, left_out)
        files += found
        targets += [target] * len(found)
    if not files:
        count = sum(each.files for each in left_out)
        first = [f"; {count} files are left out, {e.path}: {e.reason}" for e in left_out[:1]]
        raise AlignZooError(
            f"the folders in {root} hold no images ({', '.join(FORMATS)}){''.join(first)}"
        )
    if classnames is None:
        names = [folder.replace("_", " ") for folder in folders]
    else:
        names = _named(folders, classnames)
    return ImageFolder(folders, names, files, targets, left_out)


def _images(folder: Path, left_out: list[LeftOut]) -> list[Path]:
    """Return the images below a class's folder; add all other files to ``left_out``."""
    images: dict[str, Path] = {}
    paths = sorted(_files(folder, left_out))
    for path, real in zip(paths, real_paths(paths), strict=True):
        if (reason := _no_image(path)) is not None:
            left_out.append(LeftOut(path, reason))
        elif real in images:
            left_out.append(LeftOut(path, f"the same file as {images[real]}"))
        else:
            images[real] = path
    return list(images.values())


def _files(root: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Yield all files below a folder; follow links, but visit each folder once."""
    seen = set()
    for path, folders, names in os.walk(root, onerror=_refuse, followlinks=True):
        if (real := os.path.realpath(path)) in seen:
            folders.clear()
            continue
        seen.add(real)
        left_out += [_hidden(Path(path, name)) for name in folders if is_of_tools(name)]
        # Sorted, so that of two ways to a folder the same is always taken.
        folders[:] = sorted(name for name in folders if not is_of_tools(name))
        yield from (Path(path, name) for name in names)


def _refuse(error: OSError) -> NoReturn:
    raise error  # os.walk would leave the folder out without a word


def _hidden(folder: Path) -> LeftOut:
    count = sum(len(names) for _, _, names in os.walk(folder))
    return LeftOut(folder, "a hidden folder, or one that tools make", count)


def _no_image(path: Path) -> str | None:
    """Return the reason why a file is not read as an image; None if the file is."""
    if path.name.startswith("."):
        return "a hidden file"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "a pipe, a socket or a device"
        if path.suffix.lower() in SUFFIXES:
            return None
        with path.open("rb") as file:
            known = format_of(file.read(64))
    except OSError as error:
        if path.is_symlink() and not path.exists():
            return "a link that leads nowhere"
        # The file is named with the images that cannot be read; the next run tries again.
        return None if not isinstance(error, FileNotFoundError) else "gone"
    return None if known else f"no image in an accepted format ({', '.join(FORMATS)})"


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
            f"{missing[0]!r} is missing"
        )
    return [mapping[folder] for folder in folders]
