"""Many images and texts to their rows, all of one checkpoint, each error with its item's place."""

from __future__ import annotations

from typing import Awaitable, Callable, Container, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from align_client.answers import Row
from align_client.call import Call
from align_client.errors import (
    AlignClientError,
    InvalidInput,
    ModelUnavailable,
    copy_of,
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
    """The answers of both models to one call."""

    images: List[Outcome[Row]]
    texts: List[Outcome[Row]]


class Embedder:
    """Embeds many items and makes sure that one checkpoint computed all rows of a call.

    Args:
        runtime: makes several requests at once.
        transport: makes one request.
        image_sender: makes and sends the request of one image.
        cache: rows of texts embedded before, used by :meth:`both`.

    Every method raises the error of the first item without an answer, after all other items are
    finished. With ``keep`` the error is returned in the place of the item instead. Every method
    raises ModelUnavailable if the servers answer from different checkpoints at every try.
    """

    def __init__(
        self, runtime: Runtime, transport: Transport, image_sender: ImageSender, cache: TextCache
    ) -> None:
        self._runtime = runtime
        self._transport = transport
        self._image_sender = image_sender
        self._cache = cache

    async def images(
        self, images: Sequence[ImageLike], several: bool, call: Call, *, keep: bool = False
    ) -> List[Outcome[Row]]:
        """Embed the images; ``several`` says whether an error names the place of its image."""

        async def ask(call: Call) -> _Rows:
            return _Rows(await self._image_rows(images, several, call, keep), [])

        return (await self._of_one_checkpoint(ask, call)).images

    async def texts(
        self, texts: Sequence[Outcome[str]], call: Call, *, keep: bool = False
    ) -> List[Outcome[Row]]:
        """Embed the texts, without the cache; errors among ``texts`` stay in their places."""

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
        """Embed the images and the texts.

        Args:
            images: the images.
            several: whether an error names the place of its image.
            texts: the texts; the cache answers those that it knows.
            noun: the caller's word for a text, for errors: "label" or "text".
            call: the public call.
            keep: return the errors of images in their places. Errors of texts are raised.

        Returns:
            A row or an error for each image, and a row for each text; no row of a text if no
            image has a row.
        """

        async def ask(call: Call) -> _Rows:
            image_rows = await self._image_rows(images, several, call, keep)
            checkpoints = {row.checkpoint for row in _sound(image_rows)}
            if len(checkpoints) != 1:
                return _Rows(image_rows, [])
            (checkpoint,) = checkpoints
            known = self._cache.find(checkpoint, texts)
            new = await self._text_rows(texts, noun, call, False, known)
            sound = {text: row for text, row in new.items() if isinstance(row, Row)}
            self._cache.keep(sound)
            known.update(sound)
            return _Rows(image_rows, [known[text] for text in texts])

        rows = await self._of_one_checkpoint(ask, call)
        return rows.images, _sound(rows.texts)

    async def _of_one_checkpoint(
        self, ask: Callable[[Call], Awaitable[_Rows]], call: Call
    ) -> _Rows:
        """Ask, and ask one replica alone if the answers are of several checkpoints.

        Raises:
            ModelUnavailable: the models serve different checkpoints.
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
            # One replica may have loaded the new checkpoint already, and another not yet.
            call = call.at(self._transport.replicas.choose_for_all())
        raise ModelUnavailable(
            f"{self._transport.url} answers from different checkpoints "
            f"({', '.join(checkpoints)}); if no reload is under way, "
            f"{IMAGE_MODEL} and {TEXT_MODEL} are not of one model"
        )

    async def _image_rows(
        self, images: Sequence[ImageLike], several: bool, call: Call, keep: bool
    ) -> List[Outcome[Row]]:
        async def request(pack: Sequence[ImageLike]) -> List[Outcome[Row]]:
            return await self._image_sender.embed_pack(pack, call)

        try:
            packs = await self._image_sender.packs(images, call)
        except AlignClientError as error:
            if not keep:
                raise
            return [kept(error)] * len(images)
        answers: List[Outcome[Row]] = []
        largest = max(map(len, packs))
        for pack, found in zip(packs, await self._runtime.outcomes(request, packs, largest)):
            answers += [found] * len(pack) if isinstance(found, AlignClientError) else found
        outcomes: List[Outcome[Row]] = []
        for i, outcome in enumerate(answers):
            if isinstance(outcome, AlignClientError):
                outcome = placed(outcome, f"image {i}: " if several else "")
                if not keep:
                    raise copy_of(outcome)
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
        """Embed each different text that is not in ``known``."""
        places: Dict[str, int] = {}
        for i, text in enumerate(texts):
            if isinstance(text, str) and text not in known:
                places.setdefault(text, i)
        # Texts of similar length together: the server pads a batch to its longest text.
        missing = sorted(places, key=lambda t: (len(t), t))
        if not missing:
            return {}

        async def request(part: Sequence[str]) -> Dict[str, Outcome[Row]]:
            return await self._part(part, call, keep)

        try:
            parts = chunks(missing, (await self._transport.batch(TEXT_MODEL, call)).size)
        except AlignClientError as error:
            if not keep:
                raise
            return dict.fromkeys(missing, kept(error))
        rows: Dict[str, Outcome[Row]] = {}
        for part, answer in zip(parts, await self._runtime.outcomes(request, parts)):
            if isinstance(answer, AlignClientError):
                if not keep:
                    raise copy_of(answer)
                answer = dict.fromkeys(part, answer)
            for text, outcome in answer.items():
                if isinstance(outcome, AlignClientError):
                    outcome = placed(outcome, f"{noun} {places[text]}: ")
                    if not keep:
                        raise copy_of(outcome)
                rows[text] = outcome
        return rows

    async def _part(self, part: Sequence[str], call: Call, keep: bool) -> Dict[str, Outcome[Row]]:
        """Embed the texts of one request.

        An older server names one bad text and answers no text of the request. With ``keep`` the
        other texts are sent again without the bad text; else they have no outcome.
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
                outcomes[rest.pop(bad.place)] = copy_of(error, bad.reason)
                if not keep:
                    break
        return outcomes


def _sound(outcomes: Iterable[Outcome[Row]]) -> List[Row]:
    return [row for row in outcomes if isinstance(row, Row)]
