"""Mutated images through ``decode_image``."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from align_zoo.errors import InvalidImage
from align_zoo.inputs.decode import MAX_PIXELS, decode_image
from align_zoo.serving.model.image import ImageService
from fuzz.mutations import mutated
from fuzz.outcomes import Outcomes
from fuzz.samples import samples

__all__ = ["fault_of_message", "try_images"]

_TELLS = re.compile(r"0x|/|\\|PIL\b|Plugin|Error\b|\.py|object at")
"""Paths, addresses, and what is inside of the libraries."""


def fault_of_message(message: str) -> str | None:
    """What a message gives away that is nobody's business; None if it is sound."""
    found = _TELLS.search(message)
    return f"the message tells {found[0]!r}: {message}" if found else None


def try_images(seeds: Iterable[int]) -> Outcomes:
    """Decode the image of each seed, with everything that is wrong about it."""
    outcomes, sound = Outcomes("images, decoded"), samples()
    for seed in seeds:
        _, data = mutated(seed, sound)
        start = time.process_time()
        fault = _fault(data, outcomes)
        outcomes.timed(seed, time.process_time() - start)
        outcomes.tried += 1
        if fault:
            outcomes.faults.append(f"image {seed}: {fault}")
    return outcomes


def _fault(data: bytes, outcomes: Outcomes) -> str | None:
    try:
        image = decode_image(data)
    except InvalidImage as error:
        outcomes.refused[error.reason] += 1
        if error.reason not in ImageService.reasons:
            return f"the reason {error.reason!r} is not known"
        return fault_of_message(str(error))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    outcomes.answered += 1
    if image.mode != "RGB" or image.width * image.height > MAX_PIXELS:
        return f"it became {image.mode} of {image.size}"
    return None
