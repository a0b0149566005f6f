"""One image to its row; a large image is shrunk to the size of the model first."""

from __future__ import annotations

from typing import Optional, Union

from align_client.answers import Row
from align_client.call import Call
from align_client.errors import InvalidInput, ModelUnavailable, too_late
from align_client.images import Encoded, ImageLike, encoded, may_shrink
from align_client.runtime import Runtime
from align_client.shrink import NO_RESIZE, Resize, tiny_png
from align_client.transport import IMAGE_MODEL, Transport

__all__ = ["ImageSender"]

_TRIES = 3


class ImageSender:
    """Encodes and sends images.

    Every answer of the server holds the size to shrink to. If the first image is large, a tiny
    image is sent before it to learn the size, so that all large images are treated alike.

    Args:
        runtime: does the work on the pixels.
        transport: makes one request.
        shrink: whether encoded files are shrunk as well: False, True or "draft".

    Raises:
        InvalidInput: ``shrink`` has another value.
    """

    def __init__(self, runtime: Runtime, transport: Transport, shrink: Union[bool, str]) -> None:
        if not isinstance(shrink, bool) and shrink != "draft":
            raise InvalidInput(f"shrink must be False, True or 'draft'; got {shrink!r}")
        self._runtime = runtime
        self._transport = transport
        self._shrink = shrink
        self._resize: Optional[Resize] = None
        self._asking = runtime.lock()

    async def embed(self, image: ImageLike, call: Call) -> Row:
        """Embed one image.

        Raises:
            InvalidInput: the image cannot be used.
            ModelUnavailable: the server resizes to another size at every try.
        """
        resize: Optional[Resize] = None
        for _ in range(_TRIES):
            if resize is None and may_shrink(image, files=self._shrink):
                resize = await self._current(call)
            if isinstance(image, (bytes, bytearray, memoryview)) and not self._shrink:
                data, shrunk = encoded(image)  # the bytes are sent as they are: no work
            else:
                data, shrunk = await self._runtime.work(
                    self._encoded, image, resize or NO_RESIZE, call
                )
            row = await self._send(data, call)
            # Otherwise the server has loaded another checkpoint since, or another replica serves
            # another checkpoint: the image was shrunk to a size that is not the model's.
            if not shrunk or resize == row.resize:
                return row
            resize, call = row.resize, call.at(row.replica)
        raise ModelUnavailable(
            f"the {IMAGE_MODEL} of {self._transport.url} changes faster than images can be "
            f"shrunk for it: {_TRIES} answers, each of another size"
        )

    def _encoded(self, image: ImageLike, resize: Resize, call: Call) -> Encoded:
        # The image may have waited for a thread: no work after the deadline.
        if call.deadline.left() <= 0:
            raise too_late(self._transport.url, call.deadline.timeout)
        return encoded(image, resize, files=self._shrink)

    async def _current(self, call: Call) -> Resize:
        """Return how the server resized for its last answer; ask if there is none yet."""
        async with self._asking:
            if self._resize is None:
                try:
                    await self._send(tiny_png(), call)
                except (
                    InvalidInput
                ):  # the image is smaller than the crop: the model does not resize
                    return NO_RESIZE
            return self._resize or NO_RESIZE

    async def _send(self, data: bytes, call: Call) -> Row:
        row = await self._transport.embed_image(data, call)
        self._resize = row.resize
        return row
