"""The texts and images of a request's JSON, and the bytes that the models read."""

from __future__ import annotations

import binascii
import re
from typing import Any, NamedTuple
from urllib.parse import unquote

from align_zoo.errors import InvalidImage
from align_zoo.serving.gateway.journal import shown_id
from align_zoo.serving.gateway.rest.body import malformed

__all__ = ["Item", "content", "looks_like_image", "read_item"]

_SLICE = 2**16
"""The characters that are decoded without a break, in which another thread may run: 0.3 ms. Larger
slices take twice the time in all, because glibc then asks the kernel for the memory of each."""
_ALPHABET = bytes.maketrans(b"-_", b"+/")  # of URLs, and of everything else
_BLANKS = b" \t\r\n"
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]{0,30}):")
_DATA = re.compile(r"\s*data:([^,;]{0,100})((?:;[^,;]{0,100}){0,8}),", re.IGNORECASE)
_MEDIA = re.compile(r"image/.*|application/octet-stream|", re.IGNORECASE)
_HOW = 'send its bytes, in base64 or as "data:image/png;base64,..."'


class Item(NamedTuple):
    """A text or an image of a request."""

    kind: str
    """"text" or "image"."""
    value: str
    """The text; or the image in base64 or as a data URI."""
    param: str
    """The place in the request, such as ``input[3]``."""


def read_item(kind: str, value: Any, place: str) -> Item:
    """Read a text or an image of a request.

    Raises:
        Refusal: MALFORMED; the value is no string.
    """
    if not isinstance(value, str):
        raise malformed(f"{place} must be a string", place)
    return Item(kind, value, place)


def content(item: Item) -> bytes:
    """Return the bytes that the model reads: UTF-8, or an encoded image.

    Raises:
        InvalidImage: the string is a URL, or neither base64 nor a data URI with base64.
    """
    if item.kind == "text":
        return item.value.encode()
    return _decoded(_base64_of(item.value))


def looks_like_image(text: str) -> bool:
    """Return whether a string is the data URI of an image."""
    found = _DATA.match(text)
    return found is not None and found[1].lower().startswith("image/")


def _base64_of(value: str) -> str:
    """Return the base64 of an image's string."""
    scheme = _SCHEME.match(value)
    if not scheme:
        return value
    if scheme[1].lower() != "data":
        raise InvalidImage(f"the image is a URL, and no URL is fetched here: {_HOW}", "url")
    found = _DATA.match(value)
    if not found or "base64" not in found[2].lower().split(";"):
        raise InvalidImage(f"the image's data URI has no base64: {_HOW}", "base64")
    if not _MEDIA.fullmatch(found[1].strip()):
        kind = shown_id(found[1])
        raise InvalidImage(f"the data URI is of type {kind!r}, which is no image's", "base64")
    data = value[found.end() :]
    return unquote(data) if "%" in data else data


def _decoded(text: str) -> bytes:
    """Decode base64 of either alphabet; blanks may stand in it, and padding be left out."""
    parts, rest, ended = [], b"", False
    try:
        encoded = text.encode("ascii")
        for begin in range(0, len(encoded), _SLICE):
            rest += encoded[begin : begin + _SLICE].translate(_ALPHABET, _BLANKS)
            last = begin + _SLICE >= len(encoded)
            whole = rest + b"=" * (-len(rest) % 4) if last else rest[: len(rest) // 4 * 4]
            if ended and whole:
                raise ValueError("padding within the text")
            parts.append(binascii.a2b_base64(whole, strict_mode=True))
            ended = 4 * len(parts[-1]) != 3 * len(whole)
            rest = rest[len(whole) :]
    except ValueError:  # binascii.Error and UnicodeEncodeError are
        raise InvalidImage(f"the image is not base64: {_HOW}", "base64") from None
    return b"".join(parts)
