"""The client for threads: images and texts in; predictions, similarities and embeddings out."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Iterable, List, Literal, Optional, Sequence, Type, TypeVar, Union, overload

import numpy as np
from tritonclient.grpc import InferenceServerClient

from align_client.addresses import addresses
from align_client.align import Align, whole
from align_client.channels import Channels
from align_client.images import ImageLike, Images
from align_client.one_process import Unpicklable
from align_client.replicas import Replicas
from align_client.runtime import Outcome
from align_client.scores import Prediction
from align_client.security import Tls, credentials, headers
from align_client.sync_runtime import SyncRuntime
from align_client.texts import Texts

__all__ = ["AlignClient"]

C = TypeVar("C", bound="AlignClient")


class AlignClient(Unpicklable):
    """A client of one or several Triton servers that serve ALIGN.

    >>> client = AlignClient("localhost:8001")
    >>> client.classify("dog.jpg", ["a dog", "a cat"])
    [Prediction(label='a dog', score=0.98), Prediction(label='a cat', score=0.02)]

    Threads may share a client. An image is a path, the bytes of an encoded file, a PIL image, or
    a uint8 array [H, W], [H, W, 3] (RGB) or [H, W, 4]. Paths and bytes are sent as they are. PIL
    images and arrays are sent as PNG, large ones in exactly the pixels that the server would
    resize them to. URLs are not fetched.

    Every method raises :class:`AlignClientError` or one of its subclasses. Each subclass says
    what the caller can do: :class:`InvalidInput`, :class:`Overloaded`,
    :class:`DeadlineExceeded`, :class:`Unauthorized`, :class:`ModelUnavailable`,
    :class:`ServerUnavailable`. Each of several images is a request of its own. A bad image does
    not affect the others: the error names the image (``image 3: ...``) and is raised after all
    others are finished.

    Args:
        url: host:port of the gRPC endpoint, usually port 8001. A list of such addresses stands
            for replicas of one model, which take turns. ``dns:///host:port`` stands for all
            addresses of that name. The client sends nothing before the first call.
        timeout: seconds that one call of a method may take, all its requests and their retries
            together.
        retries: whether the client repeats a request within ``timeout`` if the server refused
            the request or could not be reached. A request that was alone with a server when the
            server died is repeated once. An address that has never answered fails at once.
        max_in_flight: how many requests all calls together make at once. A single image, or
            texts that fit into one request, do not count: the calling thread sends them. A call
            with more images than that puts several into a request.
        label_cache_size: how many texts' embeddings :meth:`classify` and :meth:`similarity`
            keep; the least recently used go first. Each takes about 4 D bytes.
        shrink: whether large images given as paths or bytes are shrunk, too. True: to the
            server's own pixels if both sides decode alike, as the same Pillow does. "draft":
            the same, but JPEG files are decoded faster and to slightly different pixels.
        token: the bearer token that the server requires.
        tls: True for TLS with the public authorities, the path of a PEM file with another
            authority, or :class:`Tls` for a client certificate, too.
        insecure: allow sending the token to another machine without TLS.
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
        self._runtime = SyncRuntime(replicas.name, channels, count)
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
    def classify(  # type: ignore[overload-overlap]
        self,
        image: ImageLike,
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: Optional[int] = None,
        on_error: Literal["raise"] = "raise",
    ) -> List[Prediction]: ...

    @overload
    def classify(
        self,
        image: Iterable[ImageLike],
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: Optional[int] = None,
        on_error: Literal["raise"] = "raise",
    ) -> List[List[Prediction]]: ...

    @overload
    def classify(  # type: ignore[overload-overlap]
        self,
        image: ImageLike,
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: Optional[int] = None,
        on_error: Literal["return"],
    ) -> Outcome[List[Prediction]]: ...

    @overload
    def classify(
        self,
        image: Iterable[ImageLike],
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: Optional[int] = None,
        on_error: Literal["return"],
    ) -> List[Outcome[List[Prediction]]]: ...

    def classify(
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
        return self._runtime.run(self._align.classify, image, labels, template, top_k, on_error)

    @overload
    def similarity(
        self, images: Images, texts: Texts, *, on_error: Literal["raise"] = "raise"
    ) -> np.ndarray: ...

    @overload
    def similarity(
        self, images: Images, texts: Texts, *, on_error: Literal["return"]
    ) -> List[Outcome[np.ndarray]]: ...

    def similarity(
        self, images: Images, texts: Texts, *, on_error: Literal["raise", "return"] = "raise"
    ) -> Union[np.ndarray, List[Outcome[np.ndarray]]]:
        """Compute the cosine of each image with each text: float64 [N, M], from -1 to 1.

        Args:
            images: one image or several images.
            texts: one text or several texts.
            on_error: "return" for a list of N: the cosines [M] of an image, or its error. The
                error of a bad text is raised nevertheless.
        """
        return self._runtime.run(self._align.similarity, images, texts, on_error)

    @overload
    def embed_image(
        self, images: Images, *, on_error: Literal["raise"] = "raise"
    ) -> np.ndarray: ...

    @overload
    def embed_image(
        self, images: Images, *, on_error: Literal["return"]
    ) -> List[Outcome[np.ndarray]]: ...

    def embed_image(
        self, images: Images, *, on_error: Literal["raise", "return"] = "raise"
    ) -> Union[np.ndarray, List[Outcome[np.ndarray]]]:
        """Embed one image or several images, all by one checkpoint: unit rows, float32 [N, D].

        Args:
            images: one image or several images.
            on_error: "return" for a list of N: the vector [D] of an image, or its error.
        """
        return self._runtime.run(self._align.embed_image, images, on_error)

    @overload
    def embed_text(self, texts: Texts, *, on_error: Literal["raise"] = "raise") -> np.ndarray: ...

    @overload
    def embed_text(
        self, texts: Texts, *, on_error: Literal["return"]
    ) -> List[Outcome[np.ndarray]]: ...

    def embed_text(
        self, texts: Texts, *, on_error: Literal["raise", "return"] = "raise"
    ) -> Union[np.ndarray, List[Outcome[np.ndarray]]]:
        """Embed one text or several texts, all by one checkpoint: unit rows, float32 [N, D].

        Args:
            texts: one text or several texts.
            on_error: "return" for a list of N: the vector [D] of a text, or its error.
        """
        return self._runtime.run(self._align.embed_text, texts, on_error)

    def temperature(self) -> float:
        """Ask for the learned temperature that is served now: logits = cosine / temperature."""
        return self._runtime.run(self._align.temperature)

    def fingerprint(self) -> str:
        """Ask for the fingerprint of the served checkpoint; only embeddings of the same compare."""
        return self._runtime.run(self._align.fingerprint)

    def ready(self, deep: bool = False) -> bool:
        """Ask whether a server can be reached and both its models are ready.

        Args:
            deep: embed a small image and a text, too. Triton still reports "ready" after a
                model's process has died; only an answer proves that the model works.

        Returns:
            True if one of the servers is ready. False for any fault, without retries, after at
            most ``timeout`` seconds. The method raises only if this client is closed.
        """
        return self._runtime.run(self._align.ready, deep)

    def close(self) -> None:
        """Close the connections. Running and later calls raise AlignClientError."""
        self._runtime.close()

    def __enter__(self: C) -> C:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()
