"""Ways by which an image reaches the tower, each as the RGB pixels that the tower sees."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from align_client import InvalidInput
from align_client.images import encoded
from align_client.shrink import Resize
from align_zoo import InvalidImage
from align_zoo.inputs.decode import decode_image, to_rgb
from align_zoo.serving.model.outputs import resize_fingerprint

__all__ = ["REFUSED", "RESIZE", "seen", "seen_resized"]

_SIZE = (37, 41)
RESIZE = Resize(
    *_SIZE, Image.Resampling.BILINEAR, resize_fingerprint(*_SIZE, Image.Resampling.BILINEAR)
)
REFUSED = "refused"


def _resized(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((RESIZE.width, RESIZE.height), Image.Resampling.BILINEAR))


def _answer(pixels) -> np.ndarray | str:
    try:
        return pixels()
    except UnidentifiedImageError:  # nothing that a caller could hand over
        return REFUSED
    except (InvalidImage, InvalidInput) as error:
        assert str(error).rstrip(": ") == str(error), f"a message without a reason: {error}"
        return REFUSED


def seen(data: bytes, path: Path) -> dict[str, np.ndarray | str]:
    """Whole pixels by every entry: what a library call, a path, bytes and PIL images come to."""
    path.write_bytes(data)
    ways = {
        "library, bytes": lambda: decode_image(data),
        "library, PIL": lambda: to_rgb(Image.open(io.BytesIO(data))),
        "library, PIL of a path": lambda: to_rgb(Image.open(path)),
        "client, bytes": lambda: decode_image(encoded(data).data),
        "client, path": lambda: decode_image(encoded(path).data),
        "client, PIL": lambda: decode_image(encoded(Image.open(io.BytesIO(data))).data),
        "client, PIL of a path": lambda: decode_image(encoded(Image.open(path)).data),
        "client, array": lambda: decode_image(encoded(np.asarray(decode_image(data))).data),
    }
    return {
        way: _answer(lambda pixels=pixels: np.asarray(pixels())) for way, pixels in ways.items()
    }


def seen_resized(data: bytes, path: Path) -> dict[str, np.ndarray | str]:
    """Pixels at the model's size, by the server's resize and by the client's."""
    path.write_bytes(data)

    def sent(image, files) -> np.ndarray:
        return _resized(decode_image(encoded(image, RESIZE, files=files).data))

    ways = {
        "library": lambda: _resized(decode_image(data)),
        "client, bytes": lambda: sent(data, False),
        "client, bytes shrunk": lambda: sent(data, True),
        "client, path shrunk": lambda: sent(path, True),
        "client, PIL": lambda: sent(Image.open(io.BytesIO(data)), False),
        "client, PIL shrunk": lambda: sent(Image.open(path), True),
        "client, array": lambda: sent(np.asarray(decode_image(data)), False),
    }
    return {way: _answer(pixels) for way, pixels in ways.items()}
