"""Bytes to an RGB image, within limits of size and cost."""

from __future__ import annotations

import base64

from PIL import Image, features

from align_zoo.errors import InvalidImage, to_install
from align_zoo.inputs.cost import FORMATS, format_of, judge_header
from align_zoo.inputs.cost.judge import Judge
from align_zoo.inputs.cost.kinds import unsupported
from align_zoo.inputs.pixels import PixelError, eight_bit, open_image

__all__ = ["MAX_BYTES", "MAX_PIXELS", "decode_image", "open_encoded", "to_rgb"]

MAX_BYTES = 20_000_000
"""Largest encoded image, in bytes."""
MAX_PIXELS = 50_000_000
"""Largest image, width times height, judged from the header."""
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
"""Beginnings of JPEG XL files; docs/preprocessing.md says why they are refused."""


def decode_image(
    data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Decode an encoded image to RGB, turned upright by its EXIF orientation.

    Of an animation the first frame is taken. The cost of decoding is judged from the file's
    structure, before memory is taken for a pixel.

    Raises:
        InvalidImage: the image is empty, too large or damaged, its format is not accepted, or the
            format's decoder is not installed.
    """
    return to_rgb(open_encoded(data, max_bytes=max_bytes, max_pixels=max_pixels))


def open_encoded(
    data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Judge and open an encoded image without decoding a pixel, for :func:`decode_image`.

    Raises:
        InvalidImage: the image is empty or too large, its header is damaged, its format is not
            accepted, or the format's decoder is not installed.
    """
    if not data:
        raise InvalidImage("the image is empty (0 bytes)", "empty")
    if len(data) > max_bytes:
        raise InvalidImage(
            f"the image has {len(data):,} bytes; at most {max_bytes:,} are accepted",
            "too_many_bytes",
        )
    kind = format_of(data)
    if kind is None:
        raise _no_format(data)
    judge_header(data, kind, max_pixels)
    _have_decoder(kind)
    try:
        image = open_image(data, (kind,))
    except Image.DecompressionBombError as error:
        most = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
        raise InvalidImage(f"the image has more than {most:,} pixels", "too_many_pixels") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders raise errors of many kinds for hostile bytes
        said = unsupported(data, kind)
        raise InvalidImage(f"the {kind} image {said}", said.reason) from error
    Judge(kind, max_pixels).size(*image.size)
    return image


def _no_format(data: bytes) -> InvalidImage:
    """Return the error for a file that is of no accepted format."""
    if _is_base64(data):
        return InvalidImage("not an image but text: base64? send the bytes", "format")
    if data.startswith(_JPEG_XL):
        return InvalidImage(
            "a JPEG XL image, which is not supported: what it costs is not known before it is "
            "decoded; convert it to AVIF or PNG",
            "format",
        )
    return InvalidImage(f"not an image in an accepted format ({', '.join(FORMATS)})", "format")


def _have_decoder(kind: str) -> None:
    """Register Pillow's plugin for a format that needs one.

    Raises:
        InvalidImage: the decoder is not installed.
    """
    if kind == "AVIF" and not features.check("avif"):
        raise InvalidImage(
            f"the AVIF image needs a Pillow that reads AVIF, and {Image.__version__} was built "
            "without: install Pillow's own wheel, `pip install --force-reinstall pillow`",
            "no_decoder",
        )
    if kind == "HEIF":
        try:
            import pillow_heif

            pillow_heif.register_heif_opener()
        except ImportError as error:
            raise InvalidImage(
                f"the HEIF image needs the extra formats: {to_install('.[formats]')}",
                "no_decoder",
            ) from error


def _is_base64(data: bytes) -> bool:
    """Return whether the bytes are the base64 of an image, or a ``data:`` URL with one."""
    head = data[:200]
    if head.startswith(b"data:"):
        head = head.partition(b",")[2]
    head = b"".join(head.split()).replace(b"-", b"+").replace(b"_", b"/")[:64]
    try:
        decoded = base64.b64decode(head[: len(head) // 4 * 4], validate=True)
    except ValueError:
        return False
    return format_of(decoded) is not None


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image as RGB, turned upright by its EXIF orientation; itself if it is that.

    Like transformers' ``load_image``, but grey of 12 or 16 bits is scaled to 8, not clipped. The
    image may be an opened file that is not read yet.

    Raises:
        InvalidImage: the image is closed or damaged, or its samples have no known range.
    """
    try:
        image = eight_bit(image)
    except PixelError as error:
        # The decoder's own words stay with the cause: they may name what is inside of us.
        kind = getattr(image, "format", None) or "PIL"
        reason = "damaged" if error.reason == "closed" else error.reason
        raise InvalidImage(f"the {kind} image {error}", reason) from error.__cause__
    return image if image.mode == "RGB" else image.convert("RGB")
