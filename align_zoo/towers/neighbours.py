"""Imports of private or moving names of timm and transformers, each from its place today.

If another version has moved a name, importing the name from here fails with an error that names the
version and the way out.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

from align_zoo.errors import AlignZooError

__all__ = ["create_bidirectional_mask", "feature_take_indices", "save_config_for_hf"]  # noqa: F822

_PLACES = {
    "create_bidirectional_mask": ("transformers", "transformers.masking_utils", "5.23"),
    "feature_take_indices": ("timm", "timm.models._features", "1.0.31"),
    "save_config_for_hf": ("timm", "timm.models._hub", "1.0.31"),
}
"""For each name the package, the module today, and the version with that module."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    package, module, seen = _PLACES[name]
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise AlignZooError(
            f"{package} {version(package)} has no {module}.{name}, which align-zoo uses: run "
            f"`pip install '{package}=={seen}.*'`, or install a newer align-zoo"
        ) from error
    globals()[name] = found
    return found
