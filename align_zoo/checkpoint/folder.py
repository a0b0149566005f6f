"""A checkpoint on disk: an ALIGN folder in Hugging Face's format, embedded, local or from the hub.

No name inside of a checkpoint leads out of its folder. Links may, on purpose: the hub's cache
consists of links, and a user who can write a link into a folder can write its files, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from align_zoo.checkpoint.config import AlignConfig
from align_zoo.checkpoint.fields import read_json
from align_zoo.checkpoint.paths import at_home
from align_zoo.checkpoint.weights import PICKLES, SAFETENSORS, find_weights, read_weights, shards
from align_zoo.errors import CheckpointError

if TYPE_CHECKING:
    import torch

__all__ = [
    "EMBEDDED",
    "TIMM_FILE",
    "Checkpoint",
    "local_checkpoint",
    "open_checkpoint",
    "unchanged",
]

EMBEDDED = {
    name: Path(__file__).parents[1] / "assets" / name for name in ("align_tiny", "align_emoji")
}
"""The folders of checkpoints in the package, by the checkpoints' names."""

TIMM_FILE = "align.json"
"""The file by which a folder of timm's two towers is recognized; ``save_timm`` writes it."""

_SMALL_FILES = ("*.json", "vocab.txt")
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
_REVISION = re.compile(r"[\w][^\0/]*(/[\w][^\0/]*)*")


@dataclass(frozen=True)
class Checkpoint:
    """An ALIGN folder: ``config.json``, weights, ``preprocessor_config.json``, a tokenizer."""

    name: str
    """The name that the user gave: a hub id, a path or an embedded name."""
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
    def preprocessor(self) -> tuple[Path, dict[str, Any]]:
        """``preprocessor_config.json`` and its content.

        Since version 5 transformers writes the content into ``processor_config.json``, and
        prefers that file.

        Raises:
            CheckpointError: neither file has the content, or a file is no JSON object.
        """
        path = self.folder / "processor_config.json"
        options = read_json(path).get("image_processor") if path.is_file() else None
        if options is None:
            path = self.folder / "preprocessor_config.json"
            if not path.exists():
                raise CheckpointError(
                    f"{path} is missing; copy it and the tokenizer's files from the checkpoint "
                    "that the model was trained from"
                )
            return path, read_json(path)
        if not isinstance(options, dict):
            raise CheckpointError(f"{path}: image_processor is {options!r}, no object")
        return path, options

    @cached_property
    def weights_file(self) -> Path:
        """The file of the weights, or the index of shards; safetensors before pickles."""
        return find_weights(self.folder)

    def weights(self, *prefixes: str) -> dict[str, torch.Tensor]:
        """Read the tensors whose names start with one of ``prefixes``, on the CPU.

        Raises:
            CheckpointError: a file is absent or damaged, or has values that are no weights.
        """
        weights: dict[str, torch.Tensor] = {}
        for path in shards(self.weights_file):
            weights |= read_weights(path, *prefixes)
        return weights

    @cached_property
    def temperature(self) -> float:
        """The learned scalar of ``logits = cosine / temperature``."""
        tensor = self.weights("temperature").get("temperature")
        if tensor is None:
            raise CheckpointError(f"{self.weights_file} does not fit: missing: temperature")
        if tensor.numel() != 1 or tensor <= 0:
            raise CheckpointError(
                f"{self.weights_file}: temperature is {tensor.tolist()}, not a number above 0"
            )
        return float(tensor)

    @cached_property
    def fingerprint(self) -> str:
        """A hash, in 16 hex digits, of the content of every file that an answer depends on.

        Raises:
            CheckpointError: a file cannot be read.
        """
        digest = hashlib.sha256()
        found = {path for pattern in _SMALL_FILES for path in self.folder.glob(pattern)}
        small = sorted(path for path in found if path.is_file())
        for path in (*small, *shards(self.weights_file)):
            try:
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
            digest.update(f"{path.name} {content}\n".encode())
        return digest.hexdigest()[:16]


def open_checkpoint(
    name_or_folder: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
) -> Checkpoint:
    """Find a checkpoint's folder; download a checkpoint of the hub if it is not in the cache.

    Args:
        name_or_folder: "align_tiny", "align_emoji", an ALIGN folder, or a hub id.
        revision: branch, tag or commit of a hub id.
        cache_dir: the hub cache, instead of Hugging Face's default.

    Raises:
        CheckpointError: there is no such checkpoint, or the hub cannot be reached.
    """
    if (found := local_checkpoint(name_or_folder)) is not None:
        return found
    name = str(name_or_folder)
    # The revision becomes part of a path in the hub's cache, which it must not lead out of.
    if revision is not None and not _REVISION.fullmatch(revision):
        raise CheckpointError(f"{revision!r} is no branch, tag or commit of {name}")
    return Checkpoint(name, _download(name, revision, cache_dir).absolute())


def local_checkpoint(name_or_folder: str | Path) -> Checkpoint | None:
    """Find an embedded checkpoint or a folder, without asking the hub; None for a hub id.

    Raises:
        CheckpointError: there is no such checkpoint, neither here nor on the hub.
    """
    name = str(name_or_folder)
    if name in EMBEDDED:
        return Checkpoint(name, EMBEDDED[name])
    folder = at_home(name, CheckpointError)
    try:
        if folder.is_dir():
            if (folder / "config.json").is_file():
                of_timm = folder.name in ("image", "text") and (folder.parent / TIMM_FILE).is_file()
                if of_timm:
                    raise CheckpointError(
                        f"{folder} holds one of timm's two towers, no ALIGN checkpoint; "
                        f"timm.create_model('local-dir:{folder}') opens the tower, and `align-zoo "
                        f"convert {folder.parent} NEW_FOLDER --to hf` makes a checkpoint of both"
                    )
                return Checkpoint(name, folder.absolute())  # the process may go elsewhere
            if (folder / TIMM_FILE).is_file():
                raise CheckpointError(
                    f"{folder} holds timm's two towers, no ALIGN checkpoint; "
                    f"`align-zoo convert {folder} NEW_FOLDER --to hf` makes one of them"
                )
            raise CheckpointError(f"{folder} is no ALIGN checkpoint: config.json is missing")
        if folder.exists():
            raise CheckpointError(
                f"{folder} is a file; a checkpoint is a folder with a config.json"
            )
    except OSError as error:
        raise CheckpointError(f"{name} cannot be opened: {error}") from error
    near = _near(name)
    # The hub has a few old names without an owner; none is similar to an embedded name.
    misspelt = near and "/" not in name
    if isinstance(name_or_folder, Path) or not _HUB_ID.fullmatch(name) or misspelt:
        raise CheckpointError(f"{name} does not exist{near}")
    return None


@contextmanager
def unchanged(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    """Open the checkpoint's folder again for the block, and compare the fingerprint afterwards.

    Answers and exports are filed under the fingerprint. So the folder must not change between
    the reading of the fingerprint and the end of the block.

    Raises:
        CheckpointError: the folder has changed.
    """
    fingerprint = checkpoint.fingerprint
    yield Checkpoint(checkpoint.name, checkpoint.folder)
    if Checkpoint(checkpoint.name, checkpoint.folder).fingerprint != fingerprint:
        raise CheckpointError(
            f"{checkpoint.folder} was changed while it was read; load it again once it is written"
        )


def _download(hub_id: str, revision: str | None, cache_dir: str | Path | None) -> Path:
    def snapshot(*patterns: str) -> Path:
        return Path(
            snapshot_download(
                hub_id, revision=revision, cache_dir=cache_dir, allow_patterns=list(patterns)
            )
        )

    with _hub_errors(hub_id, revision):
        # One after the other, because a repository may have both formats.
        for whole, index in (SAFETENSORS, PICKLES):
            folder = snapshot(*_SMALL_FILES, whole)
            if (folder / whole).is_file():
                break
            if (folder / index).is_file():
                folder = snapshot(*_SMALL_FILES, whole.replace(".", "-*-of-*."))
                break
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
            f"reached{_near(hub_id)}. Check the name and the connection, or give the path of a "
            "folder that holds the checkpoint; once it is in the cache, HF_HUB_OFFLINE=1 reads it "
            "without asking the hub"
        ) from error
    except Exception as error:  # the connection and the disk fail in many ways
        raise CheckpointError(
            f"{hub_id}{at} cannot be fetched from the hub{_near(hub_id)}: {error}"
        ) from error


def _near(name: str) -> str:
    """Ask whether a checkpoint of nearly this name is meant; empty where there is none."""
    known = {Path(each).name: each for each in (*EMBEDDED, "kakaobrain/align-base")}
    near = get_close_matches(Path(name).name, known, n=1, cutoff=0.75)
    return f" (did you mean {known[near[0]]}?)" if near and known[near[0]] != name else ""
