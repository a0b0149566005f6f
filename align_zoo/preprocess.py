"""Bytes to an RGB picture, within limits; a picture to the image tower's input."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from align_zoo.errors import CheckpointError, InvalidImage

if TYPE_CHECKING:
    import torch

__all__ = ["MAX_BYTES", "MAX_PIXELS", "AlignTransform", "decode_image", "to_rgb"]

MAX_BYTES = 20_000_000
"""Largest encoded picture, in bytes."""
MAX_PIXELS = 50_000_000
"""Largest picture, width times height, judged from the header."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def decode_image(
    data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Decode an encoded picture to RGB, turned upright by its EXIF orientation.

    Of an animation the first frame is taken. The header is judged before a pixel is decoded.

    Raises:
        InvalidImage: empty, too large, of a format that is not accepted, or damaged.
    """
    if not data:
        raise InvalidImage("the picture is empty (0 bytes)")
    if len(data) > max_bytes:
        raise InvalidImage(
            f"the picture has {len(data):,} bytes; at most {max_bytes:,} are accepted"
        )
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise InvalidImage(f"not a picture in an accepted format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise InvalidImage(f"the picture has more than {max_pixels:,} pixels") from None
    except Exception as error:  # whatever a decoder meets in hostile bytes
        raise InvalidImage(f"the picture's header is damaged: {_reason(error)}") from error
    width, height = image.size
    if width * height > max_pixels:
        raise InvalidImage(
            f"the picture has {width} x {height} = {width * height:,} pixels; "
            f"at most {max_pixels:,} are accepted"
        )
    try:
        image.load()
        return to_rgb(image)
    except InvalidImage:
        raise
    except Exception as error:
        raise InvalidImage(
            f"the {image.format} picture is truncated or damaged: {_reason(error)}"
        ) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """An RGB picture, turned upright by its EXIF orientation.

    Like transformers' ``load_image``, but 16-bit grey is scaled to 8 bits, not clipped.

    Raises:
        InvalidImage: 32-bit grey, whose range nobody knows.
    """
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # rubbish in the EXIF block is no reason to refuse sound pixels
        image = image.copy()
    if image.mode in ("I", "F"):
        raise InvalidImage(
            f"a 32-bit grey picture (mode {image.mode}) has no defined range; "
            "convert it to 8 or 16 bits"
        )
    if image.mode.startswith("I;16"):
        # 65535 / 255 = 257, so 16-bit white is 8-bit white.
        grey = np.round(np.asarray(image, dtype=np.float32) / 257).astype(np.uint8)
        image = Image.fromarray(grey)
    return image if image.mode == "RGB" else image.convert("RGB")


def _reason(error: Exception) -> str:
    """The decoder's own words, one line, without addresses or paths."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text if "0x" not in text and "/" not in text else type(error).__name__


@dataclass(frozen=True)
class AlignTransform:
    """A picture to the image tower's input, as transformers' EfficientNet processor on PIL does.

    Resize (squashing), crop from the centre, then ``pixel * scale + offset`` a channel.
    """

    size: tuple[int, int] | None
    """Height and width to resize to."""
    crop: tuple[int, int] | None
    """Height and width to crop to."""
    resample: Image.Resampling
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    config: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The ``preprocessor_config.json`` that it was read from."""

    @classmethod
    def from_dict(
        cls, config: Mapping[str, Any], *, source: str = "preprocessor_config.json"
    ) -> AlignTransform:
        """Read a parsed ``preprocessor_config.json``; defaults are transformers'.

        Raises:
            CheckpointError: a field's value is not supported; the message names it.
        """
        size = _size(config, "size", 346, source) if config.get("do_resize", True) else None
        crop = _size(config, "crop_size", 289, source) if config.get("do_center_crop") else None
        if size and crop and (crop[0] > size[0] or crop[1] > size[1]):
            raise CheckpointError(f"{source}: crop_size {crop} is larger than size {size}")
        try:
            resample = Image.Resampling(config.get("resample", Image.Resampling.BICUBIC))
        except ValueError:
            raise CheckpointError(
                f"{source}: resample is {config['resample']!r}; supported: "
                f"{', '.join(f'{r.value} ({r.name})' for r in Image.Resampling)}"
            ) from None
        scale, offset = np.ones(3), np.zeros(3)
        if config.get("do_rescale", True):
            scale = scale * config.get("rescale_factor", 1 / 255)
            offset = offset - (1 if config.get("rescale_offset", False) else 0)
        std = _channels(config, "image_std", (0.5, 0.5, 0.5), source)
        if config.get("do_normalize", True):
            mean = _channels(config, "image_mean", (0.5, 0.5, 0.5), source)
            scale, offset = scale / std, (offset - mean) / std
        if config.get("include_top", True):
            scale, offset = scale / std, offset / std
        return cls(
            size, crop, resample, tuple(scale.tolist()), tuple(offset.tolist()), dict(config)
        )

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width of the output, None where it follows the picture."""
        return self.crop or self.size

    def to_array(self, image: Image.Image) -> np.ndarray:
        """A float32 array [3, H, W] of any picture."""
        image = to_rgb(image)
        if self.size:
            image = image.resize(self.size[::-1], resample=self.resample)
        pixels = np.asarray(image)
        if self.crop:
            (height, width), (rows, columns) = self.crop, pixels.shape[:2]
            if rows < height or columns < width:
                raise InvalidImage(f"a {columns} x {rows} picture is smaller than the crop")
            top, left = (rows - height) // 2, (columns - width) // 2
            pixels = pixels[top : top + height, left : left + width]
        scaled = pixels * np.asarray(self.scale) + np.asarray(self.offset)
        return np.ascontiguousarray(scaled.transpose(2, 0, 1), dtype=np.float32)

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """A float32 tensor [3, H, W] of any picture."""
        import torch  # here, so that a runtime without torch can use to_array

        return torch.from_numpy(self.to_array(image))


def _size(config: Mapping[str, Any], name: str, default: int, source: str) -> tuple[int, int]:
    value = config.get(name, default)
    if isinstance(value, int):
        value = {"height": value, "width": value}
    if not isinstance(value, Mapping) or set(value) != {"height", "width"}:
        raise CheckpointError(
            f"{source}: {name} is {value!r}; supported: a height and a width (ALIGN squashes)"
        )
    height, width = value["height"], value["width"]
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        raise CheckpointError(f"{source}: {name} is {value!r}; supported: whole numbers above 0")
    return height, width


def _channels(
    config: Mapping[str, Any], name: str, default: tuple[float, ...], source: str
) -> np.ndarray:
    value = np.asarray(config.get(name, default), dtype=np.float64)
    if value.shape not in ((), (3,)) or (name == "image_std" and not value.all()):
        raise CheckpointError(f"{source}: {name} is {config.get(name)!r}; supported: 3 numbers")
    return value
