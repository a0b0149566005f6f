"""The methods of both clients, step by step."""

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
"""Seconds, some 30 years; gRPC ends a call at once whose deadline it cannot write."""


class Align:
    """What a client does, whatever its runtime; the clients say what each method means.

    Args:
        runtime: how requests are made.
        replicas: whom to ask.
        headers: of every request.
        timeout: see ``AlignClient``, as the others.
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
        images, several = as_list(image)
        names = checked_texts(labels, "label")
        top_k = None if top_k is None else whole(top_k, "top_k", least=1)
        prompts = filled(template, names)
        first: Dict[str, int] = {}
        for i, name in enumerate(names):
            first.setdefault(name, i)
        pictures, sentences = await self._embedder.both(
            images, several, prompts, "label", self._call(), keep=keep
        )
        distinct = [sentences[i] for i in first.values()] if sentences else []

        def answer(cosines: np.ndarray) -> List[Prediction]:
            return ranked(list(first), softmax(cosines / _temperature(distinct[0])), top_k)

        answers = _answers(pictures, distinct, answer)
        return answers if several else answers[0]

    async def similarity(
        self, images: Images, texts: Texts, on_error: str
    ) -> Union[np.ndarray, List[Outcome[np.ndarray]]]:
        """See ``AlignClient.similarity``."""
        keep = _keep(on_error)
        listed, several = as_list(images)
        sentences = checked_texts(_several(texts), "text")
        pictures, rows = await self._embedder.both(
            listed, several, sentences, "text", self._call(), keep=keep
        )
        answers = _answers(pictures, rows, lambda cosines: cosines)
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
        sentences: Sequence[Union[str, InvalidInput]] = judge(_several(texts), "text")
        return _vectors(await self._embedder.texts(sentences, self._call(), keep=keep), keep)

    async def temperature(self) -> float:
        """See ``AlignClient.temperature``."""
        rows = await self._embedder.texts(["temperature"], self._call())
        return _temperature(_sound(rows)[0])

    async def ready(self, deep: bool) -> bool:
        """See ``AlignClient.ready``."""
        return await self.transport.ready(self._call(), deep=deep)

    def _call(self) -> Call:
        return Call(Deadline(self._timeout), self._retries)


def whole(value: int, name: str, *, least: int) -> int:
    """The value; InvalidInput if it is no whole number, or less than ``least``."""
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
    # np.stack takes three times as long for a thousand of them.
    return np.concatenate([row.vector for row in rows]).reshape(len(rows), -1)


def _vectors(
    rows: Sequence[Outcome[Row]], keep: bool
) -> Union[np.ndarray, List[Outcome[np.ndarray]]]:
    if not keep:
        return _stack(_sound(rows))
    # Copies: a row is a view, and would keep its whole response alive.
    return [row.vector.copy() if isinstance(row, Row) else row for row in rows]


def _answers(
    pictures: Sequence[Outcome[Row]], sentences: Sequence[Row], answer: Callable[[np.ndarray], T]
) -> List[Outcome[T]]:
    """``answer(cosines)`` for each picture, [M]; in place of one without a row, its error."""
    sound = _sound(pictures)
    cosines = iter(_cosines(sound, sentences) if sound else ())
    return [answer(next(cosines)) if isinstance(p, Row) else p for p in pictures]


def _cosines(pictures: Sequence[Row], sentences: Sequence[Row]) -> np.ndarray:
    # Not by @: after a product of this size OpenBLAS's threads spin for tens of milliseconds, on
    # the very cores of a server on this machine.
    left, right = (_stack(rows).astype(np.float64) for rows in (pictures, sentences))
    cosines: np.ndarray = np.einsum("nd,md->nm", left, right)
    return cosines


def _temperature(row: Row) -> float:
    assert row.temperature is not None  # the transport has checked a text's answer
    return row.temperature
