"""Names of image files, and of folders that hold none."""

from __future__ import annotations

__all__ = ["SUFFIXES", "is_of_tools"]

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
