"""The client: pictures and texts in; predictions, similarities and embeddings out."""

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
    """One or several Triton servers that serve ALIGN. Safe to share between threads.

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
        url: host:port of the gRPC endpoint, usually port 8001; or a list of such, replicas of
            one model, asked in turn; or ``dns:///host:port``, for all addresses of that name.
            Nothing is sent before the first call.
        timeout: seconds that one call of a method may take, all its requests and their retries
            together.
        retries: whether a request that was refused, or found nobody there, is sent again within
            ``timeout``; one that was alone with a server when it died, once. An address that
            has never answered fails at once.
        max_in_flight: how many requests are made at once, by all calls together. Beside them, a
            single image, or texts that fit into one request, are sent by the calling thread.
        label_cache_size: how many texts' embeddings :meth:`classify` and :meth:`similarity`
            keep, those used last; some 4 D bytes each.
        shrink: whether paths and bytes of large pictures are shrunk, too. True: to the server's
            own pixels as long as both sides decode alike, which they do with the same Pillow.
            "draft": a JPEG faster, and to slightly other pixels.
        token: the bearer token that the server asks for.
        tls: True for TLS with the public authorities, the path of a PEM file of one's own, or
            :class:`Tls` for a certificate of the client, too.
        insecure: send the token to another machine without TLS.
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
        """Which of the labels fits the image, best first.

        Args:
            image: one image; or several, for a list of answers in their order.
            labels: strings. A label that occurs twice is answered, and counted, once.
            template: what is said of a label: "a photo of a {}".
            top_k: how many predictions to return; None for all.
            on_error: "return" puts the error of an image in its answer's place. Bad labels, and
                whatever else concerns no single image, are raised all the same.

        Returns:
            A prediction for each different label: the softmax over all of them of
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
        """Cosine of each image with each text: float64 [N, M], from -1 to 1.

        Args:
            images: one image or several.
            texts: one text or several.
            on_error: "return" answers with a list of N: an image's cosines [M], or its error.
                Bad texts are raised all the same.
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
        """Unit vectors of one image or several, all of one checkpoint: float32 [N, D].

        Args:
            images: one image or several.
            on_error: "return" answers with a list of N: an image's vector [D], or its error.
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
        """Unit vectors of one text or several, all of one checkpoint: float32 [N, D].

        Args:
            texts: one text or several.
            on_error: "return" answers with a list of N: a text's vector [D], or its error.
        """
        return self._runtime.run(self._align.embed_text, texts, on_error)

    def temperature(self) -> float:
        """The learned temperature of the checkpoint served now: logits = cosine / temperature."""
        return self._runtime.run(self._align.temperature)

    def ready(self, deep: bool = False) -> bool:
        """Whether a server can be reached and says that both models are ready.

        Args:
            deep: embed a small image and a text, too. Triton goes on saying "ready" after a
                model's process has died; only an answer proves that there will be answers.

        Returns:
            False for whatever is wrong, without retries, after at most ``timeout`` seconds;
            raises only if this client is closed. Of several servers one is enough.
        """
        return self._runtime.run(self._align.ready, deep)

    def close(self) -> None:
        """Close the connection. Calls under way end with AlignClientError, and so do later ones."""
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
