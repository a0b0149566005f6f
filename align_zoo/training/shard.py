"""The pairs of one webdataset shard, found by the shard's table of contents."""

from __future__ import annotations

import tarfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from align_zoo.inputs.image_files import SUFFIXES, is_of_tools
from align_zoo.training.errors import TrainingError
from align_zoo.training.pair import LeftOut

__all__ = ["Entry", "Sample", "read_shard"]

_IMAGES = {"jpg", "jpeg", "png", "webp"}
_RARE_IMAGES = {suffix[1:] for suffix in SUFFIXES} - _IMAGES
"""Extensions of images that are read in a sample without a common extension."""
_CAPTION = "txt"
_CHUNK = 1 << 20


class Entry(NamedTuple):
    """The position of a file's bytes in its shard."""

    offset: int
    size: int


class Sample(NamedTuple):
    """An image and its caption, as positions in a shard."""

    shard: Path
    key: str
    image: Entry
    caption: Entry


def read_shard(shard: Path, left_out: LeftOut, *, strict: bool) -> list[Sample]:
    """Return the pairs of a shard, in its order; count other files in ``left_out``.

    A sample's key is the part of a name before the last dot.

    Raises:
        TrainingError: the shard is damaged, cut or compressed; with ``strict``, a sample is no
            pair.
    """
    contents = _read(shard, left_out.others)
    images, captions = contents.images, contents.captions
    pairs = []
    faults: dict[str, str] = {}
    for key in {**images, **captions}:
        if (fault := _fault(images.get(key, []), captions.get(key, []))) is None:
            pairs.append(Sample(shard, key, images[key][0], captions[key][0]))
        else:
            faults[key] = fault
    paired = {sample.key for sample in pairs}
    for key, fault in faults.items():
        count = len(images.get(key, [])) + len(captions.get(key, []))
        folder, slash, name = key.rpartition("/")
        first, dot, part = name.partition(".")
        if dot and folder + slash + first in paired:  # by webdataset's rule a part of that sample
            left_out.others[f".{part}.*"] += count
        elif strict:
            raise TrainingError(f"{shard}: sample {key} has {fault}")
        else:
            left_out.add(f"{shard.name} sample {key}", fault, count)
    return pairs


class _Contents:
    """The files of a shard, by the sample that they belong to."""

    def __init__(self) -> None:
        self.images: dict[str, list[Entry]] = {}
        self.rare_images: dict[str, list[Entry]] = {}
        self.captions: dict[str, list[Entry]] = {}

    def kind(self, extension: str) -> dict[str, list[Entry]] | None:
        """Return the files of the same kind as an extension; None if it is no part of a pair."""
        if extension in _IMAGES:
            return self.images
        if extension in _RARE_IMAGES:
            return self.rare_images
        return self.captions if extension == _CAPTION else None

    def settle(self, others: Counter[str]) -> None:
        """Count rare images beside a common one in ``others``; keep the other rare images."""
        for key, entries in self.rare_images.items():
            if key in self.images:
                others["rarer images"] += len(entries)
            else:
                self.images[key] = entries


def _fault(images: list[Entry], captions: list[Entry]) -> str | None:
    if not captions:
        return f"no .{_CAPTION}"
    if not images:
        return "no image"
    if len(images) > 1:
        return "more than one image"
    if len(captions) > 1:
        return f"more than one .{_CAPTION}"
    return None if captions[0].size else f"an empty .{_CAPTION}"


def _read(shard: Path, others: Counter[str]) -> _Contents:
    contents = _Contents()
    last = "none"
    try:
        # "r:" refuses compressed shards: an offset finds nothing in them.
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                key, dot, extension = member.name.rpartition(".")
                extension = extension.lower() if dot and "/" not in extension else ""
                kind = contents.kind(extension)
                if not member.isreg() or member.issparse():
                    others["links and other special files"] += 1
                elif any(is_of_tools(part) for part in member.name.split("/") if part.strip(".")):
                    others["hidden files"] += 1
                elif kind is None:
                    others[f".{extension}" if extension else "without an extension"] += 1
                else:
                    last = key
                    entry = Entry(member.offset_data, member.size)
                    kind.setdefault(key, []).append(entry)
        _refuse_unless_ended(shard, tar.offset, last)
    except (OSError, tarfile.TarError) as error:
        raise TrainingError(f"{shard} cannot be read as an uncompressed tar: {error}") from error
    contents.settle(others)
    return contents


def _refuse_unless_ended(shard: Path, end: int, last: str) -> None:
    """Make sure that only zeros follow: tarfile takes an unreadable block for the end.

    Raises:
        TrainingError: the mark of the end is missing, or other bytes follow the mark.
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
