"""The inputs of the benchmarks: labels as people write them, and photographs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

__all__ = ["WORDS", "all_labels", "jpeg", "labels", "photos", "write_photos"]

WORDS = (
    "a photo of red blue green yellow white black brown grey small big old new round wooden "
    "wild young empty broken bright dark striped spotted wet dry "
    "cat dog bus car house tree bird boat horse sheep cow bear zebra train truck bicycle bridge "
    "tower church street river lake beach mountain forest garden flower apple orange banana cake "
    "pizza chair table sofa bed lamp clock vase book phone keyboard window door cup bottle bowl "
    "spoon knife hat shoe bag umbrella kite ball glove skateboard sign bench fence"
).split()
_ADJECTIVES, _NOUNS = WORDS[3:27], WORDS[27:]


def labels(count: int, *, seed: int = 0) -> list[str]:
    """Make different labels of 5 to 12 tokens; the labels of two seeds overlap little."""
    return list(islice(all_labels(seed), count))


def all_labels(seed: int = 0) -> Iterator[str]:
    """Yield different labels without an end; see ``labels``."""
    rng = np.random.default_rng(seed)
    made = set()
    while True:
        adjectives = rng.choice(_ADJECTIVES, rng.integers(0, 4), replace=False)
        nouns = rng.choice(_NOUNS, rng.integers(1, 3), replace=False)
        start = [] if rng.random() < 0.3 else ["a", "photo", "of", "a"]
        words = [*start, *adjectives, *nouns]
        label = " ".join(words)
        if 3 <= len(words) <= 10 and label not in made:  # [CLS] and [SEP] are two more
            made.add(label)
            yield label


def photos(count: int, *, width: int = 640, height: int = 480, seed: int = 0) -> list[bytes]:
    """Make JPEG files of parts of scikit-learn's two photographs."""
    rng = np.random.default_rng(seed)
    files = []
    for i in range(count):
        source = _sources()[i % len(_sources())]
        share = rng.uniform(0.5, 1.0)
        w, h = int(source.width * share), int(source.height * share)
        left, top = rng.integers(0, source.width - w + 1), rng.integers(0, source.height - h + 1)
        part = source.crop((left, top, left + w, top + h))
        files.append(jpeg(part.resize((width, height), Image.Resampling.BICUBIC)))
    return files


def jpeg(image: Image.Image) -> bytes:
    """Encode an image as a camera does."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def write_photos(folder: Path, files: list[bytes]) -> list[Path]:
    """Write the files to a folder, for contenders that read paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:04}.jpg" for i in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return paths


@cache
def _sources() -> list[Image.Image]:
    return [Image.fromarray(array) for array in load_sample_images().images]
