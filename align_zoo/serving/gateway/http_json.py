"""The JSON of an inference over HTTP: what the gateway must know of it before it goes on."""

from __future__ import annotations

import re

from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = ["read_items"]

_MOST_BRACKETS = 10_000
# Only a name is followed by a colon, and quotes inside of a string are escaped.
_FIRST_SHAPE = re.compile(rb'"shape"\s*:\s*\[\s*(-?[0-9]{1,20})')


def read_items(body: bytes, length: str | None) -> int:
    """How many items are asked for: the first size of the first shape, as over gRPC.

    Not parsed: that could take a second, in which nobody else is answered.

    Args:
        body: JSON; binary tensors may follow it.
        length: of the JSON part, as the caller's header tells it.

    Raises:
        Refusal: the JSON is so deep that it would end tritonserver, or they are no number of items.
    """
    end = _json_bytes(length, len(body))
    # tritonserver reads JSON recursively: 2.51 dies of some 10^6 open brackets, a stack overflow.
    if body.count(b"[", 0, end) + body.count(b"{", 0, end) > _MOST_BRACKETS:
        raise Refusal(Reason.MALFORMED, f"the JSON has more than {_MOST_BRACKETS} brackets")
    shape = _FIRST_SHAPE.search(body, 0, end)
    items = int(shape[1]) if shape else 1
    if not 1 <= items < 2**31:
        # As over gRPC: tritonserver takes a batch of 2**32 for one.
        raise Refusal(Reason.MALFORMED, "an input's shape has a size that is 0, negative or huge")
    return items


def _json_bytes(header: str | None, total: int) -> int:
    # Binary tensors follow; a picture may have any number of brackets.
    if header is not None and header.isdecimal() and int(header[:20]) <= total:
        return int(header)
    return total
