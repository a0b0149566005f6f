"""Where an image tower looks: the cosine of an image and a text, divided among the image's places.

ALIGN's image embedding is the mean of the last feature map, so a cosine is the sum of one exact
share for each place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Union

import numpy as np
from PIL import Image, ImageOps

from align_zoo.errors import InvalidInput
from align_zoo.inputs.preprocess import to_rgb
from align_zoo.runtime.encoder import Encoder
from align_zoo.runtime.features import FeatureMap, InputSize, map_features
from align_zoo.runtime.given import as_texts
from align_zoo.runtime.images import ImageLike, read_image

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
        ground = to_rgb(image) if image is not None else self.image
        if max(ground.size) > _LARGEST:  # a photograph would take gigabytes
            ground = ImageOps.contain(ground, (_LARGEST, _LARGEST))
        grey = np.asarray(ground.convert("L"), dtype=np.float32)[..., None] / 255
        base = np.float32(0.06 if dark else 1.0)
        canvas = base + (grey - base) * np.float32(0.75)
        x, y = ground.width / self.image.width, ground.height / self.image.height
        left, top, right, bottom = (
            round(edge * scale) for edge, scale in zip(self.part, (x, y, x, y), strict=True)
        )
        strength = self._strength(right - left, bottom - top)
        seen = canvas[top:bottom, left:right]
        if self.against is None:
            colours = _colours(strength, _SEQUENTIAL[dark])
        else:
            positive = strength[..., None] >= 0
            strength = np.abs(strength)
            colours = np.where(
                positive, _colours(strength, _FOR[dark]), _colours(strength, _AGAINST[dark])
            )
        opacity = (_OPAQUE * strength**_GAMMA)[..., None]
        relief = 0.55 + 0.45 * grey[top:bottom, left:right]
        coloured = seen + opacity * (colours * relief - seen)
        canvas = base + (canvas - base) * np.float32(0.35)
        canvas = np.repeat(canvas, 3, axis=2)
        canvas[top:bottom, left:right] = coloured
        return Image.fromarray((np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8))

    def _strength(self, width: int, height: int) -> np.ndarray:
        """Return the shares over the greatest, from -1 or 0 to 1, for each pixel of the part."""
        floor = 0.0 if self.against is None else -1.0
        greatest = float(self.shares.max() if self.against is None else np.abs(self.shares).max())
        scaled = self.shares / greatest if greatest > 0 else np.zeros_like(self.shares)
        wide = Image.fromarray(np.pad(scaled.astype(np.float32), _MARGIN, mode="edge"))
        left, top, right, bottom = self.part
        rows, columns = self.centres
        (y, below), (x, after) = _places(rows, top, bottom), _places(columns, left, right)
        smooth = wide.resize((width, height), Image.Resampling.BICUBIC, box=(x, y, after, below))
        return np.clip(np.asarray(smooth), floor, 1)


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


_LARGEST = 2_048
"""The longest side of an overlay."""
_MARGIN = 2
"""The places around a map in which its border is repeated, for the pixels beyond the centres."""
_OPAQUE, _GAMMA = 0.85, 0.75

# By rising strength, in steps of about equal lightness (CIE L*), so that no share looks stronger
# than it is; the two colours of a difference are equally light.
_SEQUENTIAL = {
    False: ((1.0, 0.93, 0.6), (0.96, 0.6, 0.2), (0.86, 0.26, 0.2), (0.5, 0.05, 0.36)),
    True: ((0.2, 0.05, 0.36), (0.66, 0.18, 0.42), (0.97, 0.53, 0.18), (1.0, 0.95, 0.55)),
}
_FOR = {
    False: ((1.0, 0.87, 0.7), (0.72, 0.26, 0.0)),
    True: ((0.37, 0.19, 0.05), (0.98, 0.6, 0.2)),
}
_AGAINST = {
    False: ((0.77, 0.89, 1.0), (0.0, 0.4, 0.78)),
    True: ((0.05, 0.23, 0.42), (0.36, 0.71, 1.0)),
}


def _colours(strength: np.ndarray, ramp: Sequence[tuple[float, ...]]) -> np.ndarray:
    """Return a colour [H, W, 3] for each strength, 0 to 1."""
    steps = np.linspace(0, 1, len(ramp))
    return np.stack([np.interp(strength, steps, band) for band in np.transpose(ramp)], axis=-1)


def _edges(centres: np.ndarray, first: float, last: float) -> np.ndarray:
    between = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[first], between, [last]])


def _places(centres: np.ndarray, first: float, last: float) -> tuple[float, float]:
    """Return the ends of the part, in places from the border of the widened map."""
    distance = centres[1] - centres[0] if len(centres) > 1 else last - first
    ends = [(end - centres[0]) / distance + 0.5 + _MARGIN for end in (first, last)]
    most = float(len(centres) + 2 * _MARGIN)
    return min(max(ends[0], 0.0), most), min(max(ends[1], 0.0), most)
