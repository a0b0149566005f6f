"""A PIL image upright, as RGB and as a PNG: the pixels that the server would make of it."""

from __future__ import annotations

import io

import numpy as np
from PIL import ExifTags, Image, ImageOps

__all__ = ["as_png", "tiny", "to_rgb", "upright"]


def upright(image: Image.Image) -> Image.Image:
    """Turned by its EXIF orientation; itself where there is nothing to turn."""
    image.load()  # a PNG may name its orientation after its pixels
    try:
        turn = image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
        return ImageOps.exif_transpose(image) if turn else image
    except Exception:  # rubbish there is no reason to refuse the pixels
        return image


def to_rgb(image: Image.Image) -> Image.Image:
    """As RGB, 16-bit grey scaled to 8 bits; itself if it is RGB."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):
        # 65535 / 255 = 257, so 16-bit white is 8-bit white.
        grey = np.round(np.asarray(image, dtype=np.float32) / 257).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    image = image.copy()
    image.info = {}  # PIL warns of a palette's transparency, which does not count here
    return image.convert("RGB")


def as_png(image: Image.Image) -> bytes:
    """A PNG file of it, without loss."""
    file = io.BytesIO()
    # Level 1: most of the gain for a fraction of the time.
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def tiny() -> bytes:
    """A picture to ask a question with."""
    return as_png(Image.new("RGB", (8, 8)))
