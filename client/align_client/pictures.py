"""The image model's answers to pictures of any size, the large ones shrunk to its own."""

from __future__ import annotations

import threading
from typing import List, Optional, Union

from PIL import Image

from align_client.errors import InvalidInput, ModelUnavailable
from align_client.images import ImageLike, encoded
from align_client.shrink import NO_RESIZE, Resize
from align_client.transport import IMAGE_MODEL, Deadline, Row, Transport

__all__ = ["Pictures"]

_TRIES = 3


class Pictures:
    """Sends pictures. Safe to share between threads.

    The size to shrink to comes with every answer. Before the first, a tiny picture asks for it,
    so that a large one is never treated in two ways.

    Args:
        transport: makes a request.
        shrink: whether encoded files are shrunk as well: False, True or "draft".

    Raises:
        InvalidInput: ``shrink`` is something else.
    """

    def __init__(self, transport: Transport, shrink: Union[bool, str]) -> None:
        if not isinstance(shrink, bool) and shrink != "draft":
            raise InvalidInput(f"shrink must be False, True or 'draft'; got {shrink!r}")
        self._transport = transport
        self._shrink = shrink
        self._resize: Optional[Resize] = None
        self._asking = threading.Lock()

    def embed(self, image: ImageLike, deadline: Deadline) -> Row:
        """One image's row; the work on its pixels is done in the calling thread.

        Raises:
            InvalidInput: it cannot be used.
            ModelUnavailable: the server resizes otherwise at every try.
        """
        for _ in range(_TRIES):
            used: List[Resize] = []

            def size(used: List[Resize] = used) -> Resize:
                used.append(self._current(deadline))
                return used[0]

            row = self._send(encoded(image, size, files=self._shrink), deadline)
            # Else another checkpoint was loaded meanwhile, and these are not its pixels.
            if not used or used[0] == row.resize:
                return row
        raise ModelUnavailable(
            f"the {IMAGE_MODEL} of {self._transport.url} changes faster than pictures can be "
            f"shrunk for it: {_TRIES} answers, each of another size"
        )

    def _current(self, deadline: Deadline) -> Resize:
        """How the server resized at its last answer."""
        with self._asking:
            if self._resize is None:
                try:
                    self._send(encoded(Image.new("RGB", (8, 8))), deadline)
                except InvalidInput:  # smaller than the crop: it does not resize
                    return NO_RESIZE
            return self._resize or NO_RESIZE

    def _send(self, data: bytes, deadline: Deadline) -> Row:
        row = self._transport.embed_image(data, deadline)
        self._resize = row.resize
        return row
