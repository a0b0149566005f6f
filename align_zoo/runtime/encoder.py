"""The public class of the runtimes: images and texts in, unit vectors or predictions out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar, overload

import numpy as np

from align_zoo.checkpoint.vision_config import VisionConfig
from align_zoo.errors import InvalidImage
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.inputs.prompts import check_classnames, fill, read_templates
from align_zoo.runtime.features import FeatureMap, InputSize, map_features
from align_zoo.runtime.given import Images, Texts, as_images, as_texts, keeps_errors
from align_zoo.runtime.images import ImageBatcher, ImageLike, read_image
from align_zoo.runtime.predictions import Prediction, check_top_k, ranked
from align_zoo.runtime.texts import TextBatcher
from align_zoo.runtime.tower import ImageTower, SlowPath, TextTower

__all__ = ["Encoder", "locked_cached_property"]

T = TypeVar("T")

_ITEMS = {"image": "images", "text": "texts"}


class locked_cached_property(cached_property[T]):
    """An attribute that the first thread to read it makes, while other threads wait.

    Since Python 3.12 a plain ``cached_property`` is made by each thread that does not find it.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        super().__init__(make)
        self._making = threading.RLock()

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> T:  # type: ignore[override]
        with self._making:
            made: T = super().__get__(instance, owner)
            return made


@dataclass(frozen=True)
class Encoder:
    """Both towers of a checkpoint in one runtime, as ``load_encoder`` makes them.

    >>> encoder = align_zoo.load_encoder("align_tiny")
    >>> encoder.classify("red-star.png", ["a star", "a circle"], top_k=1)[0].label
    'a star'
    >>> encoder.embed_texts(["a star", "a circle"]).shape
    (2, 128)

    Each tower is loaded on its first use, once for all threads.
    """

    load_image: Callable[[], ImageTower]
    load_text: Callable[[], TextTower]
    transform: AlignTransform
    texts: TextBatcher
    temperature: float
    """The learned scalar of ``logits = cosine / temperature``."""
    fingerprint: str
    """The checkpoint's fingerprint: only embeddings of the same fingerprint compare."""
    images_at_once: int
    """The number of images in a call of the tower with which this runtime is fast."""
    vision: VisionConfig
    """The shape of the image tower."""
    runtime: str
    """"onnx" or "torch"."""
    reason: str
    """Why this runtime was chosen."""
    threads: int
    """The CPU threads of a tower."""
    slow_paths: Mapping[str, SlowPath]
    """The slow path of "image" or "text", where there is one; known once the tower is loaded."""

    @property
    def explanation(self) -> str:
        """Describe the runtime for logs and metadata: its threads, its reason and its costs."""
        return self._explain(f"{self.runtime} (threads: {self.threads})")

    def slowdown(self, tower: str) -> float:
        """Estimate a tower's time divided by the time on its fastest path; 1.0 on that path."""
        path = self.slow_paths.get(tower)
        return path.factor if path else 1.0

    def _explain(self, runtime: str) -> str:
        costs = [
            f"{_ITEMS[tower]} take about {path.factor:g} times as long as they could"
            + (f", {path.reason}" if path.reason else "")
            for tower, path in self.slow_paths.items()
        ]
        return "; ".join([f"{runtime}: {self.reason}", *costs])

    @locked_cached_property
    def image(self) -> ImageTower:
        """The image tower.

        Raises:
            CheckpointError: the tower cannot be loaded.
            InvalidInput: the tower was left out.
        """
        return self.load_image()

    @locked_cached_property
    def text(self) -> TextTower:
        """The text tower.

        Raises:
            CheckpointError: the tower cannot be loaded.
            InvalidInput: the tower was left out.
        """
        return self.load_text()

    @locked_cached_property
    def _images(self) -> ImageBatcher:
        return ImageBatcher(self.transform, at_once=self.images_at_once)

    @overload
    def embed_images(
        self, images: Images, *, on_error: Literal["raise"] = "raise"
    ) -> np.ndarray: ...

    @overload
    def embed_images(
        self, images: Images, *, on_error: Literal["return"]
    ) -> list[np.ndarray | InvalidImage]: ...

    def embed_images(
        self, images: Images, *, on_error: Literal["raise", "return"] = "raise"
    ) -> np.ndarray | list[np.ndarray | InvalidImage]:
        """Compute unit rows [N, D] of N images: paths, encoded files (bytes) or PIL images.

        Args:
            images: an image or several.
            on_error: "return" answers with a list of N: an image's row [D], or its error.

        Raises:
            InvalidImage: there is no image, or an image is not accepted; the message says which.
        """
        keep = keeps_errors(on_error)
        items, _ = as_images(images)
        answers = self._answers(items, keep=keep)
        return (
            answers if keep else np.stack([row for row in answers if isinstance(row, np.ndarray)])
        )

    def _answers(self, items: list[ImageLike], *, keep: bool) -> list[np.ndarray | InvalidImage]:
        answers: list[np.ndarray | InvalidImage] = []
        for i, answer in enumerate(self._images.embed(items, self.image)):
            if isinstance(answer, InvalidImage) and not keep:
                raise InvalidImage(f"image {i}: {answer}", answer.reason) from answer
            answers.append(answer)
        return answers

    @overload
    def classify(  # type: ignore[overload-overlap]
        self,
        images: ImageLike,
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: int | None = None,
        on_error: Literal["raise"] = "raise",
    ) -> list[Prediction]: ...

    @overload
    def classify(
        self,
        images: Iterable[ImageLike],
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: int | None = None,
        on_error: Literal["raise"] = "raise",
    ) -> list[list[Prediction]]: ...

    @overload
    def classify(  # type: ignore[overload-overlap]
        self,
        images: ImageLike,
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: int | None = None,
        on_error: Literal["return"],
    ) -> list[Prediction] | InvalidImage: ...

    @overload
    def classify(
        self,
        images: Iterable[ImageLike],
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: int | None = None,
        on_error: Literal["return"],
    ) -> list[list[Prediction] | InvalidImage]: ...

    def classify(
        self,
        images: Images,
        labels: Iterable[str],
        *,
        template: str = "{}",
        top_k: int | None = None,
        on_error: Literal["raise", "return"] = "raise",
    ) -> Any:
        """Rank the labels by how well they fit an image, best first, as ``align_client`` does.

        >>> encoder.classify("red-star.png", ["star", "circle"], template="a red {}", top_k=1)

        Args:
            images: an image; or several images, for a list of answers in their order.
            labels: strings. A label that occurs twice is answered, and counted, once.
            template: prompt template; ``{}`` is replaced by the label.
            top_k: how many predictions to return; None for all.
            on_error: "return" puts the error of an image in the place of its answer.

        Returns:
            A prediction for each different label: the softmax over all of them of
            cosine / temperature, in float64.

        Raises:
            InvalidImage: there is no image, or an image is not accepted; the message says which.
            InvalidText: there is no label, a label is blank or no string, or the template has not
                exactly one ``{}``.
            InvalidInput: ``top_k`` is no whole number above 0.
        """
        keep, top_k = keeps_errors(on_error), check_top_k(top_k)
        items, several = as_images(images)
        names = list(dict.fromkeys(check_classnames(labels, "label")))
        (form,) = read_templates([template])
        answers = self._answers(items, keep=keep)
        if all(isinstance(answer, InvalidImage) for answer in answers):
            return answers if several else answers[0]
        texts = self.embed_texts([fill(form, name) for name in names])
        predictions = [
            answer
            if isinstance(answer, InvalidImage)
            else ranked(names, answer, texts, temperature=self.temperature, top_k=top_k)
            for answer in answers
        ]
        return predictions if several else predictions[0]

    def embed_pixels(self, x: np.ndarray) -> np.ndarray:
        """Compute unit rows [N, D] of preprocessed images [N, C, H, W] float32.

        Raises:
            InvalidImage: the pixels have another shape or type.
        """
        channels = self.vision.num_channels
        wanted = f"[N, {channels}, H, W] float32"
        if not isinstance(x, np.ndarray) or x.dtype != np.float32:
            kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
            raise InvalidImage(f"the pixels are {kind}, not an array {wanted}")
        if x.ndim != 4 or not len(x) or x.shape[1] != channels:
            raise InvalidImage(f"the pixels are {list(x.shape)}, not {wanted}")
        if min(x.strides) < 0 or not x.flags.aligned:  # torch takes no such array
            x = x.copy()
        chunks = range(0, len(x), self.images_at_once)
        return np.concatenate([self.image(x[i : i + self.images_at_once]) for i in chunks])

    def features(self, image: ImageLike, *, size: InputSize = None) -> FeatureMap:
        """Compute the last feature map of an image: the embedding at each place of the image.

        Args:
            image: a path, an encoded file (bytes) or a PIL image.
            size: the size of the tower's input, as ``map_features`` takes it.

        Raises:
            InvalidImage: the image is not accepted.
            InvalidInput: the size cannot be used, or the tower pools by maximum.
        """
        return map_features(
            read_image(image),
            transform=self.transform,
            tower=self.image.features,
            vision=self.vision,
            size=size,
        )

    def embed_texts(self, texts: Texts) -> np.ndarray:
        """Compute unit rows [N, D] of a string or N strings; equal strings are computed once.

        Raises:
            InvalidText: there is no text, or something is no string.
        """
        return self.texts.embed(as_texts(texts), self.text)
