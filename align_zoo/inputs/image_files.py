"""Names of image files, and of folders that hold none; images into files."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from align_zoo.errors import AlignZooError, InvalidInput
from align_zoo.writing import replacing

__all__ = ["SUFFIXES", "is_of_tools", "save_image", "written_format"]

SUFFIXES = frozenset(
    (
        ".apng .avif .avifs .bmp .dib .gif .heic .heics .heif .heifs .hif .jfi .jfif .jif .jpe "
        ".jpeg .jpg .jxl .png .tif .tiff .webp"
    ).split()
)
"""Endings of image files' names, in small letters. Other files are known by their first bytes.

Among them are formats that need an extra (HEIC) and JPEG XL, which is refused: each file is then
named with the reason, and none is left out in silence.
"""

_OF_TOOLS = {
    "#recycle",
    "$recycle.bin",
    "@eadir",
    "__macosx",
    "__pycache__",
    "lost+found",
    "system volume information",
}


def is_of_tools(folder: str) -> bool:
    """Return whether tools make a folder of that name among images, or the name is hidden."""
    return folder.startswith(".") or folder.lower() in _OF_TOOLS


def written_format(path: Path) -> str:
    """Return Pillow's name of the format that the ending of a file's name stands for.

    Raises:
        InvalidInput: the ending names no format that Pillow writes.
    """
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise InvalidInput(f"{path} has the ending of no image format; use .png")
    return kind


def save_image(image: Image.Image, path: Path) -> None:
    """Write an image to a file, which appears whole or not at all.

    Raises:
        InvalidInput: the ending names no format that Pillow writes.
        AlignZooError: the file cannot be written.
    """
    kind = written_format(path)
    try:
        with replacing(path) as part, part.open("wb") as file:
            image.save(file, format=kind)
    except OSError as error:
        raise AlignZooError(f"{path} cannot be written: {error.strerror or error}") from error
