"""Both towers as one model: many requests, one checkpoint, errors with the item's place."""

from __future__ import annotations

from typing import Awaitable, Callable, Container, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from align_client.answers import Row
from align_client.call import Call
from align_client.errors import (
    AlignClientError,
    InvalidInput,
    ModelUnavailable,
    anew,
    kept,
    placed,
)
from align_client.image_sender import ImageSender
from align_client.images import ImageLike
from align_client.rules import BadItem, bad_item, breaks_contract
from align_client.runtime import Outcome, Runtime
from align_client.texts import TextCache, chunks
from align_client.transport import IMAGE_MODEL, TEXT_MODEL, Transport

__all__ = ["Embedder"]

_TRIES = 3


class _Rows(NamedTuple):
    """What both towers answer to one call."""

    images: List[Outcome[Row]]
    texts: List[Outcome[Row]]


class Embedder:
    """Rows of one checkpoint, whatever the servers load meanwhile.

    Args:
        runtime: makes several requests at once.
        transport: makes a request.
        pictures: make one of a picture.
        cache: texts embedded before, used by :meth:`both`.

    Every method raises the error of the first item that has no answer, after all others are
    finished; with ``keep`` it stands in the item's place instead. ModelUnavailable is raised if
    the servers go on mixing checkpoints.
    """

    def __init__(
        self, runtime: Runtime, transport: Transport, pictures: ImageSender, cache: TextCache
    ) -> None:
        self._runtime = runtime
        self._transport = transport
        self._image_sender = pictures
        self._cache = cache

    async def images(
        self, images: Sequence[ImageLike], several: bool, call: Call, *, keep: bool = False
    ) -> List[Outcome[Row]]:
        """A row for each image; ``several`` says whether an error names which."""

        async def ask(call: Call) -> _Rows:
            return _Rows(await self._image_rows(images, several, call, keep), [])

        return (await self._of_one_checkpoint(ask, call)).images

    async def texts(
        self, texts: Sequence[Outcome[str]], call: Call, *, keep: bool = False
    ) -> List[Outcome[Row]]:
        """A row for each text, asked of the server now; errors among them stay."""

        async def ask(call: Call) -> _Rows:
            rows = await self._text_rows(texts, "text", call, keep)
            return _Rows([], [rows[text] if isinstance(text, str) else text for text in texts])

        return (await self._of_one_checkpoint(ask, call)).texts

    async def both(
        self,
        images: Sequence[ImageLike],
        several: bool,
        texts: Sequence[str],
        noun: str,
        call: Call,
        *,
        keep: bool,
    ) -> Tuple[List[Outcome[Row]], List[Row]]:
        """A row for each image and for each text; ``noun`` is what an error calls a text.

        ``keep`` is for the images. There are no texts' rows where there is no image's.
        """

        async def ask(call: Call) -> _Rows:
            pictures = await self._image_rows(images, several, call, keep)
            checkpoints = {row.checkpoint for row in _sound(pictures)}
            if len(checkpoints) != 1:
                return _Rows(pictures, [])
            (checkpoint,) = checkpoints
            known = self._cache.find(checkpoint, texts)
            new = await self._text_rows(texts, noun, call, False, known)
            sound = {text: row for text, row in new.items() if isinstance(row, Row)}
            self._cache.keep(sound)
            known.update(sound)
            return _Rows(pictures, [known[text] for text in texts])

        rows = await self._of_one_checkpoint(ask, call)
        return rows.images, _sound(rows.texts)

    async def _of_one_checkpoint(
        self, ask: Callable[[Call], Awaitable[_Rows]], call: Call
    ) -> _Rows:
        """Ask; and again, one replica, if the answers are mixed.

        Raises:
            ModelUnavailable: the towers serve different checkpoints.
        """
        checkpoints: List[str] = []
        for _ in range(_TRIES):
            answered = await ask(call)
            rows = _sound([*answered.images, *answered.texts])
            checkpoints = sorted({row.checkpoint for row in rows})
            if len(checkpoints) <= 1:
                if len({row.vector.shape for row in rows}) > 1:
                    raise breaks_contract(
                        self._transport.url,
                        f"{IMAGE_MODEL} or {TEXT_MODEL}",
                        "embeddings of one checkpoint differ in width",
                    )
                return answered
            # One of the replicas may have a new checkpoint already, another the old one still.
            call = call.at(self._transport.replicas.choose_for_all())
        raise ModelUnavailable(
            f"{self._transport.url} answers from different checkpoints "
            f"({', '.join(checkpoints)}); if no reload is under way, "
            f"{IMAGE_MODEL} and {TEXT_MODEL} are not of one model"
        )

    async def _image_rows(
        self, images: Sequence[ImageLike], several: bool, call: Call, keep: bool
    ) -> List[Outcome[Row]]:
        async def request(image: ImageLike) -> Row:
            return await self._image_sender.embed(image, call)

        outcomes: List[Outcome[Row]] = []
        for i, outcome in enumerate(await self._runtime.outcomes(request, images)):
            if isinstance(outcome, AlignClientError):
                outcome = placed(outcome, f"image {i}: " if several else "")
                if not keep:
                    raise anew(outcome)
            outcomes.append(outcome)
        return outcomes

    async def _text_rows(
        self,
        texts: Sequence[Outcome[str]],
        noun: str,
        call: Call,
        keep: bool,
        known: Container[str] = (),
    ) -> Dict[str, Outcome[Row]]:
        """Each different text that is not yet known, and its answer."""
        places: Dict[str, int] = {}
        for i, text in enumerate(texts):
            if isinstance(text, str) and text not in known:
                places.setdefault(text, i)
        # Texts of like length together: the server pads a batch to its longest.
        missing = sorted(places, key=lambda t: (len(t), t))
        if not missing:
            return {}

        async def request(part: Sequence[str]) -> Dict[str, Outcome[Row]]:
            return await self._part(part, call, keep)

        try:
            parts = chunks(missing, await self._transport.max_texts(call))
        except AlignClientError as error:
            if not keep:
                raise
            return dict.fromkeys(missing, kept(error))
        rows: Dict[str, Outcome[Row]] = {}
        for part, answer in zip(parts, await self._runtime.outcomes(request, parts)):
            if isinstance(answer, AlignClientError):
                if not keep:
                    raise anew(answer)
                answer = dict.fromkeys(part, answer)
            for text, outcome in answer.items():
                if isinstance(outcome, AlignClientError):
                    outcome = placed(outcome, f"{noun} {places[text]}: ")
                    if not keep:
                        raise anew(outcome)
                rows[text] = outcome
        return rows

    async def _part(self, part: Sequence[str], call: Call, keep: bool) -> Dict[str, Outcome[Row]]:
        """The outcomes of one request's texts; if one is bad, with ``keep`` also of the others.

        The server names one bad text, and answers none of its request's.
        """
        outcomes: Dict[str, Outcome[Row]] = {}
        rest = list(part)
        while rest:
            try:
                outcomes.update(zip(rest, await self._transport.embed_texts(rest, call)))
                break
            except InvalidInput as error:
                bad = bad_item(error)
                if bad is None and len(rest) == 1:
                    bad = BadItem(0, error.message)
                if bad is None or bad.place >= len(rest):
                    raise
                outcomes[rest.pop(bad.place)] = anew(error, bad.reason)
                if not keep:
                    break
        return outcomes


def _sound(outcomes: Iterable[Outcome[Row]]) -> List[Row]:
    return [row for row in outcomes if isinstance(row, Row)]
