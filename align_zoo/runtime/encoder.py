"""The public face of the runtimes: images and texts in; unit vectors or predictions out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, NoReturn, overload

import numpy as np

from align_zoo.errors import InvalidImage, InvalidInput
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.inputs.prompts import check_classnames, fill, read_templates
from align_zoo.runtime.given import Images, Texts, as_images, as_texts, keeps_errors
from align_zoo.runtime.images import ImageBatcher, ImageLike
from align_zoo.runtime.once import once
from align_zoo.runtime.predictions import Prediction, check_top_k, ranked
from align_zoo.runtime.texts import TextBatcher

__all__ = ["Encoder", "ImageTower", "SlowPath", "TextTower", "not_loaded"]

ImageTower = Callable[[np.ndarray], np.ndarray]
"""Pixels [N, 3, H, W] float32 to unit embeddings [N, D] float32, any N."""
TextTower = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Token ids and mask [N, L] int64 to unit embeddings [N, D] float32, any N."""
_ITEMS = {"image": "pictures", "text": "texts"}


class SlowPath(NamedTuple):
    """What it costs that a tower is not on its fastest path on this machine."""

    factor: float
    """How many times as long an item takes, about."""
    reason: str = ""
    """Why, where the encoder's own reason does not say it."""


def not_loaded() -> NoReturn:
    """In the place of the tower that ``load_encoder`` was told to leave out.

    Raises:
        InvalidInput: always.
    """
    raise InvalidInput("this encoder was loaded for the other tower only; load it without only=")


@dataclass(frozen=True)
class Encoder:
    """Both towers of a checkpoint in one runtime, as ``load_encoder`` makes it.

    A tower is loaded when it is first asked for, once for all threads.
    """

    load_image: Callable[[], ImageTower]
    load_text: Callable[[], TextTower]
    transform: AlignTransform
    texts: TextBatcher
    temperature: float
    """The learned scalar of ``logits = cosine / temperature``."""
    fingerprint: str
    """The checkpoint's: embeddings of different fingerprints do not compare."""
    images_at_once: int
    """Pictures through the tower at a time: as many as this runtime is fast with."""
    num_channels: int
    runtime: str
    """"onnx" or "torch"."""
    reason: str
    """Why this runtime."""
    threads: int
    """That a tower computes with on the CPU."""
    slow_paths: Mapping[str, SlowPath]
    """By "image" or "text", if a tower is slower than it could be; known once it is loaded."""

    @property
    def explanation(self) -> str:
        """Describe the runtime for logs and metadata: its threads, why it was taken, its costs."""
        return self._explain(f"{self.runtime} (threads: {self.threads})")

    def slowdown(self, tower: str) -> float:
        """How many times as long as it could a tower takes, about: 1.0 on the fastest path."""
        path = self.slow_paths.get(tower)
        return path.factor if path else 1.0

    def _explain(self, runtime: str) -> str:
        costs = [
            f"{_ITEMS[tower]} take about {path.factor:g} times as long as they could"
            + (f", {path.reason}" if path.reason else "")
            for tower, path in self.slow_paths.items()
        ]
        return "; ".join([f"{runtime}: {self.reason}", *costs])

    @once
    def image(self) -> ImageTower:
        """The image tower.

        Raises:
            CheckpointError: it cannot be loaded.
            InvalidInput: it was left out.
        """
        return self.load_image()

    @once
    def text(self) -> TextTower:
        """The text tower.

        Raises:
            CheckpointError: it cannot be loaded.
            InvalidInput: it was left out.
        """
        return self.load_text()

    @once
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
        """Unit rows [N, D] of an image or N of them: paths, encoded files (bytes), PIL pictures.

        Args:
            images: one or several.
            on_error: "return" answers with a list of N: an image's row [D], or its error.

        Raises:
            InvalidImage: there is none, or one is not accepted; the message says which.
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
                raise InvalidImage(f"picture {i}: {answer}", answer.reason) from answer
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
        """Which of the labels fits an image, best first; as ``align_client`` answers.

        >>> encoder.classify("star.png", ["star", "circle"], template="a red {}", top_k=1)

        Args:
            images: one image; or several, for a list of answers in their order.
            labels: strings. A label that occurs twice is answered, and counted, once.
            template: prompt template; ``{}`` is replaced by the label.
            top_k: how many predictions to return; None for all.
            on_error: "return" puts the error of an image in its answer's place.

        Returns:
            A prediction for each different label: the softmax over all of them of
            cosine / temperature, in float64.

        Raises:
            InvalidImage: there is none, or one is not accepted; the message says which.
            InvalidText: there is no label, one is blank or no string, or the template has not
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
        """Unit rows [N, D] of preprocessed pictures [N, 3, H, W] float32.

        Raises:
            InvalidImage: another shape or type.
        """
        wanted = f"[N, {self.num_channels}, H, W] float32"
        if not isinstance(x, np.ndarray) or x.dtype != np.float32:
            kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
            raise InvalidImage(f"the pixels are {kind}, not an array {wanted}")
        if x.ndim != 4 or not len(x) or x.shape[1] != self.num_channels:
            raise InvalidImage(f"the pixels are {list(x.shape)}, not {wanted}")
        if min(x.strides) < 0 or not x.flags.aligned:  # which torch does not know
            x = x.copy()
        chunks = range(0, len(x), self.images_at_once)
        return np.concatenate([self.image(x[i : i + self.images_at_once]) for i in chunks])

    def embed_texts(self, texts: Texts) -> np.ndarray:
        """Unit rows [N, D] of a string or N of them; equal ones are computed once.

        Raises:
            InvalidText: there is none, or something else than strings.
        """
        return self.texts.embed(as_texts(texts), self.text)
