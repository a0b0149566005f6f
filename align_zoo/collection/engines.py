"""Engines: what hands out the shards of a run, in this process or to workers of Ray."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING

from align_zoo.collection.shards import Shard, embed_shard
from align_zoo.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

    from align_zoo.collection.embedder import Embedder

__all__ = ["Engine", "choose_engine", "in_process"]

Engine = Callable[
    [Iterable[Shard], "Embedder", int, Callable[[int], None]],
    Generator[tuple[Shard, "pa.Table"], None, None],
]
"""Takes shards, an embedder, the numbers of an embedding, and the function that counts images that
are done; yields each shard with its rows, in any order. Shards are taken as they are needed, so
their number does not matter. A caller that stops early closes the generator."""


def choose_engine(workers: int | None, ray: str | None) -> Engine:
    """Return the engine of ``Collection.add``'s arguments of the same names.

    Raises:
        InvalidInput: ``workers`` is below 1.
        AlignZooError: Ray is not installed.
    """
    if workers is None and ray is None:
        return in_process
    if workers is not None and workers < 1:
        raise InvalidInput(f"workers is {workers}, not a whole number above 0")
    from align_zoo.collection.ray_engine import RayEngine

    return RayEngine(workers, ray)


def in_process(
    shards: Iterable[Shard], embedder: Embedder, dim: int, advance: Callable[[int], None]
) -> Generator[tuple[Shard, pa.Table], None, None]:
    """Compute one shard after the other in this process."""
    for shard in shards:
        yield shard, embed_shard(shard, embedder, dim, advance)
