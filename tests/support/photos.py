"""Images and files that the end-to-end tests send."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw

# One image alone, or in a batch with others: sums are added in another order.
TOLERANCE = 1e-5

LABELS = ["a red circle", "a blue square", "a green triangle"]


def disc_image(colour="red", size=(120, 90)):
    """A disc off the centre, with noise: no symmetry that would hide a wrong turn."""
    width, height = size
    noise = np.random.default_rng(0).integers(200, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    ImageDraw.Draw(image).ellipse((10, 5, width // 2 + 10, height // 2 + 15), fill=colour)
    return image


def file(image, kind="PNG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def png(width, height, rows):
    """A PNG of 1-bit grey written by hand; ``rows`` are compressed as they are."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    body = b"".join([packer.compress(row) for row in rows] + [packer.flush()])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
