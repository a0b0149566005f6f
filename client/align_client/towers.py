"""Both towers as one model: many requests, one checkpoint, errors with the item's place."""

from __future__ import annotations

import re
from typing import Callable, Dict, Iterable, List, NoReturn, Sequence, Tuple

from align_client.errors import AlignClientError, InvalidInput, ModelUnavailable, breaks_contract
from align_client.images import ImageLike
from align_client.labels import LabelCache, chunks
from align_client.pictures import Pictures
from align_client.transport import IMAGE_MODEL, TEXT_MODEL, Deadline, Row, Transport
from align_client.workers import Workers

__all__ = ["Towers", "temperature_of"]


class Towers:
    """Rows of one checkpoint, whatever the server loads meanwhile.

    Args:
        transport: makes a request.
        pictures: make one of a picture.
        workers: make several at once.
        cache: texts embedded before, used by :meth:`both`.

    Every method raises InvalidInput for the first item that cannot be used, after all others
    are finished, and ModelUnavailable if the server goes on mixing checkpoints.
    """

    def __init__(
        self, transport: Transport, pictures: Pictures, workers: Workers, cache: LabelCache
    ) -> None:
        self._transport = transport
        self._pictures = pictures
        self._workers = workers
        self._cache = cache

    def images(self, images: Sequence[ImageLike], several: bool, deadline: Deadline) -> List[Row]:
        """A row for each image; ``several`` says whether an error names which."""
        return self._of_one_checkpoint(lambda _: self._image_rows(images, several, deadline))

    def texts(self, texts: Sequence[str], deadline: Deadline) -> List[Row]:
        """A row for each text, asked of the server now."""

        def ask(_: bool) -> List[Row]:
            rows = self._text_rows(texts, "text", deadline)
            return [rows[text] for text in texts]

        return self._of_one_checkpoint(ask)

    def both(
        self,
        images: Sequence[ImageLike],
        several: bool,
        texts: Sequence[str],
        noun: str,
        deadline: Deadline,
    ) -> Tuple[List[Row], List[Row]]:
        """A row for each image and for each text; ``noun`` is what an error calls a text."""

        def ask(may_use_cache: bool) -> List[Row]:
            pictures = self._image_rows(images, several, deadline)
            known = self._cache.find(pictures[0].checkpoint, texts) if may_use_cache else {}
            known.update(self._text_rows(texts, noun, deadline, known))
            self._cache.keep(known)
            return pictures + [known[text] for text in texts]

        rows = self._of_one_checkpoint(ask)
        return rows[: len(images)], rows[len(images) :]

    def _of_one_checkpoint(self, ask: Callable[[bool], List[Row]]) -> List[Row]:
        """Ask, and once more without the cache if the server has changed its checkpoint meanwhile.

        Raises:
            ModelUnavailable: the towers serve different checkpoints.
        """
        for may_use_cache in (True, False):
            rows = ask(may_use_cache)
            checkpoints = {row.checkpoint for row in rows}
            if len(checkpoints) == 1:
                if len({row.vector.shape for row in rows}) > 1:
                    raise breaks_contract(
                        self._transport.url,
                        f"{IMAGE_MODEL} or {TEXT_MODEL}",
                        "embeddings of one checkpoint differ in width",
                    )
                return rows
        raise ModelUnavailable(
            f"{self._transport.url} answers from different checkpoints "
            f"({', '.join(sorted(checkpoints))}); if no reload is under way, "
            f"{IMAGE_MODEL} and {TEXT_MODEL} are not of one model"
        )

    def _image_rows(
        self, images: Sequence[ImageLike], several: bool, deadline: Deadline
    ) -> List[Row]:
        def request(image: ImageLike) -> Row:
            return self._pictures.embed(image, deadline)

        rows: List[Row] = []
        for i, outcome in enumerate(self._workers.outcomes(request, images)):
            if isinstance(outcome, AlignClientError):
                _raise(outcome, f"image {i}: " if several else "")
            rows.append(outcome)
        return rows

    def _text_rows(
        self,
        texts: Sequence[str],
        noun: str,
        deadline: Deadline,
        known: Iterable[str] = (),
    ) -> Dict[str, Row]:
        """Each different text that is not yet known, and its answer."""
        # Texts of like length together: the server pads a batch to its longest.
        missing = sorted(dict.fromkeys(texts).keys() - set(known), key=lambda t: (len(t), t))
        if not missing:
            return {}
        parts = chunks(missing, self._transport.max_texts(deadline))
        answers = self._workers.outcomes(
            lambda part: self._transport.embed_texts(part, deadline), parts
        )
        rows: Dict[str, Row] = {}
        for part, outcome in zip(parts, answers):
            if isinstance(outcome, AlignClientError):
                _raise_for_text(outcome, part, texts, noun)
            rows.update(zip(part, outcome))
        return rows


def temperature_of(row: Row) -> float:
    """A text row's temperature."""
    assert row.temperature is not None  # the transport has checked a text's answer
    return row.temperature


def _raise(error: AlignClientError, where: str) -> NoReturn:
    """The error again; that an input is bad, with the place where the caller gave it."""
    if isinstance(error, InvalidInput):
        raise InvalidInput(f"{where}{error}") from error.__cause__
    raise error


def _raise_for_text(
    error: AlignClientError, part: Sequence[str], texts: Sequence[str], noun: str
) -> NoReturn:
    """The error with the text's place in the caller's list; the server counts in the request."""
    named = re.match(r"item (\d+): ", str(error))
    if isinstance(error, InvalidInput) and (named or len(part) == 1):
        index = int(named.group(1)) if named else 0
        reason = str(error)[named.end() :] if named else str(error)
        raise InvalidInput(f"{noun} {texts.index(part[index])}: {reason}") from error.__cause__
    raise error
