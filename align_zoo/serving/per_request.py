"""A batch of requests through one call, each request with an answer or an error of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from align_zoo.errors import InvalidInput

__all__ = ["Embed", "embed_requests"]

Embed = Callable[[Sequence[bytes]], "list[np.ndarray | InvalidInput]"]
"""Items to unit vectors [D]; in place of an item that cannot be used, the reason."""


def embed_requests(
    requests: Sequence[Sequence[bytes]], embed: Embed
) -> list[np.ndarray | InvalidInput]:
    """Embed the items of all requests in one call of ``embed``.

    Returns:
        For each request its embeddings [items, D]; or what is wrong with its first bad item,
        named "item 3: ..." (counted from 0) if the request has several.
    """
    answers = iter(embed([item for items in requests for item in items]))
    return [_join([next(answers) for _ in items]) for items in requests]


def _join(answers: Sequence[np.ndarray | InvalidInput]) -> np.ndarray | InvalidInput:
    vectors: list[np.ndarray] = []
    for i, answer in enumerate(answers):
        if isinstance(answer, InvalidInput):
            if len(answers) == 1:
                return answer
            return type(answer)(f"item {i}: {answer}", answer.reason)
        vectors.append(answer)
    return np.stack(vectors)
