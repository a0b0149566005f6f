"""Odd strings through the text service, each beside the plain way's answer."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator

import numpy as np

from align_zoo.errors import InvalidText
from align_zoo.runtime.encoder import Encoder
from align_zoo.serving.model.text import TextService
from fuzz.outcomes import Outcomes

__all__ = ["odd_string", "try_strings"]

_AT_ONCE = 16
_PIECES = (
    "a photo of a cat ",
    "red",
    " ",
    "\n\t",
    "\0",
    "\x07\x1b[31m",
    "\u200b\u200d\ufeff",
    "e\u0301\u0323",
    "\u0301",
    "שלום עולם ",
    "\u202eabc\u202c",
    "猫が好き",
    "한국어 ",
    "🐈‍⬛👩‍👩‍👧",
    "\U000e0041",
    "ﷺ",
    "!?;:-",
    "\u00a0\u2028",
    "\ue000",
    "x" * 120,
)
_BYTES = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80")
"""No UTF-8: a lone byte, half a letter, a surrogate, beyond the last letter, an overlong zero."""


def odd_string(seed: int) -> bytes:
    """Pieces in any order; some long, some a megabyte, some no UTF-8. The same for a seed."""
    rng = random.Random(seed)
    pieces = rng.choices(_PIECES, k=rng.randint(0, 12))
    if rng.random() < 0.02:
        piece = rng.choice(_PIECES)
        pieces.append(piece * (rng.choice([1_000, 20_000, 1_000_000]) // len(piece.encode())))
    data = "".join(pieces).encode()
    if rng.random() < 0.1:
        place = rng.randint(0, len(data))
        data = data[:place] + rng.choice(_BYTES) + data[place:]
    return data


def try_strings(seeds: Iterable[int], encoder: Encoder) -> Outcomes:
    """Embed the string of each seed among others, and compare with the encoder's own answer."""
    outcomes, service = Outcomes("strings, embedded"), TextService(encoder)
    for batch in _batches(seeds):
        items = [odd_string(seed) for seed in batch]
        start = time.process_time()
        answers = service.embed(items)
        seconds = (time.process_time() - start) / len(batch)
        for seed, data, answer in zip(batch, items, answers, strict=True):
            outcomes.tried += 1
            outcomes.timed(seed, seconds)
            if isinstance(answer, InvalidText):
                outcomes.refused[answer.reason] += 1
                continue
            outcomes.answered += 1
            if not np.allclose(answer, encoder.embed_texts([data.decode()])[0], atol=1e-5):
                outcomes.faults.append(f"string {seed}: another answer than alone and whole")
    return outcomes


def _batches(seeds: Iterable[int]) -> Iterator[list[int]]:
    batch: list[int] = []
    for seed in seeds:
        batch.append(seed)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
