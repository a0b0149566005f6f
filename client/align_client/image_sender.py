"""Images to their rows, in packs; a large image is shrunk to the size of the model first."""

from __future__ import annotations

from typing import List, Optional, Sequence, Union

from align_client.answers import Row
from align_client.call import Call
from align_client.errors import (
    AlignClientError,
    InvalidInput,
    ModelUnavailable,
    kept,
    too_late,
)
from align_client.images import Encoded, ImageLike, encoded, may_shrink
from align_client.request_sender import Apart
from align_client.runtime import Outcome, Runtime
from align_client.shrink import NO_RESIZE, Resize, tiny_png
from align_client.transport import IMAGE_MODEL, Transport

__all__ = ["ImageSender"]

_TRIES = 3
_PACK_BYTES = 4_000_000
"""The most bytes of a request with several images: other callers' requests wait meanwhile."""


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

    async def packs(self, images: Sequence[ImageLike], call: Call) -> List[List[ImageLike]]:
        """Divide the images, in order, among requests.

        A request has one image as long as all images can be under way at once: more requests reach
        more replicas, and are answered earlier. Beyond that a request has more, at most the
        server's batch. An image that may be shrunk is alone: its work needs a thread of its own.
        """
        size = -(-len(images) // self._runtime.count)
        if size > 1:
            batch = await self._transport.batch(IMAGE_MODEL, call)
            size = min(size, batch.size) if batch.errors else 1
            if not batch.errors:
                self._transport.forget_batch(IMAGE_MODEL)
        packs: List[List[ImageLike]] = []
        room = 0
        for image in images:
            alone = size == 1 or may_shrink(image, files=self._shrink)
            if alone or not room:
                packs.append([])
                room = 1 if alone else size
            packs[-1].append(image)
            room -= 1
        return packs

    async def embed_pack(self, images: Sequence[ImageLike], call: Call) -> List[Outcome[Row]]:
        """Embed a pack of :meth:`packs`; return a row or an error for each image."""
        if len(images) == 1:
            return [await self.embed(images[0], call)]
        outcomes: List[Outcome[Row]] = []
        files: List[bytes] = []
        places: List[int] = []
        for i, image in enumerate(images):
            try:
                data = (await self._read(image, NO_RESIZE, call)).data
            except AlignClientError as error:
                outcomes.append(kept(error))
                continue
            if files and sum(map(len, files)) + len(data) > _PACK_BYTES:
                await self._fill(outcomes, places, files, call)
                files, places = [], []
            outcomes.append(InvalidInput())  # until the answer comes
            files.append(data)
            places.append(i)
        if files:
            await self._fill(outcomes, places, files, call)
        return outcomes

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
            data, shrunk = await self._read(image, resize or NO_RESIZE, call)
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

    async def _fill(
        self, outcomes: List[Outcome[Row]], places: List[int], files: List[bytes], call: Call
    ) -> None:
        """Send files together, and put the answers in their places."""
        answers: Optional[List[Outcome[Row]]] = None
        if len(files) > 1:
            try:
                answers = await self._transport.embed_images(files, call)
            except Apart as apart:
                call = call._replace(died=apart.died)
            except AlignClientError as error:
                answers = [kept(error)] * len(files)
        if answers is None:
            answers = [await self._alone(data, call) for data in files]
        for place, answer in zip(places, answers):
            outcomes[place] = answer
            if isinstance(answer, Row):
                self._resize = answer.resize

    async def _alone(self, data: bytes, call: Call) -> Outcome[Row]:
        try:
            return await self._send(data, call)
        except AlignClientError as error:
            return kept(error)

    async def _read(self, image: ImageLike, resize: Resize, call: Call) -> Encoded:
        if isinstance(image, (bytes, bytearray, memoryview)) and not self._shrink:
            return encoded(image)  # the bytes are sent as they are: no work
        return await self._runtime.work(self._encoded, image, resize, call)

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
