"""Embeddings of many picture files, kept on disk so that an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from align_zoo.errors import AlignZooError, InvalidImage
from align_zoo.evaluation.checkpoint import Loaded
from align_zoo.preprocess import AlignTransform, decode_image
from align_zoo.progress import progress_bar

__all__ = ["SHARD", "ImageEmbeddings", "embed_files"]

SHARD = 256
"""Pictures that are kept together: what an interruption costs at most."""

_DECODERS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class ImageEmbeddings:
    """The embeddings of the pictures that could be read.

    Attributes:
        vectors: [M, D] unit rows, float32, on the CPU.
        sound: [M] which file each row belongs to.
        broken: why a file could not be read, by its index.
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
    """Embed each picture, or read its embedding from ``folder``, where an earlier run left it.

    An embedding is used again if the checkpoint's fingerprint and each file's path, size and
    time of change are what they were, for all pictures of its shard.

    Raises:
        AlignZooError: no picture can be read; the message says why for the first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, broken = [], {}
    pool = ThreadPoolExecutor(_DECODERS)
    try:
        with progress_bar("pictures", len(files), show=progress) as advance:
            for start in range(0, len(files), SHARD):
                part = files[start : start + SHARD]
                path = folder / f"{_key(model.fingerprint, part)}.safetensors"
                shard = _read(path)
                if shard is None:
                    pictures = pool.map(lambda file: _load(file, model.transform), part)
                    shard = _embed(model, pictures, batch_size)
                    _write(path, *shard)
                rows.append(shard[0])
                broken.update({start + i: reason for i, reason in shard[1].items()})
                advance(len(part))
    finally:
        pool.shutdown(cancel_futures=True)
    sound = [i for i in range(len(files)) if i not in broken]
    if not sound:
        raise AlignZooError(
            f"none of the {len(files)} pictures can be read; {files[0]}: {broken[0]}"
        )
    return ImageEmbeddings(torch.cat([part for part in rows if len(part)]), sound, broken)


Shard = tuple[torch.Tensor, dict[int, str]]
"""Unit rows of the sound pictures, and what is wrong with the others, by index."""


def _key(fingerprint: str, files: Sequence[Path]) -> str:
    digest = hashlib.sha256(fingerprint.encode())
    for file in files:
        try:
            stat = file.stat()
            state = f"{stat.st_size} {stat.st_mtime_ns}"
        except OSError:
            state = "absent"
        digest.update(f"\n{file.absolute()} {state}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _load(file: Path, transform: AlignTransform) -> torch.Tensor | str:
    try:
        return transform(decode_image(file.read_bytes()))
    except InvalidImage as error:
        return str(error)
    except OSError as error:
        return error.strerror or type(error).__name__


@torch.inference_mode()
def _embed(model: Loaded, pictures: Iterable[torch.Tensor | str], batch_size: int) -> Shard:
    broken: dict[int, str] = {}

    def sound() -> Iterator[torch.Tensor]:
        for i, picture in enumerate(pictures):
            if isinstance(picture, str):
                broken[i] = picture
            else:
                yield picture

    rows = [
        model.align.encode_image(torch.stack(batch).to(model.device), normalize=True).float().cpu()
        for batch in _batches(sound(), batch_size)
    ]
    return torch.cat(rows) if rows else torch.empty(0), broken


def _batches(items: Iterator[torch.Tensor], size: int) -> Iterator[list[torch.Tensor]]:
    batch: list[torch.Tensor] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(path: Path, vectors: torch.Tensor, broken: dict[int, str]) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(save({"vectors": vectors}, metadata={"broken": json.dumps(broken)}))
    unfinished.replace(path)


def _read(path: Path) -> Shard | None:
    try:
        with safe_open(path, framework="pt") as shard:
            broken = json.loads(shard.metadata()["broken"])
            return shard.get_tensor("vectors"), {int(i): reason for i, reason in broken.items()}
    except (FileNotFoundError, SafetensorError):
        return None  # not there, or damaged: made anew
