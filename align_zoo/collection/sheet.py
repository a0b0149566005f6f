"""A contact sheet: the images of a search drawn in one, each with its score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from align_zoo.collection.sources import Input, read_bytes
from align_zoo.errors import InvalidImage
from align_zoo.inputs.decode import decode_image
from align_zoo.inputs.image_files import save_image

__all__ = ["draw_sheet"]

_SIDE, _GAP, _LINE = 220, 12, 18
_PAPER, _INK, _FAINT = "#ffffff", "#1b1f24", "#6a737d"


def draw_sheet(path: Path, title: str, images: Sequence[tuple[Input, str]]) -> None:
    """Draw images in rows below a title, each above its caption and its name, and save them.

    Args:
        path: the file to write; its ending names the format.
        title: the first line.
        images: each with a caption such as a score. An image that cannot be
            read is drawn as an empty frame that says so.

    Raises:
        InvalidInput: the ending names no format that Pillow writes.
        AlignZooError: the file cannot be written.
    """
    columns = min(5, max(1, len(images)))
    rows = math.ceil(len(images) / columns)
    cell = _SIDE + _GAP
    size = (columns * cell + _GAP, 3 * _GAP + _LINE + rows * (cell + 2 * _LINE))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(16), ImageFont.load_default(12)
    draw.text((_GAP, _GAP), _fitting(draw, title, large, size[0] - 2 * _GAP), _INK, large)
    for i, (item, caption) in enumerate(images):
        left = _GAP + i % columns * cell
        top = 2 * _GAP + _LINE + i // columns * (cell + 2 * _LINE)
        try:
            image = ImageOps.contain(decode_image(read_bytes(item)), (_SIDE, _SIDE))
            corner = (left + (_SIDE - image.width) // 2, top + (_SIDE - image.height) // 2)
            sheet.paste(image, corner)
        except InvalidImage:
            draw.rectangle((left, top, left + _SIDE, top + _SIDE), outline=_FAINT)
            draw.text((left + 8, top + 8), "cannot be read", _FAINT, small)
        below = top + _SIDE + 2
        draw.text((left, below), caption, _INK, small)
        draw.text(
            (left, below + _LINE - 2),
            _fitting(draw, Path(item.path).name, small, _SIDE),
            _FAINT,
            small,
        )
    save_image(sheet, path)


def _fitting(
    draw: ImageDraw.ImageDraw,
    text: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    width: int,
) -> str:
    """Shorten a text in its middle until it is no wider than ``width`` pixels."""
    text = text.encode(errors="backslashreplace").decode().replace("\n", " ")
    if draw.textlength(text, font) <= width:
        return text
    keep = len(text)
    while keep > 4 and draw.textlength(_short(text, keep), font) > width:
        keep -= 1
    return _short(text, keep)


def _short(text: str, keep: int) -> str:
    return f"{text[: keep // 2]}...{text[len(text) - keep // 2 :]}"
