"""A batch of requests through one call, each request with an answer or an error of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from align_zoo.errors import InvalidInput

__all__ = ["Answer", "Embed", "embed_requests", "joined", "refused_item", "with_errors"]

Answer = np.ndarray | InvalidInput
"""An item's unit vector [D] or feature map [D, h, w], or why the item cannot be used."""
Embed = Callable[[Sequence[bytes]], Iterable[Sequence[Answer]]]
"""Items to their answers in the same order, in portions: each as soon as it is computed."""


def embed_requests(
    requests: Sequence[Sequence[bytes]], embed: Embed
) -> Iterator[list[list[Answer]]]:
    """Embed the items of all requests in one call of ``embed``.

    Yields:
        For each request the answers to its items, in order, in portions: each request as soon as
        all of its items are answered.
    """
    computed: list[Answer] = []
    answered = 0
    for portion in embed([item for items in requests for item in items]):
        computed += portion
        complete = []
        while answered < len(requests) and len(computed) >= (count := len(requests[answered])):
            complete.append(computed[:count])
            del computed[:count]
            answered += 1
        if complete:
            yield complete


def joined(answers: Sequence[Answer]) -> np.ndarray:
    """Return the vectors or feature maps of a request, [items, ...].

    Raises:
        InvalidInput: the fault of the first bad item, named "item 3: ..." (counted from 0) if the
            request has several items; or the feature maps differ in size.
    """
    arrays: list[np.ndarray] = []
    for i, answer in enumerate(answers):
        if isinstance(answer, InvalidInput):
            raise answer if len(answers) == 1 else refused_item(i, answer)
        arrays.append(answer)
    if len({array.shape for array in arrays}) > 1:  # a checkpoint that does not resize
        raise InvalidInput("the feature maps of these images differ in size: send one at a time")
    return np.stack(arrays)


def with_errors(answers: Sequence[Answer], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors or feature maps of a request, and the errors BYTES [items, 1].

    The error of a sound item is empty. A bad item has zeros, which JSON can carry and which are no
    unit vector; they have the shape of the sound items, or [width] without one.

    Raises:
        InvalidInput: the feature maps differ in size.
    """
    sound = (answer for answer in answers if not isinstance(answer, InvalidInput))
    nothing = np.zeros_like(next(sound, np.zeros(width, np.float32)))
    errors = np.full((len(answers), 1), b"", np.object_)
    for i, answer in enumerate(answers):
        if isinstance(answer, InvalidInput):
            errors[i, 0] = str(answer).encode("utf-8", "surrogateescape")
    return joined([nothing if isinstance(a, InvalidInput) else a for a in answers]), errors


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
