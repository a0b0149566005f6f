"""Where an image tower looks: the cosine of an image and a text, divided among the image's places.

ALIGN's image embedding is the mean of the last feature map, so a cosine is the sum of one exact
share for each place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Union

import numpy as np
from PIL import Image

from align_zoo.errors import InvalidInput
from align_zoo.inputs.decode import to_rgb
from align_zoo.runtime.encoder import Encoder
from align_zoo.runtime.features import FeatureMap, InputSize, map_features
from align_zoo.runtime.given import as_texts
from align_zoo.runtime.images import ImageLike, read_image
from align_zoo.zero_shot.overlay import draw_overlay

if TYPE_CHECKING:
    from align_zoo.inputs.preprocess import AlignTransform
    from align_zoo.inputs.tokenizer import AlignTokenizer
    from align_zoo.towers.dual_encoder import Align

__all__ = ["Heatmap", "HeatmapModel", "heatmap", "heatmaps"]

HeatmapModel = Union[Encoder, "tuple[Align, AlignTransform, AlignTokenizer]"]
"""An encoder, or the model, the transform and the tokenizer of ``create_align``."""


@dataclass(frozen=True, eq=False)
class Heatmap:
    """The shares of an image's places in the cosine of the image and a text.

    >>> encoder = align_zoo.load_encoder("align_tiny")
    >>> heat = align_zoo.heatmap(encoder, "red-star.png", "a red star", size=98)
    >>> heat.shares.shape
    (6, 6)
    >>> bool(abs(heat.shares.sum() - heat.score) < 1e-6)
    True
    >>> heat.overlay().save("where.png")

    With ``against`` the shares are those of the difference of two cosines. A positive share speaks
    for the text, a negative share for the other text.
    """

    shares: np.ndarray
    """[h, w] float32; they add up to the score."""
    score: float
    """The cosine at this size of the tower's input, or the difference of the two cosines."""
    usual_score: float
    """The same at the checkpoint's own size, as an encoder or a server answers."""
    text: str
    against: str | None
    """The other text, or None."""
    image: Image.Image = field(repr=False)
    """The image, RGB and upright."""
    part: tuple[float, float, float, float]
    """The part of the image that the tower sees: left, top, right, bottom, in pixels."""
    centres: tuple[np.ndarray, np.ndarray] = field(repr=False)
    """The centres of the rows [h] and of the columns [w] of places, in pixels of the image."""

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """The edges of the rows [h + 1] and of the columns [w + 1] of places, in pixels.

        Place [i, j] covers rows[i] to rows[i + 1] and columns[j] to columns[j + 1]: the part of the
        image whose nearest centre is the centre of the place. A place knows more than that part:
        the receptive fields of the tower are wider.
        """
        left, top, right, bottom = self.part
        rows, columns = self.centres
        return _edges(rows, top, bottom), _edges(columns, left, right)

    def summary(self) -> str:
        """Say the score in a line; if the size is not the checkpoint's, both scores."""
        rows, columns = self.shares.shape
        what = "cosine" if self.against is None else "difference of the cosines"
        usual = (
            "" if self.score == self.usual_score else f", {self.usual_score:.3f} at the usual size"
        )
        return f"{what} {self.score:.3f} in {rows} x {columns} places{usual}"

    def overlay(self, image: Image.Image | None = None, *, dark: bool = False) -> Image.Image:
        """Lay the shares over the image in colours, the image in grey.

        Without ``against``: from no colour, for shares of 0 and less, over yellow and red to
        purple, for the greatest share. With ``against``: orange for the text, blue for the other
        text, both up to the share of the greatest magnitude. The part that the tower does not see
        is pale.

        Args:
            image: the same image in another size; by default the image of the heat map.
            dark: on a dark ground, not on a light ground; without ``against`` the greatest share
                is then yellow.

        Returns:
            An RGB image of the size of ``image``, of at most 2,048 pixels a side.
        """
        return draw_overlay(
            to_rgb(image) if image is not None else self.image,
            self.shares,
            size=self.image.size,
            part=self.part,
            centres=self.centres,
            signed=self.against is not None,
            dark=dark,
        )


def heatmap(
    model: HeatmapModel,
    image: ImageLike,
    text: str,
    *,
    against: str | None = None,
    size: InputSize = None,
) -> Heatmap:
    """Divide the cosine of an image and a text among the places of the image.

    >>> heat = align_zoo.heatmap(encoder, "red-star.png", "a red star", against="a red circle")

    Args:
        model: an encoder; or what ``create_align`` returns, in eval mode.
        image: a path, an encoded file (bytes) or a PIL image.
        text: the text.
        against: another text: the shares are those of the difference of the two cosines.
        size: the size of the tower's input, for a finer map: a height and a width in pixels, or one
            number for about as many pixels as a square of that side has, in the image's own
            proportions. By default the checkpoint's size. At another size the score is another.

    Raises:
        InvalidImage: the image is not accepted, or the size is too small for the tower.
        InvalidText: a text is no string.
        InvalidInput: the size cannot be used, the model is in training mode, or the checkpoint
            pools by maximum, so that there are no shares.
    """
    (heat,) = heatmaps(model, image, [text], against=against, size=size)
    return heat


def heatmaps(
    model: HeatmapModel,
    image: ImageLike,
    texts: Iterable[str],
    *,
    against: str | None = None,
    size: InputSize = None,
) -> list[Heatmap]:
    """Do as ``heatmap`` for several texts, by one pass of the image through the tower.

    Args:
        model: as for ``heatmap``.
        image: as for ``heatmap``.
        texts: at least one; the maps are in their order.
        against: another text, for all texts.
        size: as for ``heatmap``.

    Raises:
        InvalidInput: as ``heatmap`` does.
    """
    names = as_texts(texts)
    others = [] if against is None else as_texts([against])
    features, usual, rows = _embed(model, image, [*names, *others], size)
    rows, minus = rows[: len(names)], rows[len(names) :]
    if others:
        rows = rows - minus
    return [
        Heatmap(
            shares=shares,
            score=float(shares.sum(dtype=np.float64)),
            usual_score=float(own.sum(dtype=np.float64)),
            text=name,
            against=against,
            image=features.image,
            part=features.part,
            centres=features.centres,
        )
        for name, shares, own in zip(names, features.shares(rows), usual.shares(rows), strict=True)
    ]


def _embed(
    model: HeatmapModel, image: ImageLike, texts: list[str], size: InputSize
) -> tuple[FeatureMap, FeatureMap, np.ndarray]:
    """Return the feature maps at ``size`` and at the checkpoint's size, and the texts' rows."""
    if isinstance(model, Encoder):
        usual = model.features(image)
        features = usual if size is None else model.features(usual.image, size=size)
        return features, usual, model.embed_texts(texts)
    if not isinstance(model, tuple) or len(model) != 3:
        raise InvalidInput(
            f"a {type(model).__name__} is no encoder; give what load_encoder or create_align "
            "returns: an encoder, or the model, the transform and the tokenizer"
        )
    return _embed_by_torch(model, image, texts, size)


def _embed_by_torch(
    parts: tuple[Align, AlignTransform, AlignTokenizer],
    image: ImageLike,
    texts: list[str],
    size: InputSize,
) -> tuple[FeatureMap, FeatureMap, np.ndarray]:
    import torch  # here: an encoder in ONNX Runtime needs no torch

    model, transform, tokenizer = parts
    if model.training:
        raise InvalidInput("the model is in training mode; call model.eval() first")
    like = model.temperature

    def tower(pixels: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(pixels).to(like.device, like.dtype)
        maps: np.ndarray = model.image.feature_maps(x).float().cpu().numpy()
        return maps

    upright = read_image(image)
    tokens = {name: ids.to(like.device) for name, ids in tokenizer(texts).items()}
    see = partial(
        map_features, upright, transform=transform, tower=tower, vision=model.image.config
    )
    with torch.inference_mode():
        usual = see()
        features = usual if size is None else see(size=size)
        rows = model.encode_text(tokens, normalize=True).float().cpu().numpy()
    return features, usual, rows


def _edges(centres: np.ndarray, first: float, last: float) -> np.ndarray:
    between = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[first], between, [last]])
