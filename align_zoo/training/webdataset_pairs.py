"""Pairs in webdataset shards: tar files in which an image and a text share a name."""

from __future__ import annotations

import hashlib
import os
from glob import glob
from pathlib import Path
from typing import BinaryIO

from webdataset.shardlists import expand_urls

from align_zoo.checkpoint.paths import at_home
from align_zoo.errors import InvalidText
from align_zoo.training.errors import TrainingError
from align_zoo.training.pair import LeftOut, Pair
from align_zoo.training.shard import Entry, read_shard

__all__ = ["WebdatasetPairs"]


class WebdatasetPairs:
    """The samples of local shards that have an image and a ``txt``, in the shards' order.

    ``WebdatasetPairs("shards/{000..127}.tar").read(0)`` is the first pair.

    A sample's key is the part of a name before the last dot. webdataset's keys end at the first
    dot; all its pairs are pairs here, and names with further dots make pairs, too.

    The shards' tables of contents are read once, and a sample is read when it is needed. So all
    samples can be shuffled, and a resumed training finds the next sample.

    Args:
        pattern: a path, a glob or a brace pattern.
        strict: refuse incomplete samples instead of leaving them out.

    Raises:
        TrainingError: no shard is found, a shard is named twice, damaged, cut or compressed, or
            no sample is a pair; with ``strict``, a sample has an image without a caption, a
            caption without an image, two images or captions, or an empty caption.
    """

    def __init__(self, pattern: str, *, strict: bool = False) -> None:
        self.left_out = LeftOut()
        shards = _shards(pattern)
        self._samples = [
            sample for shard in shards for sample in read_shard(shard, self.left_out, strict=strict)
        ]
        if not self._samples:
            raise TrainingError(f"{pattern} holds no pairs; {str(self.left_out) or 'it is empty'}")
        self.images = [f"{sample.shard}:{sample.key}" for sample in self._samples]
        content = repr([(s.shard.name, *s[1:]) for s in self._samples])
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()

    def __len__(self) -> int:
        """Return the number of pairs in all shards."""
        return len(self._samples)

    def where(self, index: int) -> str:
        """Return the shard and the key of a pair."""
        sample = self._samples[index]
        return f"{sample.shard} sample {sample.key}"

    def read(self, index: int) -> Pair:
        """Read the image's bytes and the caption of a pair.

        Raises:
            OSError: the shard is gone.
            InvalidText: the caption is no UTF-8 or blank.
        """
        sample = self._samples[index]
        with sample.shard.open("rb") as file:
            image, caption = (_bytes(file, entry) for entry in (sample.image, sample.caption))
        try:
            text = caption.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise InvalidText(f"the caption is no UTF-8: {error}") from None
        if not text:
            raise InvalidText("the caption is blank")
        return Pair(image, text)


def _shards(pattern: str) -> list[Path]:
    shards: list[Path] = []
    try:
        names = expand_urls(pattern)
    except ValueError as error:
        raise TrainingError(
            f"{pattern} is no pattern of shards: {error}. Braces come in pairs, as in "
            "{000..127}.tar"
        ) from error
    for name in names:
        if "://" in name or name.startswith("pipe:"):
            raise TrainingError(f"{name} is not a local shard; copy or mount it first")
        path = str(at_home(name, TrainingError))
        found = sorted(glob(path)) or [path]  # noqa: PTH207 - the pattern may be absolute
        for shard in map(Path, found):
            if not shard.is_file():
                raise TrainingError(f"{shard} does not exist")
            shards.append(shard)
    real: dict[str, Path] = {}
    for shard in shards:
        first = real.setdefault(os.path.realpath(shard), shard)
        if first is not shard:
            raise TrainingError(f"{pattern} names {shard} twice, the first time as {first}")
    return shards


def _bytes(file: BinaryIO, entry: Entry) -> bytes:
    file.seek(entry.offset)
    return file.read(entry.size)
