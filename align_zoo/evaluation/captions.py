"""Images with captions, from a JSON file in COCO's style or a CSV file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from align_zoo.errors import AlignZooError
from align_zoo.inputs.caption_csv import read_caption_csv, real_paths
from align_zoo.inputs.strings import is_utf8

__all__ = ["Captions", "read_captions"]

_INEXACT = 2**53
"""The float from which on a float stands for several whole numbers."""


@dataclass(frozen=True)
class Captions:
    """Images and their captions.

    Attributes:
        files: [N] images, each file once.
        texts: [T] captions; an image may have several or none.
        owners: [T] the index of each caption's image.
        same: further spellings of an image's path, and the spelling in ``files``.
    """

    files: list[Path]
    texts: list[str]
    owners: list[int]
    same: dict[Path, Path] = field(default_factory=dict)


def read_captions(path: Path, images: Path | None = None) -> Captions:
    """Read captions: a ``.csv`` with the columns image and caption, or else COCO's JSON.

    COCO's JSON has ``images`` with ``id`` and ``file_name``, and ``annotations`` with
    ``image_id`` and ``caption``.

    Args:
        path: the file.
        images: the folder that the file names are relative to; the file's own by default.

    Raises:
        AlignZooError: the file cannot be read, or a row lacks something; the message names the
            row.
    """
    folder = path.parent if images is None else images
    try:
        if path.suffix.lower() == ".csv":
            names, rows = _csv_pairs(path)
        else:
            names, rows = _coco_pairs(path.read_bytes())
    except AlignZooError:
        raise
    except OSError as error:
        raise AlignZooError(f"{path} cannot be read: {error}") from error
    except ValueError as error:
        raise AlignZooError(f"{path}: {error}") from error
    if not rows:
        raise AlignZooError(f"{path} holds no captions")
    files: dict[str, Path] = {}
    same: dict[Path, Path] = {}
    real = dict(zip(names, real_paths(folder / name for name in names), strict=True))
    for name in names:
        first = files.setdefault(real[name], folder / name)
        if first != folder / name:
            same[folder / name] = first
    place = {path: i for i, path in enumerate(files)}
    owners = [place[real[name]] for name, _ in rows]
    return Captions(list(files.values()), [text for _, text in rows], owners, same)


Pairs = tuple[list[str], list[tuple[str, str]]]
"""File names, and rows of a file name and a caption."""


def _csv_pairs(path: Path) -> Pairs:
    rows = []
    for line, image, caption in read_caption_csv(path):
        where = f"line {line}"
        rows.append((_name(image, where, "image"), _text(caption, where, "caption")))
    return list(dict.fromkeys(name for name, _ in rows)), rows


def _coco_pairs(content: bytes) -> Pairs:
    try:
        data = json.loads(content)
    except ValueError as error:
        raise ValueError(f"it is neither a .csv nor COCO's JSON: {error}") from error
    names: dict[int | str, str] = {}
    seen = set()
    for i, image in enumerate(_records(data, "images")):
        where = f"images[{i}]"
        key = _key(image, "id", where)
        if key in names:
            raise ValueError(f"{where}: the id {key!r} is there twice")
        name = names[key] = _name(image.get("file_name"), where, "file_name")
        if name in seen:
            raise ValueError(f"{where}: the file_name {name!r} is there twice")
        seen.add(name)
    rows = []
    for i, annotation in enumerate(_records(data, "annotations")):
        where = f"annotations[{i}]"
        key = _key(annotation, "image_id", where)
        if key not in names:
            raise ValueError(
                f"{where}: there is no image with the id {key!r}{_as_other(key, names)}"
            )
        rows.append((names[key], _text(annotation.get("caption"), where, "caption")))
    return list(names.values()), rows


def _records(data: Any, field: str) -> Iterable[dict[str, Any]]:
    records = data.get(field) if isinstance(data, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError(f"it has no list of objects {field!r}; COCO's captions have")
    return records


def _key(record: dict[str, Any], field: str, where: str) -> int | str:
    """Return an id; a tool that keeps a table of numbers writes 1 as 1.0."""
    value = record.get(field)
    if isinstance(value, float) and value.is_integer():
        if abs(value) >= _INEXACT:
            raise ValueError(
                f"{where}: {field} is {value!r}: so large an id with a decimal point is rounded, "
                "and may be another image's; write ids as whole numbers or strings"
            )
        return int(value)
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise ValueError(f"{where}: {field} is {value!r}, neither a whole number nor a string")
    return value


def _as_other(key: int | str, names: dict[int | str, str]) -> str:
    """Name an equal id of the other type: a string for a number, or the reverse."""
    for other in names:
        if str(other) == str(key):
            return f"; {other!r} is there, of another type"
    return ""


def _text(value: Any, where: str, field: str) -> str:
    if not isinstance(value, str) or not value.strip() or not is_utf8(value):
        raise ValueError(f"{where}: {field} is {value!r}, not a text")
    return value


def _name(value: Any, where: str, field: str) -> str:
    """Return a file's name, with ``./a.png`` spelled as ``a.png``."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(f"{where}: {field} is {value!r}, not the name of a file")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise ValueError(f"{where}: {field} is {value!r}, not the name of a file") from None
    return str(Path(value))
