"""Reads JSON files and dataclass fields in JSON; checks types and bounds by the field's name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import field, fields, replace
from pathlib import Path
from typing import Any, NoReturn

from align_zoo.errors import CheckpointError

__all__ = [
    "ACTIVATIONS",
    "MOST_BLOCKS",
    "WIDEST",
    "changed",
    "check_activation",
    "check_parameters",
    "check_ranges",
    "read",
    "read_json",
    "refuse",
    "within",
]

# HF's names (transformers.activations.ACT2FN) to timm's (timm.layers.create_act).
ACTIVATIONS = {
    "swish": "silu",
    "silu": "silu",
    "relu": "relu",
    "relu6": "relu6",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "mish": "mish",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
}
# Far beyond the paper's largest ALIGN (820 million). A slip in a config.json must not take the
# machine's memory.
_MOST_PARAMETERS = 4_000_000_000
MOST_BLOCKS = 1_000
WIDEST = 1 << 16

_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "Sequence[int]": (list, tuple),
    "int | Sequence[int]": (int, list, tuple),
}


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file.

    Raises:
        CheckpointError: the file is missing, or has no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return content


def within(default: Any, low: float, high: float) -> Any:
    """Declare a field of a number, or of a list of numbers, from ``low`` to ``high``."""
    return field(default=default, metadata={"low": low, "high": high})


def read(kind: type[Any], values: Any, prefix: str = "", but: Iterable[str] = ()) -> dict[str, Any]:
    """Read the values of a JSON object that are fields of ``kind``, each of its field's type.

    A field that is absent or null keeps its default; other keys are ignored.

    Raises:
        CheckpointError: ``values`` is no object, or a value has another type.
    """
    if not isinstance(values, Mapping | None):
        refuse(prefix.rstrip("."), values, "an object")
    known = {}
    for each in fields(kind):
        value: Any = (values or {}).get(each.name)
        if each.name in but or value is None:
            continue
        kinds = _TYPES[str(each.type)]
        if isinstance(value, bool) or not isinstance(value, kinds):
            refuse(prefix + each.name, value, f"of type {each.type}")
        if isinstance(value, list | tuple):
            if not all(isinstance(v, int) and not isinstance(v, bool) for v in value):
                refuse(prefix + each.name, value, "a list of whole numbers")
            value = tuple(value)
        if float in kinds:
            try:
                value = float(value)
            except OverflowError:
                refuse(prefix + each.name, value, "of type float")
        known[each.name] = value
    return known


def changed(config: Any, values: Mapping[str, Any], prefix: str = "") -> Any:
    """Return ``config`` with the fields of ``values`` in place of its own.

    Raises:
        CheckpointError: there is no such field, or a value is not supported.
    """
    names = [each.name for each in fields(config)]
    for name in values:
        if name not in names:
            refuse(f"a field of {prefix.rstrip('.')}", name, f"one of {', '.join(names)}")
    return replace(config, **read(type(config), values, prefix))


def check_ranges(config: Any, prefix: str = "") -> None:
    """Refuse the first number that leaves the range of its field; NaN is in no range."""
    for each in fields(config):
        if "low" not in each.metadata:
            continue
        low, high = each.metadata["low"], each.metadata["high"]
        value = getattr(config, each.name)
        for number in value if isinstance(value, list | tuple) else (value,):
            if not low <= number <= high:
                refuse(prefix + each.name, value, f"{low:,} to {high:,}")


def check_activation(name: str, value: str) -> None:
    """Refuse an activation that timm does not have."""
    if value not in ACTIVATIONS:
        refuse(name, value, f"one of {sorted(ACTIVATIONS)}")


def check_parameters(name: str, value: object, parameters: float) -> None:
    """Refuse a field by which a tower would have more parameters than any ALIGN has."""
    if parameters > _MOST_PARAMETERS:
        what = f"with the other fields it makes {parameters:.1e} parameters, too many"
        refuse(name, value, what)


def refuse(name: str, value: object, supported: str) -> NoReturn:
    """Raise CheckpointError for a field's value that is not supported."""
    shown = repr(list(value) if isinstance(value, tuple) else value)
    shown = shown if len(shown) <= 120 else f"{shown[:117]}..."
    raise CheckpointError(f"{name} is {shown}; supported: {supported}")
