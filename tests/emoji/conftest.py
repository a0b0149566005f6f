"""Drawings without npm: coloured squares of invented concepts in all styles."""

from __future__ import annotations

import numpy as np
import pytest

from align_zoo.emoji.concepts import HELD_OUT, Concept
from align_zoo.emoji.drawings import SIDE, Drawings
from align_zoo.emoji.packages import STYLES

COUNT = HELD_OUT + 12


@pytest.fixture(scope="session")
def drawings():
    concepts = [
        Concept(
            f"{index:X}",
            f"thing {chr(97 + index % 26)}{chr(97 + index // 26)}",
            ("square", "even" if index % 2 == 0 else "odd"),
            "objects",
            "tool",
        )
        for index in range(COUNT)
    ]
    style = [each for each in STYLES for _ in concepts]
    colours = np.random.default_rng(0).integers(0, 256, (len(style), 1, 1, 4), dtype=np.uint8)
    colours[..., 3] = 255
    pixels = np.broadcast_to(colours, (len(style), SIDE, SIDE, 4)).copy()
    pixels[:, :16] = 0  # transparent
    return Drawings(concepts, pixels, np.tile(np.arange(COUNT), len(STYLES)), style)
