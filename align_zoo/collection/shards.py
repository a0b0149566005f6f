"""A shard: some hundred images, embedded whole or not at all by a function without effects."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from align_zoo.collection.embedder import Answer, Embedder
from align_zoo.collection.sources import Input, read_bytes
from align_zoo.errors import InvalidImage
from align_zoo.inputs.decode import open_encoded
from align_zoo.inputs.pixels import orientation
from align_zoo.runtime.machine import cores

__all__ = [
    "SHARD",
    "EncodedFile",
    "Shard",
    "content_of",
    "embed_parts",
    "embed_shard",
    "plan",
    "rows_schema",
    "shown_path",
]

SHARD = 512
"""The images of a shard: what an interruption costs at most."""
_BYTES_AT_ONCE = 64_000_000
"""Encoded images in memory, in bytes, of a shard in work; and at least one image."""
_IMAGES_AT_ONCE = 64
_READERS = 8


@dataclass(frozen=True)
class Shard:
    """Images to embed, named by what they are."""

    fingerprint: str
    """The checkpoint's fingerprint."""
    source: str
    """The source's name, as the collection keeps it."""
    items: tuple[Input, ...]

    @cached_property
    def name(self) -> str:
        """The same for the same images, as they are, and the same checkpoint: 32 hex digits."""
        digest = hashlib.blake2b(self.fingerprint.encode(), digest_size=16)
        for item in self.items:
            state = f"\n{item.size} {item.mtime_ns} {item.offset} "
            digest.update(state.encode() + os.fsencode(item.path))
        return digest.hexdigest()


def plan(items: Iterable[Input], fingerprint: str, source: str) -> Iterator[Shard]:
    """Cut a list of images into shards."""
    part: list[Input] = []
    for item in items:
        part.append(item)
        if len(part) == SHARD:
            yield Shard(fingerprint, source, tuple(part))
            part = []
    if part:
        yield Shard(fingerprint, source, tuple(part))


def rows_schema(dim: int) -> pa.Schema:
    """Return the columns of a collection's rows, for embeddings of ``dim`` numbers."""
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            # Names that are no UTF-8 are shown with escapes in `path`, and kept here as they are.
            pa.field("raw_path", pa.binary()),
            pa.field("source", pa.string(), nullable=False),
            pa.field("size", pa.int64(), nullable=False),
            pa.field("mtime_ns", pa.int64(), nullable=False),
            # Where a member of an archive is.
            pa.field("archive", pa.string()),
            pa.field("offset", pa.int64()),
            pa.field("content", pa.binary(16)),
            pa.field("width", pa.int32()),
            pa.field("height", pa.int32()),
            pa.field("error", pa.string()),
            pa.field("reason", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), dim), nullable=False),
        ]
    )


def embed_parts(
    items: Sequence[Input], embedder: Embedder
) -> Iterator[tuple[Input, EncodedFile, Answer]]:
    """Yield each image with its file as it was read, and its unit row [D] or its error."""
    for part in _read(items):
        yield from (
            (item, file, answer)
            for (item, file), answer in zip(part, _embedded(part, embedder), strict=True)
        )


def embed_shard(
    shard: Shard,
    embedder: Embedder,
    dim: int,
    advance: Callable[[int], None] = lambda images: None,
) -> pa.Table:
    """Compute the rows of a shard, one for each image in its order: an embedding or an error.

    Further columns of the inputs follow those of :func:`rows_schema`, as strings or numbers.

    Args:
        shard: the images.
        embedder: what embeds them.
        dim: the numbers of an embedding.
        advance: is called with the number of images that are done, as they are.
    """
    rows = []
    for item, file, answer in embed_parts(shard.items, embedder):
        rows.append((item, file._replace(data=b""), answer))
        advance(1)
    vectors = np.zeros((len(rows), dim), np.float32)
    for i, (_, _, answer) in enumerate(rows):
        if isinstance(answer, np.ndarray):
            vectors[i] = answer
    errors = [answer if isinstance(answer, InvalidImage) else None for _, _, answer in rows]
    shown = [shown_path(item.path) for item, _, _ in rows]
    columns = {
        "path": [path for path, _ in shown],
        "raw_path": [raw for _, raw in shown],
        "source": [shard.source] * len(rows),
        "size": [item.size for item, _, _ in rows],
        "mtime_ns": [item.mtime_ns for item, _, _ in rows],
        "archive": [item.file or None for item, _, _ in rows],
        "offset": [item.offset for item, _, _ in rows],
        "content": [file.content for _, file, _ in rows],
        "width": [file.width for _, file, _ in rows],
        "height": [file.height for _, file, _ in rows],
        "error": [str(error) if error else None for error in errors],
        "reason": [error.reason if error else None for error in errors],
    }
    schema = rows_schema(dim)
    arrays = [pa.array(columns[name], schema.field(name).type) for name in columns]
    # A null inside of a fixed-size list would make a file that pyarrow cannot read: zeros instead.
    arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim))
    table = pa.Table.from_arrays(arrays, schema=schema)
    further = dict.fromkeys(name for item in shard.items for name in item.columns)
    for name in further:
        if name not in columns and name != "vector":
            values = pa.array([item.columns.get(name) for item in shard.items])
            table = table.append_column(name, values)
    return table


def content_of(data: bytes) -> bytes:
    """Return the digest by which a moved image is known: 16 bytes."""
    return hashlib.blake2b(data, digest_size=16).digest()


def shown_path(path: str) -> tuple[str, bytes | None]:
    """Return a path as text, and its bytes where they are no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raw = os.fsencode(path)
        return raw.decode(errors="backslashreplace"), raw
    return path, None


class EncodedFile(NamedTuple):
    """An image's file as it was read."""

    data: bytes = b""
    content: bytes | None = None
    """The digest of the bytes."""
    width: int | None = None
    height: int | None = None
    error: InvalidImage | None = None


def _read(items: Sequence[Input]) -> Iterator[list[tuple[Input, EncodedFile]]]:
    """Yield the files in parts of bounded size; the next part is read while one is computed."""
    parts: list[list[Input]] = [[]]
    size = 0
    for item in items:
        if parts[-1] and (len(parts[-1]) == _IMAGES_AT_ONCE or size + item.size > _BYTES_AT_ONCE):
            parts.append([])
            size = 0
        parts[-1].append(item)
        size += item.size
    with ThreadPoolExecutor(min(_READERS, 2 * cores())) as pool:
        ahead = pool.map(_open, parts[0])
        for part, following in zip(parts, [*parts[1:], []], strict=True):
            files = list(ahead)
            ahead = pool.map(_open, following)
            yield list(zip(part, files, strict=True))


def _open(item: Input) -> EncodedFile:
    try:
        data = read_bytes(item)
    except InvalidImage as error:
        return EncodedFile(error=error)
    content = content_of(data)
    try:
        width, height = _upright_size(open_encoded(data))
    except InvalidImage:
        return EncodedFile(data, content)  # the embedder says what is wrong
    return EncodedFile(data, content, width, height)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height as the image is seen, turned by its EXIF orientation."""
    return image.size[::-1] if orientation(image) in (5, 6, 7, 8) else image.size


def _embedded(part: list[tuple[Input, EncodedFile]], embedder: Embedder) -> Iterator[Answer]:
    answers = iter(embedder.images([file.data for _, file in part if not file.error]))
    for _, file in part:
        yield file.error or next(answers)
