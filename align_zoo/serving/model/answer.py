"""A batch of requests through one call, each request with an answer or an error of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from align_zoo.errors import InvalidInput

__all__ = ["Answer", "Embed", "embed_requests", "read_refused_item", "refused_item"]

Answer = np.ndarray | InvalidInput
"""A unit vector [D] or a feature map [D, h, w], or of a request those of its items, [items, ...];
else why it cannot be used."""
Embed = Callable[[Sequence[bytes]], Iterable[Sequence[Answer]]]
"""Items to their answers in the same order, in portions: each as soon as it is computed."""

_REFUSED_ITEM = re.compile(r"item (?P<place>\d+): (?P<reason>.*)", re.DOTALL)


def embed_requests(requests: Sequence[Sequence[bytes]], embed: Embed) -> Iterator[list[Answer]]:
    """Embed the items of all requests in one call of ``embed``.

    Yields:
        The answers to the requests, in order, in portions: each as soon as it is complete. An
        answer is the request's embeddings [items, D]; or what is wrong with its first bad item,
        named "item 3: ..." (counted from 0) if the request has several.
    """
    computed: list[Answer] = []
    answered = 0
    for portion in embed([item for items in requests for item in items]):
        computed += portion
        complete = []
        while answered < len(requests) and len(computed) >= (count := len(requests[answered])):
            complete.append(_join(computed[:count]))
            del computed[:count]
            answered += 1
        if complete:
            yield complete


def refused_item(index: int, error: InvalidInput) -> InvalidInput:
    """Return the error of a request with several items, of which one is bad.

    Triton carries the text and the code of an error and no output tensor, response parameter or
    gRPC metadata beside them, so the index is the start of the text: ``item INDEX: REASON``.
    ``align_client.rules.bad_item`` reads this grammar; a test holds the two against each other.

    Args:
        index: the place of the bad item in its request, counted from 0.
        error: what is wrong with the item.
    """
    return type(error)(f"item {index}: {error}", error.reason)


def read_refused_item(message: str) -> tuple[int, str] | None:
    """Return the place and the reason that :func:`refused_item` has written; None without them."""
    found = _REFUSED_ITEM.match(message)
    return (int(found["place"]), found["reason"]) if found else None


def _join(answers: Sequence[Answer]) -> Answer:
    vectors: list[np.ndarray] = []
    for i, answer in enumerate(answers):
        if isinstance(answer, InvalidInput):
            if len(answers) == 1:
                return answer
            return refused_item(i, answer)
        vectors.append(answer)
    if len({vector.shape for vector in vectors}) > 1:  # a checkpoint that does not resize
        return InvalidInput("the feature maps of these images differ in size: send one at a time")
    return np.stack(vectors)
