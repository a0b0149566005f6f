"""Checks the options of a checkpoint's tokenizer that the runtimes do not support."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from align_zoo.checkpoint.fields import read_json
from align_zoo.errors import CheckpointError

__all__ = ["check_tokenizer"]


def check_tokenizer(folder: Path) -> None:
    """Refuse options with which transformers' tokenizer answers differently from the runtimes.

    Raises:
        CheckpointError: the options truncate or pad texts at their beginning, or split special
            tokens into words; the message names the option.
    """
    options = _read(folder / "tokenizer_config.json")
    tokenizer = _read(folder / "tokenizer.json")
    for option, default, supported in (
        # Without a value in the first file, transformers takes the value of the second.
        ("truncation_side", _direction(tokenizer.get("truncation")), "right"),
        ("padding_side", _direction(tokenizer.get("padding")), "right"),
        ("split_special_tokens", False, False),
    ):
        value = options.get(option) or default
        if value != supported:
            raise CheckpointError(
                f"{folder}: the tokenizer's {option} is {value!r}; the runtimes know "
                f"{supported!r} alone. create_align honours it, as transformers does"
            )


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _direction(section: Any) -> str:
    """Read the direction of a section of ``tokenizer.json``, or "right" without one.

    The section is null if the tokenizer does not truncate or pad. Old files have no direction,
    because there was only one.
    """
    return str(section.get("direction", "right")).lower() if isinstance(section, dict) else "right"
