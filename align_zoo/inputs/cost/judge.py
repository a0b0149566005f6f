"""The limits on what decoding an image may cost."""

from __future__ import annotations

from align_zoo.errors import InvalidImage

__all__ = ["MAX_BLOCK", "MAX_PARTS", "MAX_SIDE", "Judge"]

MAX_PARTS = 50_000
"""Chunks, segments, blocks, directory values: Pillow takes some microseconds for each."""

MAX_SIDE = 65_535
"""The longest side that JPEG and GIF can hold. Resizing takes 16 bytes and more for each pixel of
a side."""

MAX_BLOCK = 1_000_000
"""The most bytes of EXIF, which are parsed in Python."""


class Judge:
    """Adds up the cost of one image, and refuses an image that costs too much.

    Args:
        kind: the format's name.
        max_pixels: the most pixels, width times height, that are decoded as a whole.
    """

    def __init__(self, kind: str, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self._kind = kind
        self._parts = 0

    def size(self, width: int, height: int, *, most: int | None = None) -> None:
        """Judge a size that memory is taken for; ``most`` is a lower limit than the image's.

        Raises:
            InvalidImage: there are too many pixels, or too many on a side.
        """
        most = min(most or self.max_pixels, self.max_pixels)
        if width * height > most:
            raise InvalidImage(
                f"the image has {width} x {height} = {width * height:,} pixels; "
                f"at most {most:,} are accepted",
                "too_many_pixels",
            )
        if max(width, height) > MAX_SIDE:
            raise InvalidImage(
                f"the image has {width} x {height} pixels; at most {MAX_SIDE:,} a side "
                "are accepted",
                "too_many_pixels",
            )

    def parts(self, count: int = 1) -> None:
        """Count further parts of the file.

        Raises:
            InvalidImage: there are too many parts by now.
        """
        self._parts += count
        if self._parts > MAX_PARTS:
            raise self.too_many("parts", MAX_PARTS)

    def block(self, size: int, what: str) -> None:
        """Judge a block of ``what`` that is read as a whole.

        Raises:
            InvalidImage: the block is too large.
        """
        if size > MAX_BLOCK:
            raise InvalidImage(
                f"the {self._kind} image carries {size:,} bytes of {what}; "
                f"at most {MAX_BLOCK:,} are accepted",
                "too_many_bytes",
            )

    def work(self, pixels: int, most: int) -> None:
        """Judge the pixels of all images and frames that are decoded for one image.

        Raises:
            InvalidImage: too many.
        """
        if pixels > most:
            raise InvalidImage(
                f"the {self._kind} image is made of images with {pixels:,} pixels together; "
                f"at most {most:,} are accepted",
                "too_many_pixels",
            )

    def damaged(self) -> InvalidImage:
        """Return the refusal of a file whose cost cannot be judged, because parts of it are cut."""
        return InvalidImage(f"the {self._kind} image is truncated or damaged", "damaged")

    def unsupported(self, what: str) -> InvalidImage:
        """Return the refusal of a file of a kind that no decoder is given."""
        return InvalidImage(f"the {self._kind} image {what}, which is not supported", "format")

    def too_many(self, what: str, most: int) -> InvalidImage:
        """Make the error of a file with more parts of one kind than are accepted."""
        return InvalidImage(
            f"the {self._kind} image has more than {most:,} {what}", "too_many_parts"
        )
