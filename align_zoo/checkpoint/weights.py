"""A checkpoint's weight files: safetensors or pickles, whole or in shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from align_zoo.checkpoint.fields import read_json
from align_zoo.errors import CheckpointError

if TYPE_CHECKING:
    import torch

__all__ = ["PICKLES", "SAFETENSORS", "find_weights", "read_weights", "shards"]

_INDEX = ".index.json"
SAFETENSORS = ("model.safetensors", f"model.safetensors{_INDEX}")
"""The file, and the index of the shards of a large checkpoint."""
PICKLES = ("pytorch_model.bin", f"pytorch_model.bin{_INDEX}")
"""The file and the index of older versions of transformers."""


def find_weights(folder: Path) -> Path:
    """Find the weight file of a folder, or the index of its shards; safetensors come first.

    Raises:
        CheckpointError: the folder has no weights.
    """
    names = (*SAFETENSORS, *PICKLES)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder} holds no weights: neither {' nor '.join(names)}")


def shards(path: Path) -> tuple[Path, ...]:
    """List the files that an index names, in order; ``path`` itself if it is no index.

    Raises:
        CheckpointError: the index names no shards, or a name is no file of the folder.
    """
    if not path.name.endswith(_INDEX):
        return (path,)
    weight_map = read_json(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{path} names no shards: weight_map is {weight_map!r}")
    for name in weight_map.values():
        if not _is_file_name(name):
            raise CheckpointError(f"{path}: {name!r} is no file of its folder")
        if not (path.parent / name).is_file():
            raise CheckpointError(f"{path.parent / name} is missing, which {path.name} names")
    return tuple(path.parent / name for name in sorted(set(weight_map.values())))


def _is_file_name(name: object) -> bool:
    """Return whether a name is of a file in the folder itself, and leads nowhere else."""
    if not isinstance(name, str) or name in ("", "..") or "\0" in name:
        return False
    return name == Path(name).name


def read_weights(path: Path, *prefixes: str) -> dict[str, torch.Tensor]:
    """Read the tensors of one file whose names start with one of ``prefixes``, on the CPU.

    A pickle is loaded with ``weights_only``, so that it cannot run code.

    Raises:
        CheckpointError: the file is damaged, or has values that are no weights of a model.
    """
    import torch  # here, so that a runtime without torch can look for files

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as tensors:
                names = [k for k in tensors.keys() if k.startswith(prefixes)]  # noqa: SIM118
                weights = {name: tensors.get_tensor(name) for name in names}
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # readers raise errors of many kinds for damaged bytes
        raise CheckpointError(f"{path} cannot be read as weights: {error}") from error
    if not isinstance(weights, dict):
        raise CheckpointError(f"{path} holds a {type(weights).__name__}, not a state dict")
    weights = {name: value for name, value in weights.items() if str(name).startswith(prefixes)}
    for name, value in weights.items():
        _check(value, name, path)
    return weights


def _check(value: object, name: str, path: Path) -> None:
    """Refuse values that would load and give wrong answers."""
    import torch

    if not isinstance(value, torch.Tensor):
        raise CheckpointError(f"{path}: {name} is a {type(value).__name__}, not a tensor")
    if name.endswith(("num_batches_tracked", "position_ids")):
        return
    if not value.is_floating_point() or value.itemsize < 2:
        raise CheckpointError(f"{path}: {name} is {value.dtype}; quantised weights are refused")
    # The sum first: fifty times faster, and finite only if all values are finite.
    if not value.sum().isfinite() and not value.isfinite().all():
        raise CheckpointError(f"{path}: {name} holds values that are NaN or infinite")
