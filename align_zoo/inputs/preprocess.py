"""An image to the image tower's input: resized, cropped and scaled as a checkpoint asks."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from align_zoo.checkpoint.fields import refuse
from align_zoo.errors import CheckpointError, InvalidImage, InvalidInput
from align_zoo.inputs.decode import to_rgb
from align_zoo.inputs.processor_options import OPTIONS, check_type, read_option

if TYPE_CHECKING:
    import torch

    from align_zoo.checkpoint.folder import Checkpoint

__all__ = ["AlignTransform", "read_transform"]


class _ArrowArray(ctypes.Structure):
    """The array of Arrow's C data interface, up to what is read here."""


_ArrowArray._fields_ = [
    *((name, ctypes.c_int64) for name in ("length", "nulls", "offset", "n_buffers", "n_children")),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
]
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.argtypes, _pointer_of.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
_memory = ctypes.pythonapi.PyMemoryView_FromMemory
_memory.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int]
_memory.restype = ctypes.py_object
_PYBUF_READ = 0x100


def _view(image: Image.Image) -> np.ndarray:
    """Return the pixels of an RGB image, [H, W, 3], which are valid as long as the image is.

    Pillow holds the interpreter's lock while it copies an image's pixels. Here they are read where
    Pillow has them, four bytes each, by Arrow's C data interface.
    """
    try:
        _, capsule = image.__arrow_c_array__()
    except ValueError:  # the image is so large that Pillow has it in several pieces
        return np.asarray(image)
    array = _ArrowArray.from_address(_pointer_of(capsule, b"arrow_array"))
    size = 4 * image.width * image.height
    if array.n_children != 1 or array.offset or array.children[0].contents.length != size:
        return np.asarray(image)  # another layout than that of the Pillow that is known
    start = array.children[0].contents.buffers[1]
    pixels = np.frombuffer(_memory(start, size, _PYBUF_READ), np.uint8)
    return pixels.reshape(image.height, image.width, 4)[..., :3]


@dataclass(frozen=True)
class AlignTransform:
    """Turns an image into the image tower's input, as transformers' EfficientNet processor does.

    >>> model, transform, tokenizer = align_zoo.create_align("align_tiny")
    >>> transform(Image.open("red-star.png")).shape
    torch.Size([3, 49, 49])

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
    """The parsed ``preprocessor_config.json`` that it was read from."""

    @classmethod
    def from_dict(
        cls, config: Mapping[str, Any], *, source: str = "preprocessor_config.json"
    ) -> AlignTransform:
        """Read a parsed ``preprocessor_config.json``; defaults are transformers'.

        Raises:
            CheckpointError: a field's value is not supported; the message names the field.
        """
        try:
            return cls._read(config)
        except CheckpointError as error:
            raise CheckpointError(f"{source}: {error}") from None

    @classmethod
    def _read(cls, config: Mapping[str, Any]) -> AlignTransform:
        check_type(config)
        option = partial(read_option, config)
        size = option("size") if option("do_resize") else None
        crop = option("crop_size") if option("do_center_crop") else None
        if size and crop and (crop[0] > size[0] or crop[1] > size[1]):
            refuse("crop_size", crop, f"at most size, {list(size)}")
        scale, offset = np.ones(3), np.zeros(3)
        if option("do_rescale"):
            scale = scale * option("rescale_factor")
            offset = offset - (1 if option("rescale_offset") else 0)
        if option("do_normalize"):
            mean, std = np.array(option("image_mean")), np.array(option("image_std"))
            scale, offset = scale / std, (offset - mean) / std
        if option("include_top"):
            std = np.array(option("image_std"))
            scale, offset = scale / std, offset / std
        return cls(
            size,
            crop,
            option("resample"),
            tuple(scale.tolist()),
            tuple(offset.tolist()),
            dict(config),
        )

    def with_options(self, **options: Any) -> AlignTransform:
        """Return the same transform but for some options of ``preprocessor_config.json``.

        >>> smaller = transform.with_options(crop_size=224, resample=3)

        Raises:
            InvalidInput: there is no such option, or a value is not supported.
        """
        try:
            for name in options.keys() - OPTIONS.keys():
                refuse("the option", name, f"one of {', '.join(OPTIONS)}")
            return self._read({**self.config, **options})
        except CheckpointError as error:
            raise InvalidInput(str(error)) from None

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width of the output; None if the output has the image's own size."""
        return self.crop or self.size

    def at_size(self, height: int, width: int) -> AlignTransform:
        """Return the transform that takes the same part of an image at another size of output.

        A transform that crops without resizing takes a larger part.
        """
        size = {"height": height, "width": width}
        if not self.crop:
            return self.with_options(do_resize=True, size=size)
        if not self.size:
            return self.with_options(crop_size=size)
        (rows, columns), (inner_rows, inner_columns) = self.size, self.crop
        resized = {
            "height": round(height * rows / inner_rows),
            "width": round(width * columns / inner_columns),
        }
        return self.with_options(size=resized, crop_size=size)

    def part(self, width: float, height: float) -> tuple[float, float, float, float]:
        """Return the part of an upright image that the crop keeps: left, top, right, bottom.

        Args:
            width: the width of the image, in pixels, as are the answers.
            height: the height of the image.
        """
        rows, columns = self.size or (height, width)
        inner_rows, inner_columns = self.crop or (rows, columns)
        top, left = (rows - inner_rows) // 2, (columns - inner_columns) // 2
        x, y = width / columns, height / rows
        return left * x, top * y, (left + inner_columns) * x, (top + inner_rows) * y

    def to_array(self, image: Image.Image) -> np.ndarray:
        """Compute a float32 array [3, H, W] from any image.

        Raises:
            InvalidImage: the image is no PIL image, has no defined pixels, or is smaller than
                the crop.
        """
        if not isinstance(image, Image.Image):
            raise InvalidImage(
                f"the transform takes a PIL image, not a {type(image).__name__}: open a file "
                "with PIL.Image.open, an array with PIL.Image.fromarray"
            )
        return self.rgb_to_array(to_rgb(image))

    def rgb_to_array(self, image: Image.Image) -> np.ndarray:
        """Compute a float32 array [3, H, W] from an upright RGB image, as ``to_rgb`` returns it.

        Raises:
            InvalidImage: the image is smaller than the crop.
        """
        if self.size:
            image = image.resize(self.size[::-1], resample=self.resample)
        if self.crop:
            (height, width), (columns, rows) = self.crop, image.size
            if rows < height or columns < width:
                raise InvalidImage(
                    f"a {columns} x {rows} image is smaller than the crop, {width} x {height}",
                    "too_small",
                )
            top, left = (rows - height) // 2, (columns - width) // 2
            pixels = _view(image)[top : top + height, left : left + width]
        else:
            pixels = _view(image)
        array = np.empty((3, *pixels.shape[:2]), np.float32)
        for channel in range(3):
            np.take(self._levels[channel], pixels[..., channel], out=array[channel], mode="clip")
        return array

    @cached_property
    def _levels(self) -> np.ndarray:
        """The output for each grey level, [3, 256]: computed in float64 and rounded once."""
        levels = np.arange(256)[:, None] * np.array(self.scale) + np.array(self.offset)
        return np.ascontiguousarray(levels.T, dtype=np.float32)

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Compute a float32 tensor [3, H, W] from any image."""
        import torch  # here, so that a runtime without torch can use to_array

        return torch.from_numpy(self.to_array(image))


def read_transform(checkpoint: Checkpoint) -> AlignTransform:
    """Read a checkpoint's transform; its image tower can take the images that the transform gives.

    Raises:
        CheckpointError: there is none, or it is not supported, or the tower cannot.
    """
    path, options = checkpoint.preprocessor
    transform = AlignTransform.from_dict(options, source=str(path))
    try:
        if size := transform.input_size:
            checkpoint.config.vision_config.check_input_size(size)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.folder}: {error}") from None
    return transform
