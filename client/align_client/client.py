"""The client: pictures and texts in; predictions, similarities and embeddings out."""

from __future__ import annotations

import operator
import re
from types import TracebackType
from typing import Dict, Iterable, List, Optional, Sequence, Type, Union, overload

import numpy as np
from PIL import Image

from align_client.errors import AlignClientError, InvalidInput
from align_client.images import ImageLike, as_list, encoded
from align_client.labels import LabelCache, checked_texts, filled
from align_client.pictures import Pictures
from align_client.scores import Prediction, ranked, softmax
from align_client.towers import Towers, temperature_of
from align_client.transport import Deadline, Row, Transport
from align_client.workers import Workers

__all__ = ["AlignClient"]


class AlignClient:
    """A Triton server that serves ALIGN. Safe to share between threads.

    An image is a path, the bytes of an encoded file, a PIL image, or a uint8 array [H, W],
    [H, W, 3] (RGB) or [H, W, 4]. Paths and bytes are sent as they are, PIL images and arrays as
    PNG, the large ones in the very pixels that the server would resize them to. URLs are not
    fetched.

    Every method raises :class:`AlignClientError` or one of its subclasses, each of which says
    what the caller can do: :class:`InvalidInput`, :class:`Overloaded`,
    :class:`DeadlineExceeded`, :class:`Unauthorized`, :class:`ModelUnavailable`,
    :class:`ServerUnavailable`. Of several images each is a request of its own: one that cannot
    be used does not disturb the others, and is named in the error (``image 3: ...``) after all
    others are finished.

    Args:
        url: host:port of Triton's gRPC endpoint, usually port 8001. Nothing is sent before the
            first call.
        timeout: seconds that one call of a method may take, all its requests together.
        max_in_flight: how many requests are made at once, by all calls together.
        label_cache_size: how many texts' embeddings :meth:`classify` and :meth:`similarity`
            keep, those used last; some 4 D bytes each.
        shrink: whether paths and bytes of large pictures are shrunk, too. True: to the server's
            own pixels as long as both sides decode alike, which they do with the same Pillow.
            "draft": a JPEG faster, and to slightly other pixels.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        max_in_flight: int = 16,
        label_cache_size: int = 10_000,
        shrink: Union[bool, str] = False,
    ) -> None:
        if not isinstance(url, str) or ":" not in url or re.match(r"(https?|grpcs?)://", url):
            raise InvalidInput(f"url must be host:port, such as 'localhost:8001'; got {url!r}")
        if not isinstance(timeout, (int, float)) or not 0 < timeout < float("inf"):
            raise InvalidInput(f"timeout must be a number of seconds above 0; got {timeout!r}")
        self._timeout = float(timeout)
        cache = LabelCache(_whole(label_cache_size, "label_cache_size", least=0))
        self._workers = Workers(_whole(max_in_flight, "max_in_flight", least=1))
        self._transport = Transport(url)
        pictures = Pictures(self._transport, shrink)
        self._towers = Towers(self._transport, pictures, self._workers, cache)

    @overload
    def classify(  # type: ignore[overload-overlap]
        self,
        img: ImageLike,
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: Optional[int] = None,
    ) -> List[Prediction]: ...

    @overload
    def classify(
        self,
        img: Iterable[ImageLike],
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: Optional[int] = None,
    ) -> List[List[Prediction]]: ...

    def classify(
        self,
        img: Union[ImageLike, Iterable[ImageLike]],
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: Optional[int] = None,
    ) -> Union[List[Prediction], List[List[Prediction]]]:
        """Which of the labels fits the image, best first.

        Args:
            img: one image; or several, for a list of answers in their order.
            labels: strings. A label that occurs twice is answered, and counted, once.
            template: what is said of a label: "a photo of a {}".
            top_k: how many predictions to return; None for all.

        Returns:
            A prediction for each different label: the softmax over all of them of
            cosine / learned temperature, in float64.
        """
        images, several = as_list(img)
        names = checked_texts(labels, "label")
        top_k = None if top_k is None else _whole(top_k, "top_k", least=1)
        prompts = filled(template, names)
        pictures, sentences = self._towers.both(
            images, several, prompts, "label", Deadline(self._timeout)
        )
        first: Dict[str, int] = {}
        for i, name in enumerate(names):
            first.setdefault(name, i)
        distinct = [sentences[i] for i in first.values()]
        scores = softmax(_cosines(pictures, distinct) / temperature_of(distinct[0]))
        answers = [ranked(list(first), row, top_k) for row in scores]
        return answers if several else answers[0]

    def similarity(
        self, imgs: Union[ImageLike, Iterable[ImageLike]], texts: Union[str, Iterable[str]]
    ) -> np.ndarray:
        """Cosine of each image with each text: float64 [N, M], from -1 to 1."""
        images, several = as_list(imgs)
        pictures, sentences = self._towers.both(
            images, several, _texts(texts), "text", Deadline(self._timeout)
        )
        return _cosines(pictures, sentences)

    def embed_image(self, imgs: Union[ImageLike, Iterable[ImageLike]]) -> np.ndarray:
        """Unit vectors of one image or several, all of one checkpoint: float32 [N, D]."""
        images, several = as_list(imgs)
        return _stack(self._towers.images(images, several, Deadline(self._timeout)))

    def embed_text(self, texts: Union[str, Iterable[str]]) -> np.ndarray:
        """Unit vectors of one text or several, all of one checkpoint: float32 [N, D]."""
        return _stack(self._towers.texts(_texts(texts), Deadline(self._timeout)))

    def temperature(self) -> float:
        """The learned temperature of the checkpoint served now: logits = cosine / temperature."""
        (row,) = self._towers.texts(["temperature"], Deadline(self._timeout))
        return temperature_of(row)

    def ready(self, deep: bool = False) -> bool:
        """Whether the server can be reached and says that both models are ready.

        Args:
            deep: embed a small image and a text, too. Triton goes on saying "ready" after a
                model's process has died; only an answer proves that there will be answers.

        Returns:
            False for whatever is wrong, after at most ``timeout`` seconds; raises only if this
            client is closed.
        """
        self._transport.check_open()
        deadline = Deadline(self._timeout)
        try:
            if not self._transport.ready(deadline):
                return False
            if deep:
                black = encoded(Image.new("RGB", (8, 8)))
                image = self._transport.embed_image(black, deadline)
                (text,) = self._transport.embed_texts(["a photo"], deadline)
                return image.checkpoint == text.checkpoint
        except AlignClientError:
            return False
        return True

    def close(self) -> None:
        """Close the connection. Calls under way end with AlignClientError, and so do later ones."""
        self._transport.close()
        self._workers.close()

    def __enter__(self) -> AlignClient:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()


def _texts(texts: Union[str, Iterable[str]]) -> List[str]:
    return checked_texts([texts] if isinstance(texts, str) else texts, "text")


def _stack(rows: Sequence[Row]) -> np.ndarray:
    return np.stack([row.vector for row in rows])


def _cosines(pictures: Sequence[Row], sentences: Sequence[Row]) -> np.ndarray:
    cosines: np.ndarray = _stack(pictures).astype(np.float64) @ _stack(sentences).T
    return cosines


def _whole(value: int, name: str, *, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise InvalidInput(f"{name} must be a whole number, {least} or more; got {value!r}")
    return number
