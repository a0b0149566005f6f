"""A checkpoint on disk: an ALIGN folder in Hugging Face's format, wherever it comes from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open

from align_zoo.config import AlignConfig
from align_zoo.errors import CheckpointError

__all__ = ["EMBEDDED", "Checkpoint", "open_checkpoint", "read_json"]

EMBEDDED = {"align_tiny": Path(__file__).parent / "assets" / "align_tiny"}
"""Checkpoints inside the package, by the name that stands for them."""

_SMALL_FILES = ("*.json", "vocab.txt")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")


@dataclass(frozen=True)
class Checkpoint:
    """An ALIGN folder: ``config.json``, weights, ``preprocessor_config.json``, a tokenizer."""

    name: str
    """What the user asked for: a hub id, a path or an embedded name."""
    folder: Path

    @cached_property
    def config(self) -> AlignConfig:
        """The checked ``config.json``.

        Raises:
            CheckpointError: the file is absent, no JSON, no ALIGN or not supported.
        """
        path = self.folder / "config.json"
        return AlignConfig.from_dict(read_json(path), source=str(path))

    @cached_property
    def preprocessor(self) -> dict[str, Any]:
        """The parsed ``preprocessor_config.json``."""
        return read_json(self.folder / "preprocessor_config.json")

    @cached_property
    def weights_file(self) -> Path:
        """``model.safetensors``, or ``pytorch_model.bin`` where only that exists."""
        for name in _WEIGHTS:
            if (self.folder / name).is_file():
                return self.folder / name
        raise CheckpointError(f"{self.folder} holds no weights: neither {' nor '.join(_WEIGHTS)}")

    def weights(self, *prefixes: str) -> dict[str, torch.Tensor]:
        """The tensors whose names start with one of ``prefixes``, on the CPU.

        A pickle is loaded with ``weights_only``: it cannot run code.

        Raises:
            CheckpointError: the file is absent or damaged.
        """
        path = self.weights_file
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as tensors:
                    names = [k for k in tensors.keys() if k.startswith(prefixes)]  # noqa: SIM118
                    return {name: tensors.get_tensor(name) for name in names}
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read as weights: {error}") from error
        if not isinstance(loaded, dict):
            raise CheckpointError(f"{path} holds a {type(loaded).__name__}, not a state dict")
        return {name: tensor for name, tensor in loaded.items() if name.startswith(prefixes)}

    @cached_property
    def temperature(self) -> float:
        """The learned scalar of ``logits = cosine / temperature``."""
        tensor = self.weights("temperature").get("temperature")
        if tensor is None or tensor.numel() != 1:
            raise CheckpointError(f"{self.weights_file} does not fit: missing: temperature")
        return float(tensor)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the content of every file that an answer depends on."""
        digest = hashlib.sha256()
        names = {path.name for pattern in _SMALL_FILES for path in self.folder.glob(pattern)}
        for path in (*(self.folder / name for name in sorted(names)), self.weights_file):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.name} {content}\n".encode())
        return digest.hexdigest()[:16]


def open_checkpoint(
    name_or_folder: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
) -> Checkpoint:
    """Find a checkpoint's folder, from the hub if need be.

    Args:
        name_or_folder: "align_tiny", a folder in Hugging Face's ALIGN format, or a hub id.
        revision: branch, tag or commit of a hub id.
        cache_dir: the hub cache, instead of Hugging Face's default.

    Raises:
        CheckpointError: there is no such checkpoint, or the hub cannot be reached.
    """
    name = str(name_or_folder)
    if name in EMBEDDED:
        return Checkpoint(name, EMBEDDED[name])
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"{folder} is no ALIGN checkpoint: config.json is missing")
        return Checkpoint(name, folder)
    if folder.exists():
        raise CheckpointError(f"{folder} is a file; a checkpoint is a folder with a config.json")
    if isinstance(name_or_folder, Path) or not _HUB_ID.fullmatch(name):
        raise CheckpointError(f"{name} does not exist")
    return Checkpoint(name, _download(name, revision, cache_dir))


def _download(hub_id: str, revision: str | None, cache_dir: str | Path | None) -> Path:
    def snapshot(*patterns: str) -> Path:
        return Path(
            snapshot_download(
                hub_id, revision=revision, cache_dir=cache_dir, allow_patterns=list(patterns)
            )
        )

    with _hub_errors(hub_id, revision):
        folder = snapshot(*_SMALL_FILES, _WEIGHTS[0])
        if not (folder / _WEIGHTS[0]).is_file():
            # Only now: a repository that holds both formats must not be fetched twice.
            folder = snapshot(*_SMALL_FILES, _WEIGHTS[1])
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{hub_id} is no ALIGN checkpoint: config.json is missing")
    return folder


@contextmanager
def _hub_errors(hub_id: str, revision: str | None) -> Iterator[None]:
    at = f" at revision {revision}" if revision else ""
    try:
        yield
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{hub_id}{at} is neither a local folder nor in the hub cache, and the hub cannot be "
            "reached. Check the name and the connection, or give the path of a folder that "
            "holds the checkpoint"
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise CheckpointError(f"{hub_id}{at} cannot be fetched from the hub: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        CheckpointError: the file is missing, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return content
