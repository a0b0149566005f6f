"""The settings of a served model, from its environment and its config.pbtxt."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from align_zoo.errors import AlignZooError

__all__ = ["DEFAULT_MODEL", "ServingSettings", "image_limits"]

DEFAULT_MODEL = "kakaobrain/align-base"


@dataclass(frozen=True)
class ServingSettings:
    """The settings of both towers, which always serve one checkpoint.

    >>> ServingSettings.from_env({"ALIGN_ZOO_MODEL": "align_tiny"}).model
    'align_tiny'
    """

    model: str = DEFAULT_MODEL
    """``ALIGN_ZOO_MODEL``: a hub id, an ALIGN folder, "align_tiny" or "align_emoji"."""

    revision: str | None = None
    """``ALIGN_ZOO_REVISION``: branch, tag or commit of a hub id."""

    threads: int | None = None
    """``ALIGN_ZOO_THREADS``: the CPU threads of a tower; None for one thread per available core.

    Each tower uses all cores, although the two towers run in two processes: an image costs ten
    times as much as a text, so one tower is busy while the other waits, and half the cores would
    double its time.
    """

    runtime: str = "auto"
    """``ALIGN_ZOO_RUNTIME``: "onnx", "torch", or "auto", as ``load_encoder`` takes it."""

    dtype: str = "auto"
    """``ALIGN_ZOO_DTYPE``: "float32", "bfloat16", "float16", or "auto", as ``load_encoder`` takes
    it.
    """

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> ServingSettings:
        """Read the five variables; an empty variable counts as absent.

        Raises:
            AlignZooError: ``ALIGN_ZOO_THREADS`` is no whole number above 0.
        """
        threads = env.get("ALIGN_ZOO_THREADS")
        return cls(
            model=env.get("ALIGN_ZOO_MODEL") or DEFAULT_MODEL,
            revision=env.get("ALIGN_ZOO_REVISION") or None,
            threads=_number("ALIGN_ZOO_THREADS", threads) if threads else None,
            runtime=env.get("ALIGN_ZOO_RUNTIME") or "auto",
            dtype=env.get("ALIGN_ZOO_DTYPE") or "auto",
        )


def image_limits(model_config: str) -> dict[str, int]:
    """Read ``max_bytes`` and ``max_pixels`` from a model's config (JSON, from Triton).

    A parameter that the config does not have is left out.

    Raises:
        AlignZooError: a parameter is no whole number above 0.
    """
    parameters = json.loads(model_config).get("parameters", {})
    return {
        name: _number(f"the parameter {name} in config.pbtxt", parameters[name]["string_value"])
        for name in ("max_bytes", "max_pixels")
        if name in parameters
    }


def _number(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise AlignZooError(f"{name} is {value!r}, not a whole number above 0")
    return int(value)
