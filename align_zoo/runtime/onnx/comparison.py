"""Compares an exported tower with exact answers, within a multiple of PyTorch's own errors.

An export in float32 cannot be nearer to the truth than float32 allows, and this limit depends on
the weights and on the input. So the bound of each item is a multiple of PyTorch's own error on the
item, if that is more than the tolerance. Items on which PyTorch is far off have no bound.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from align_zoo.errors import CheckpointError
from align_zoo.runtime.onnx.refusals import ExportRefused

__all__ = ["Reference", "check", "clearest", "read_references", "write_references"]

_TIMES = 20.0
"""The most that an export's error may be, divided by PyTorch's: rounding errors differ."""
_EXACT = 5e-6
"""The greatest error of PyTorch's with which an item counts as exact.

Beyond this error activations explode, and of two ways to add the same numbers one is off by 1e-4
and the other by 0.1. So the exact items show whether an export is right; the other items need only
give numbers.
"""
_ANY = 2.0
"""The greatest difference of two unit vectors."""


@dataclass(frozen=True)
class Reference:
    """An input of a tower, and the tower's exact answer."""

    inputs: tuple[np.ndarray, ...]
    """The arrays that the tower takes: pixels [N, C, H, W], or token ids and mask [N, L]."""
    exact: np.ndarray
    """Unit embeddings [N, D], computed in float64."""
    noise: np.ndarray
    """The greatest error of PyTorch's unit embeddings in float32, [N]."""


def check(
    tower: Callable[..., np.ndarray],
    references: Sequence[Reference],
    *,
    tolerance: float,
    what: str,
) -> None:
    """Check that a tower answers every reference within its bound.

    Args:
        tower: computes unit embeddings [N, D] from a reference's inputs.
        references: at least one.
        tolerance: the error that is always accepted.
        what: the subject of the error's sentence, "image.onnx: exported embeddings".

    Raises:
        ExportRefused: an answer is off, or PyTorch's own answers are too inexact to compare with.
    """
    noise = np.concatenate([each.noise for each in references])
    exact = noise <= _EXACT  # not where PyTorch gives no number
    if not exact.any():
        raise ExportRefused(
            f"{what} cannot be compared: on every input PyTorch in float32 is itself off by "
            f"{np.fmin.reduce(noise):.1e} or more. The weights are beyond what float32 computes"
        )
    bounds = np.where(exact, np.maximum(tolerance, _TIMES * noise), _ANY)
    off = np.concatenate([_errors(tower(*each.inputs), each.exact) for each in references])
    # An export need not give a number where PyTorch gives none.
    wrong = ~(off <= bounds) & ~np.isnan(noise)  # so that NaN is wrong, too
    if wrong.any():
        worst = int(np.argmax(np.where(wrong, np.nan_to_num(off / bounds, nan=np.inf), 0)))
        raise ExportRefused(
            f"{what} differ from PyTorch's by {off[worst]:.1e}, more than {bounds[worst]:.0e} "
            f"(PyTorch in float32 is itself off by {noise[worst]:.0e} there)"
        )


def _errors(embeddings: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return the greatest error of each row."""
    return np.asarray(np.abs(embeddings - exact).max(axis=1))


def clearest(references: Sequence[Reference]) -> Reference:
    """Choose one item for a quick comparison: the smallest of the exact items."""

    def rank(row: Reference) -> tuple[bool, int]:
        return not row.noise[0] <= _EXACT, row.inputs[0].size

    rows = [
        Reference(
            tuple(array[i : i + 1] for array in each.inputs),
            each.exact[i : i + 1],
            each.noise[i : i + 1],
        )
        for each in references
        for i in range(len(each.exact))
    ]
    return min(rows, key=rank)


def write_references(path: Path, references: Iterable[Reference]) -> None:
    """Write references of one input array each to an .npz file."""
    arrays: dict[str, np.ndarray] = {}
    for i, each in enumerate(references):
        (arrays[f"input_{i}"],) = each.inputs
        arrays[f"exact_{i}"] = each.exact
        arrays[f"noise_{i}"] = each.noise
    np.savez(path, **arrays)


def read_references(path: Path) -> list[Reference]:
    """Read the references of a file.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            count = len(file.files) // 3
            return [
                Reference((file[f"input_{i}"],), file[f"exact_{i}"], file[f"noise_{i}"])
                for i in range(count)
            ]
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
