"""The limits on what decoding a picture may cost."""

from __future__ import annotations

from align_zoo.errors import InvalidImage

__all__ = ["MAX_BLOCK", "MAX_PARTS", "MAX_SIDE", "Judge"]

MAX_PARTS = 50_000
"""Chunks, segments, blocks, directory values: Pillow takes some microseconds for each."""

MAX_SIDE = 65_535
"""What JPEG and GIF can hold. Resizing takes 16 bytes and more for each pixel of a side."""

MAX_BLOCK = 1_000_000
"""Bytes of EXIF, which are parsed in Python."""


class Judge:
    """Adds up what one picture asks for, and refuses what is too much.

    Args:
        kind: the format's name.
        max_pixels: width times height of anything that is decoded whole.
    """

    def __init__(self, kind: str, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self._kind = kind
        self._parts = 0

    def size(self, width: int, height: int, *, most: int | None = None) -> None:
        """Pixels that memory would be taken for; ``most`` is a lower limit than the picture's.

        Raises:
            InvalidImage: too many, or too many a side.
        """
        most = min(most or self.max_pixels, self.max_pixels)
        if width * height > most:
            raise InvalidImage(
                f"the picture has {width} x {height} = {width * height:,} pixels; "
                f"at most {most:,} are accepted",
                "too_many_pixels",
            )
        if max(width, height) > MAX_SIDE:
            raise InvalidImage(
                f"the picture has {width} x {height} pixels; at most {MAX_SIDE:,} a side "
                "are accepted",
                "too_many_pixels",
            )

    def parts(self, count: int = 1) -> None:
        """Further parts of the file.

        Raises:
            InvalidImage: too many by now.
        """
        self._parts += count
        if self._parts > MAX_PARTS:
            raise self.too_many("parts", MAX_PARTS)

    def block(self, size: int, what: str) -> None:
        """A block of ``what`` that is read whole.

        Raises:
            InvalidImage: too large.
        """
        if size > MAX_BLOCK:
            raise InvalidImage(
                f"the {self._kind} picture carries {size:,} bytes of {what}; "
                f"at most {MAX_BLOCK:,} are accepted",
                "too_many_bytes",
            )

    def too_many(self, what: str, most: int) -> InvalidImage:
        """The refusal of a file with more parts of one kind than are decoded in bounded time."""
        return InvalidImage(
            f"the {self._kind} picture has more than {most:,} {what}", "too_many_parts"
        )
