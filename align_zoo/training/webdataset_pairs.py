"""Pairs in webdataset shards: tar files in which one name carries a picture and a text."""

from __future__ import annotations

import hashlib
import tarfile
from glob import glob
from pathlib import Path
from typing import BinaryIO, NamedTuple

from webdataset.shardlists import expand_urls
from webdataset.tariterators import base_plus_ext

from align_zoo.errors import InvalidText
from align_zoo.home import at_home
from align_zoo.training.errors import TrainingError
from align_zoo.training.pairs import Pair

__all__ = ["WebdatasetPairs"]

_PICTURES = ("jpg", "jpeg", "png", "webp")
_CAPTION = "txt"
_CHUNK = 1 << 20


class _Entry(NamedTuple):
    """Where a file's bytes lie in its shard."""

    offset: int
    size: int


class _Sample(NamedTuple):
    shard: Path
    key: str
    picture: _Entry
    caption: _Entry


class WebdatasetPairs:
    """The samples of local shards that have a picture and a ``txt``, in the shards' order.

    The shards' tables of contents are read once, their samples when they are needed. So all
    samples can be shuffled, and a resumed training finds the one that comes next.

    Raises:
        TrainingError: no shard is found, one is damaged, cut or compressed, or a sample has a
            picture without a caption, a caption without a picture, two pictures or captions, or
            an empty caption.
    """

    def __init__(self, pattern: str) -> None:
        self._samples = [sample for shard in _shards(pattern) for sample in _samples(shard)]
        if not self._samples:
            raise TrainingError(f"{pattern} holds no pairs")
        self.pictures = [f"{sample.shard}:{sample.key}" for sample in self._samples]
        content = repr([(s.shard.name, *s[1:]) for s in self._samples])
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()

    def __len__(self) -> int:
        """Samples of all shards."""
        return len(self._samples)

    def where(self, index: int) -> str:
        """Shard and sample."""
        sample = self._samples[index]
        return f"{sample.shard} sample {sample.key}"

    def read(self, index: int) -> Pair:
        """The picture's bytes and its caption."""
        sample = self._samples[index]
        with sample.shard.open("rb") as file:
            picture, caption = (_bytes(file, entry) for entry in (sample.picture, sample.caption))
        try:
            text = caption.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise InvalidText(f"the caption is no UTF-8: {error}") from None
        if not text:
            raise InvalidText("the caption is blank")
        return Pair(picture, text)


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
    return shards


def _samples(shard: Path) -> list[_Sample]:
    pictures: dict[str, _Entry] = {}
    captions: dict[str, _Entry] = {}
    last = "none"
    try:
        # "r:" refuses compressed shards, in which nothing can be found by its offset.
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                key, extension = base_plus_ext(member.name)
                if key is None or not member.isfile():
                    continue
                last = key
                if extension.lower() in _PICTURES:
                    kind, entries = "picture", pictures
                elif extension.lower() == _CAPTION:
                    kind, entries = f".{_CAPTION}", captions
                else:
                    continue
                if key in entries:
                    raise TrainingError(f"{shard}: sample {key} has more than one {kind}")
                entries[key] = _Entry(member.offset_data, member.size)
        _refuse_unless_ended(shard, tar.offset, last)
    except (OSError, tarfile.TarError) as error:
        raise TrainingError(f"{shard} cannot be read as an uncompressed tar: {error}") from error
    for key in pictures.keys() ^ captions.keys():
        lack = "picture" if key in captions else f".{_CAPTION}"
        raise TrainingError(f"{shard}: sample {key} has no {lack}")
    for key, caption in captions.items():
        if not caption.size:
            raise TrainingError(f"{shard}: sample {key} has an empty .{_CAPTION}")
    return [_Sample(shard, key, picture, captions[key]) for key, picture in pictures.items()]


def _refuse_unless_ended(shard: Path, end: int, last: str) -> None:
    """Make sure that nothing but zeros follows: tarfile takes any block it cannot read for the end.

    Raises:
        TrainingError: the end's mark is not there, or something comes after it.
    """
    with shard.open("rb") as file:
        file.seek(end)
        mark = file.read(tarfile.BLOCKSIZE)
        if len(mark) < tarfile.BLOCKSIZE or any(mark):
            raise TrainingError(f"{shard} is damaged or cut after sample {last}")
        while rest := file.read(_CHUNK):
            if rest.count(0) < len(rest):
                raise TrainingError(
                    f"{shard} goes on after its end, with another tar perhaps; give each as a "
                    "shard of its own"
                )


def _bytes(file: BinaryIO, entry: _Entry) -> bytes:
    file.seek(entry.offset)
    return file.read(entry.size)
