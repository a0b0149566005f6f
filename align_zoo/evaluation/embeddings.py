"""Embeddings of many image files, kept on disk so that an interrupted run can continue."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from align_zoo.errors import AlignZooError, InvalidImage
from align_zoo.evaluation.checkpoint import Loaded
from align_zoo.inputs.decode import decode_image
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.progress import progress_bar
from align_zoo.runtime.machine import cores
from align_zoo.writing import replacing

__all__ = ["SHARD", "ImageEmbeddings", "embed_files"]

SHARD = 256
"""The images of a file of embeddings: an interruption costs at most so many."""

_MOST_DECODERS = 8


@dataclass(frozen=True)
class ImageEmbeddings:
    """The embeddings of the images that can be read.

    Attributes:
        vectors: [M, D] unit rows, float32, on the CPU.
        sound: [M] the index of each row's file.
        broken: the reason why a file cannot be read, by its index.
    """

    vectors: torch.Tensor
    sound: list[int]
    broken: dict[int, str]


def embed_files(
    model: Loaded,
    files: Sequence[Path],
    folder: Path,
    *,
    batch_size: int,
    progress: bool = False,
) -> ImageEmbeddings:
    """Embed each image, or read its embedding from ``folder``, where an earlier run left it.

    An embedding is used again if the checkpoint's fingerprint and the path, size and time of
    change of all files of its shard are the same. A shard with a file that exists but cannot be
    read is not kept: a second run may have the permission.

    Raises:
        AlignZooError: no image can be read; the message gives the reason for the first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, broken = [], {}
    pool = ThreadPoolExecutor(min(_MOST_DECODERS, cores()))
    try:
        with progress_bar("images", len(files), show=progress) as advance:
            for start in range(0, len(files), SHARD):
                part = files[start : start + SHARD]
                path = folder / f"{_key(model.fingerprint, part)}.safetensors"
                shard = _read(path)
                if shard is None:
                    images = pool.map(lambda file: _load(file, model.transform), part)
                    shard = _embed(model, images, batch_size)
                    if shard.lasting:
                        _write(path, shard)
                rows.append(shard.vectors)
                broken.update({start + i: reason for i, reason in shard.broken.items()})
                advance(len(part))
    finally:
        pool.shutdown(cancel_futures=True)
    sound = [i for i in range(len(files)) if i not in broken]
    if not sound:
        raise AlignZooError(f"none of the {len(files)} images can be read; {files[0]}: {broken[0]}")
    return ImageEmbeddings(torch.cat([part for part in rows if len(part)]), sound, broken)


class _Shard(NamedTuple):
    vectors: torch.Tensor
    """Unit rows of the sound images."""
    broken: dict[int, str]
    """The errors of the other images, by index."""
    lasting: bool = True
    """Whether the same files always give the same result."""


def _key(fingerprint: str, files: Sequence[Path]) -> str:
    digest = hashlib.sha256(fingerprint.encode())
    for file in files:
        try:
            stat = file.stat()
            state = f"{stat.st_size} {stat.st_mtime_ns}"
        except OSError:
            state = "absent"
        digest.update(b"\n" + os.fsencode(file.absolute()) + f" {state}".encode())
    return digest.hexdigest()[:32]


def _load(file: Path, transform: AlignTransform) -> torch.Tensor | InvalidImage | OSError:
    try:
        return transform(decode_image(file.read_bytes()))
    except (InvalidImage, OSError) as error:
        return error


@torch.inference_mode()
def _embed(
    model: Loaded, images: Iterable[torch.Tensor | InvalidImage | OSError], batch_size: int
) -> _Shard:
    broken: dict[int, InvalidImage | OSError] = {}

    def sound() -> Iterator[torch.Tensor]:
        for i, image in enumerate(images):
            if isinstance(image, torch.Tensor):
                yield image
            else:
                broken[i] = image

    rows = [
        model.align.encode_image(torch.stack(batch).to(model.device), normalize=True).float().cpu()
        for batch in _batches(sound(), batch_size)
    ]
    return _Shard(
        torch.cat(rows) if rows else torch.empty(0),
        {i: _reason(error) for i, error in broken.items()},
        lasting=all(map(_lasts, broken.values())),
    )


def _lasts(error: InvalidImage | OSError) -> bool:
    # The key knows absent files; other errors of the system may pass.
    return isinstance(error, InvalidImage | FileNotFoundError)


def _reason(error: InvalidImage | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)


def _batches(items: Iterator[torch.Tensor], size: int) -> Iterator[list[torch.Tensor]]:
    batch: list[torch.Tensor] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(path: Path, shard: _Shard) -> None:
    metadata = {"broken": json.dumps(shard.broken)}
    with replacing(path) as part:
        part.write_bytes(save({"vectors": shard.vectors}, metadata=metadata))


def _read(path: Path) -> _Shard | None:
    try:
        with safe_open(path, framework="pt") as shard:
            broken = json.loads(shard.metadata()["broken"])
            vectors = shard.get_tensor("vectors")
            return _Shard(vectors, {int(i): reason for i, reason in broken.items()})
    except (FileNotFoundError, SafetensorError):
        return None  # absent or damaged: computed again
