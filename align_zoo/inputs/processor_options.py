"""The options of transformers' EfficientNet image processor: defaults and supported values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image

from align_zoo.checkpoint.fields import refuse

__all__ = ["OPTIONS", "PROCESSOR_TYPE", "check_type", "read_option"]

_LARGEST = 1 << 14

Reader = Callable[[Any], Any]
"""Reads an option's value; raises ValueError with the supported values."""


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
        raise ValueError("a number")
    return float(value)


def _size(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        value = [value, value]
    elif isinstance(value, Mapping) and set(value) == {"height", "width"}:
        value = [value["height"], value["width"]]
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("a height and a width (ALIGN squashes)")
    for side in value:
        if isinstance(side, bool) or not isinstance(side, int) or not 0 < side <= _LARGEST:
            raise ValueError(f"whole numbers from 1 to {_LARGEST:,}")
    return value[0], value[1]


def _resample(value: Any) -> Image.Resampling:
    try:
        return Image.Resampling(value)
    except ValueError:
        known = ", ".join(f"{filter.value} ({filter.name})" for filter in Image.Resampling)
        raise ValueError(known) from None


def _channels(value: Any) -> tuple[float, float, float]:
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if len(values) not in (1, 3):
        raise ValueError("a number, or one a channel")
    red, green, blue = [_number(each) for each in (values if len(values) == 3 else values * 3)]
    return red, green, blue


def _deviations(value: Any) -> tuple[float, float, float]:
    channels = _channels(value)
    # A quotient by a smaller number, twice and after other factors, may be infinite.
    if not all(abs(channel) >= 1e-9 for channel in channels):
        raise ValueError("numbers other than 0, at least 1e-09 away from it")
    return channels


OPTIONS: dict[str, tuple[Any, Reader]] = {
    "do_resize": (True, _flag),
    "size": (346, _size),
    "resample": (Image.Resampling.BICUBIC, _resample),
    "do_center_crop": (False, _flag),
    "crop_size": (289, _size),
    "do_rescale": (True, _flag),
    "rescale_factor": (1 / 255, _number),
    "rescale_offset": (False, _flag),
    "do_normalize": (True, _flag),
    "image_mean": (0.5, _channels),
    "image_std": (0.5, _deviations),
    "include_top": (True, _flag),
}
"""The default of each option and its reader; transformers' ``EfficientNetImageProcessor``."""

PROCESSOR_TYPE = "EfficientNetImageProcessor"
"""transformers' name of ALIGN's image processor."""

_BACKENDS = ("", "Fast", "Pil")
"""The endings that transformers adds to the name for other ways to resize."""


def check_type(config: Mapping[str, Any]) -> None:
    """Refuse the options of another processor, which has other defaults or other steps.

    Raises:
        CheckpointError: a parsed ``preprocessor_config.json`` names another processor.
    """
    # Without the first name transformers reads the second, which older versions wrote.
    for name in ("image_processor_type", "feature_extractor_type"):
        value = config.get(name)
        if value is None:
            continue
        kind = str(value).replace("FeatureExtractor", "ImageProcessor")
        if kind not in [PROCESSOR_TYPE + backend for backend in _BACKENDS]:
            refuse(name, value, repr(PROCESSOR_TYPE))
        return


def read_option(config: Mapping[str, Any], name: str) -> Any:
    """Read an option of a parsed ``preprocessor_config.json``; null is the default.

    Raises:
        CheckpointError: the value is not supported; the message names the option.
    """
    default, reader = OPTIONS[name]
    value = config.get(name)
    try:
        return reader(default if value is None else value)
    except ValueError as error:
        refuse(name, value, str(error))
