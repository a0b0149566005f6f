"""What a checkpoint may ask of its tokenizer, and the runtimes do not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from align_zoo.checkpoint.fields import read_json
from align_zoo.errors import CheckpointError

__all__ = ["check_tokenizer"]


def check_tokenizer(folder: Path) -> None:
    """Refuse options with which transformers' tokenizer answers otherwise than the runtimes.

    Raises:
        CheckpointError: texts shall be cut or padded at their beginning, or special tokens be
            read as words; the message names the option.
    """
    options = _read(folder / "tokenizer_config.json")
    tokenizer = _read(folder / "tokenizer.json")
    for option, default, supported in (
        # Where the first file says nothing, transformers believes the second.
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
    """Of a section of ``tokenizer.json``, which is null where nothing is cut or padded.

    Old files say no direction, for there was one.
    """
    return str(section.get("direction", "right")).lower() if isinstance(section, dict) else "right"
