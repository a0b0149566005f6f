"""The client for asyncio, with the same methods as the client for threads."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Iterable, List, Literal, Optional, Sequence, Type, TypeVar, Union, overload

import numpy as np
from tritonclient.grpc.aio import InferenceServerClient

from align_client.addresses import addresses
from align_client.align import Align, whole
from align_client.async_runtime import AsyncRuntime
from align_client.channels import Channels
from align_client.images import ImageLike, Images
from align_client.one_process import Unpicklable
from align_client.replicas import Replicas
from align_client.runtime import Outcome
from align_client.scores import Prediction
from align_client.security import Tls, credentials, headers
from align_client.texts import Texts

__all__ = ["AsyncAlignClient"]

C = TypeVar("C", bound="AsyncAlignClient")


class AsyncAlignClient(Unpicklable):
    """A client for asyncio of one or several Triton servers that serve ALIGN.

    >>> async with AsyncAlignClient("localhost:8001") as client:
    ...     await client.classify("dog.jpg", ["a dog", "a cat"])
    [Prediction(label='a dog', score=0.98), Prediction(label='a cat', score=0.02)]

    The tasks of one event loop may share a client. Images, errors and arguments are those of
    :class:`AlignClient`, but ``max_in_flight`` counts single items, too. Threads read and shrink
    the images, so that the event loop stays free. Cancelling a task cancels its requests.
    """

    def __init__(
        self,
        url: Union[str, Sequence[str]],
        *,
        timeout: float = 30.0,
        retries: bool = True,
        max_in_flight: int = 16,
        label_cache_size: int = 10_000,
        shrink: Union[bool, str] = False,
        token: Optional[str] = None,
        tls: Union[bool, str, os.PathLike[str], Tls] = False,
        insecure: bool = False,
    ) -> None:
        to = addresses(url)
        replicas = Replicas(to)
        channels = Channels(InferenceServerClient, credentials(tls))
        count = whole(max_in_flight, "max_in_flight", least=1)
        self._runtime = AsyncRuntime(replicas.name, channels, count)
        self._align = Align(
            self._runtime,
            replicas,
            headers(token, to, safe=tls is not False or insecure),
            timeout=timeout,
            retries=retries,
            label_cache_size=label_cache_size,
            shrink=shrink,
        )

    @overload
    async def classify(  # type: ignore[overload-overlap]
        self,
        image: ImageLike,
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: Optional[int] = None,
        on_error: Literal["raise"] = "raise",
    ) -> List[Prediction]: ...

    @overload
    async def classify(
        self,
        image: Iterable[ImageLike],
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: Optional[int] = None,
        on_error: Literal["raise"] = "raise",
    ) -> List[List[Prediction]]: ...

    @overload
    async def classify(  # type: ignore[overload-overlap]
        self,
        image: ImageLike,
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: Optional[int] = None,
        on_error: Literal["return"],
    ) -> Outcome[List[Prediction]]: ...

    @overload
    async def classify(
        self,
        image: Iterable[ImageLike],
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: Optional[int] = None,
        on_error: Literal["return"],
    ) -> List[Outcome[List[Prediction]]]: ...

    async def classify(
        self,
        image: Images,
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: Optional[int] = None,
        on_error: Literal["raise", "return"] = "raise",
    ) -> Union[Outcome[List[Prediction]], Sequence[Outcome[List[Prediction]]]]:
        """Rank the labels by how well they fit the image, best first.

        Args:
            image: one image, or several images for a list of answers in the same order.
            labels: strings. A label that occurs twice has one prediction and counts once.
            template: prompt template such as "a photo of a {}"; ``{}`` is replaced by the label.
            top_k: how many predictions to return; None for all.
            on_error: "return" puts the error of an image in the place of its answer. Errors that
                concern no single image, such as a bad label, are raised nevertheless.

        Returns:
            A prediction for each different label. The scores are the softmax over all labels of
            cosine / learned temperature, in float64.
        """
        return await self._runtime.run(
            self._align.classify, image, labels, template, top_k, on_error
        )

    @overload
    async def similarity(
        self, images: Images, texts: Texts, *, on_error: Literal["raise"] = "raise"
    ) -> np.ndarray: ...

    @overload
    async def similarity(
        self, images: Images, texts: Texts, *, on_error: Literal["return"]
    ) -> List[Outcome[np.ndarray]]: ...

    async def similarity(
        self, images: Images, texts: Texts, *, on_error: Literal["raise", "return"] = "raise"
    ) -> Union[np.ndarray, List[Outcome[np.ndarray]]]:
        """Compute the cosine of each image with each text: float64 [N, M], from -1 to 1.

        Args:
            images: one image or several images.
            texts: one text or several texts.
            on_error: "return" for a list of N: the cosines [M] of an image, or its error. The
                error of a bad text is raised nevertheless.
        """
        return await self._runtime.run(self._align.similarity, images, texts, on_error)

    @overload
    async def embed_image(
        self, images: Images, *, on_error: Literal["raise"] = "raise"
    ) -> np.ndarray: ...

    @overload
    async def embed_image(
        self, images: Images, *, on_error: Literal["return"]
    ) -> List[Outcome[np.ndarray]]: ...

    async def embed_image(
        self, images: Images, *, on_error: Literal["raise", "return"] = "raise"
    ) -> Union[np.ndarray, List[Outcome[np.ndarray]]]:
        """Embed one image or several images, all by one checkpoint: unit rows, float32 [N, D].

        Args:
            images: one image or several images.
            on_error: "return" for a list of N: the vector [D] of an image, or its error.
        """
        return await self._runtime.run(self._align.embed_image, images, on_error)

    @overload
    async def embed_text(
        self, texts: Texts, *, on_error: Literal["raise"] = "raise"
    ) -> np.ndarray: ...

    @overload
    async def embed_text(
        self, texts: Texts, *, on_error: Literal["return"]
    ) -> List[Outcome[np.ndarray]]: ...

    async def embed_text(
        self, texts: Texts, *, on_error: Literal["raise", "return"] = "raise"
    ) -> Union[np.ndarray, List[Outcome[np.ndarray]]]:
        """Embed one text or several texts, all by one checkpoint: unit rows, float32 [N, D].

        Args:
            texts: one text or several texts.
            on_error: "return" for a list of N: the vector [D] of a text, or its error.
        """
        return await self._runtime.run(self._align.embed_text, texts, on_error)

    async def temperature(self) -> float:
        """Ask for the learned temperature that is served now: logits = cosine / temperature."""
        return await self._runtime.run(self._align.temperature)

    async def fingerprint(self) -> str:
        """Ask for the fingerprint of the served checkpoint; only embeddings of the same compare."""
        return await self._runtime.run(self._align.fingerprint)

    async def ready(self, deep: bool = False) -> bool:
        """Ask whether a server can be reached and both its models are ready.

        Args:
            deep: embed a small image and a text, too. Triton still reports "ready" after a
                model's process has died; only an answer proves that the model works.

        Returns:
            True if one of the servers is ready. False for any fault, without retries, after at
            most ``timeout`` seconds. The method raises only if this client is closed.
        """
        return await self._runtime.run(self._align.ready, deep)

    async def close(self) -> None:
        """Close the connections. Running and later calls raise AlignClientError."""
        await self._runtime.close()

    async def __aenter__(self: C) -> C:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.close()
