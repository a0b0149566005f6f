"""The steps of every public method, shared by both clients."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Callable, Dict, Iterable, List, Optional, Sequence, TypeVar, Union

import numpy as np

from align_client.answers import Row
from align_client.call import Call, Deadline
from align_client.embedder import Embedder
from align_client.errors import AlignClientError, InvalidInput
from align_client.image_sender import ImageSender
from align_client.images import Images, as_list
from align_client.replicas import Replicas
from align_client.runtime import Outcome, Runtime
from align_client.scores import Prediction, ranked, softmax
from align_client.texts import TextCache, Texts, checked_texts, filled, judged_texts
from align_client.transport import Transport

__all__ = ["Align", "whole"]

T = TypeVar("T")

_FOR_EVER = 1e9
"""Seconds, about 30 years. gRPC ends a call at once if its deadline is too far to be written."""


class Align:
    """The public methods of both clients as coroutines; ``AlignClient`` documents each method.

    Args:
        runtime: makes the requests, in threads or in an event loop.
        replicas: the servers.
        headers: the gRPC headers of every request.
        timeout: see ``AlignClient``, also for the arguments below.

    Raises:
        InvalidInput: an argument is out of range.
    """

    def __init__(
        self,
        runtime: Runtime,
        replicas: Replicas,
        headers: Dict[str, str],
        *,
        timeout: float,
        retries: bool,
        label_cache_size: int,
        shrink: Union[bool, str],
    ) -> None:
        number = isinstance(timeout, Real) and not isinstance(timeout, bool)
        if not number or not 0 < timeout < float("inf"):
            raise InvalidInput(f"timeout must be a number of seconds above 0; got {timeout!r}")
        if not isinstance(retries, bool):
            raise InvalidInput(f"retries must be True or False; got {retries!r}")
        self._timeout = float(min(timeout, _FOR_EVER))
        self._retries = retries
        cache = TextCache(whole(label_cache_size, "label_cache_size", least=0))
        self.transport = Transport(runtime, replicas, headers)
        self.image_sender = ImageSender(runtime, self.transport, shrink)
        self._embedder = Embedder(runtime, self.transport, self.image_sender, cache)

    async def classify(
        self,
        image: Images,
        labels: Iterable[str],
        template: str,
        top_k: Optional[int],
        on_error: str,
    ) -> Union[Outcome[List[Prediction]], List[Outcome[List[Prediction]]]]:
        """See ``AlignClient.classify``."""
        keep = _keep(on_error)
        listed, several = as_list(image)
        names = checked_texts(labels, "label")
        top_k = None if top_k is None else whole(top_k, "top_k", least=1)
        prompts = filled(template, names)
        first: Dict[str, int] = {}
        for i, name in enumerate(names):
            first.setdefault(name, i)
        image_rows, text_rows = await self._embedder.both(
            listed, several, prompts, "label", self._call(), keep=keep
        )
        distinct = [text_rows[i] for i in first.values()] if text_rows else []

        def answer(cosines: np.ndarray) -> List[Prediction]:
            return ranked(list(first), softmax(cosines / _temperature(distinct[0])), top_k)

        answers = _answers(image_rows, distinct, answer)
        return answers if several else answers[0]

    async def similarity(
        self, images: Images, texts: Texts, on_error: str
    ) -> Union[np.ndarray, List[Outcome[np.ndarray]]]:
        """See ``AlignClient.similarity``."""
        keep = _keep(on_error)
        listed, several = as_list(images)
        checked = checked_texts(_several(texts), "text")
        image_rows, text_rows = await self._embedder.both(
            listed, several, checked, "text", self._call(), keep=keep
        )
        answers = _answers(image_rows, text_rows, lambda cosines: cosines)
        return answers if keep else np.stack(_sound(answers))

    async def embed_image(
        self, images: Images, on_error: str
    ) -> Union[np.ndarray, List[Outcome[np.ndarray]]]:
        """See ``AlignClient.embed_image``."""
        keep = _keep(on_error)
        listed, several = as_list(images)
        return _vectors(await self._embedder.images(listed, several, self._call(), keep=keep), keep)

    async def embed_text(
        self, texts: Texts, on_error: str
    ) -> Union[np.ndarray, List[Outcome[np.ndarray]]]:
        """See ``AlignClient.embed_text``."""
        keep = _keep(on_error)
        judge = judged_texts if keep else checked_texts
        judged: Sequence[Union[str, InvalidInput]] = judge(_several(texts), "text")
        return _vectors(await self._embedder.texts(judged, self._call(), keep=keep), keep)

    async def temperature(self) -> float:
        """See ``AlignClient.temperature``."""
        rows = await self._embedder.texts(["temperature"], self._call())
        return _temperature(_sound(rows)[0])

    async def fingerprint(self) -> str:
        """See ``AlignClient.fingerprint``."""
        rows = await self._embedder.texts(["fingerprint"], self._call())
        return _sound(rows)[0].checkpoint

    async def ready(self, deep: bool) -> bool:
        """See ``AlignClient.ready``."""
        return await self.transport.ready(self._call(), deep=deep)

    def _call(self) -> Call:
        return Call(Deadline(self._timeout), self._retries)


def whole(value: int, name: str, *, least: int) -> int:
    """Return the value as an int.

    Raises:
        InvalidInput: the value is not a whole number, or is less than ``least``.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise InvalidInput(f"{name} must be a whole number, {least} or more; got {value!r}")
    return number


def _keep(on_error: str) -> bool:
    if on_error not in ("raise", "return"):
        raise InvalidInput(f"on_error must be 'raise' or 'return'; got {on_error!r}")
    return on_error == "return"


def _several(texts: Texts) -> Iterable[str]:
    return [texts] if isinstance(texts, str) else texts


def _sound(outcomes: Iterable[Outcome[T]]) -> List[T]:
    return [outcome for outcome in outcomes if not isinstance(outcome, AlignClientError)]


def _stack(rows: Sequence[Row]) -> np.ndarray:
    # np.stack takes three times as long for a thousand rows.
    return np.concatenate([row.vector for row in rows]).reshape(len(rows), -1)


def _vectors(
    rows: Sequence[Outcome[Row]], keep: bool
) -> Union[np.ndarray, List[Outcome[np.ndarray]]]:
    if not keep:
        return _stack(_sound(rows))
    # Copies: each row is a view, which would keep its whole response in memory.
    return [row.vector.copy() if isinstance(row, Row) else row for row in rows]


def _answers(
    images: Sequence[Outcome[Row]], texts: Sequence[Row], answer: Callable[[np.ndarray], T]
) -> List[Outcome[T]]:
    """Apply ``answer`` to the cosines [M] of each image; errors of images stay in their places."""
    sound = _sound(images)
    cosines = iter(_cosines(sound, texts) if sound else ())
    return [answer(next(cosines)) if isinstance(row, Row) else row for row in images]


def _cosines(images: Sequence[Row], texts: Sequence[Row]) -> np.ndarray:
    # Not by @: after a product of this size OpenBLAS's threads spin for tens of milliseconds and
    # take the cores from a server on the same machine.
    left, right = (_stack(rows).astype(np.float64) for rows in (images, texts))
    cosines: np.ndarray = np.einsum("nd,md->nm", left, right)
    return cosines


def _temperature(row: Row) -> float:
    assert row.temperature is not None  # rows_of has checked it
    return row.temperature
