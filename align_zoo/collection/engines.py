"""Engines: what hands out the shards of a run, in this process or to workers of Ray."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING

from align_zoo.collection.shards import Shard, embed_shard

if TYPE_CHECKING:
    import pyarrow as pa

    from align_zoo.collection.embedder import Embedder

__all__ = ["Engine", "in_process"]

Engine = Callable[
    [Iterable[Shard], "Embedder", int, Callable[[int], None]],
    Generator[tuple[Shard, "pa.Table"], None, None],
]
"""Takes shards, an embedder, the numbers of an embedding, and the function that counts images that
are done; yields each shard with its rows, in any order. Shards are taken as they are needed, so
their number does not matter. Whoever stops early closes the iterator, which ends the work."""


def in_process(
    shards: Iterable[Shard], embedder: Embedder, dim: int, advance: Callable[[int], None]
) -> Generator[tuple[Shard, pa.Table], None, None]:
    """Compute one shard after the other in this process: the engine of a single machine."""
    for shard in shards:
        yield shard, embed_shard(shard, embedder, dim, advance)
