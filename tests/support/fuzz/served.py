"""Mutated images through a real server: each has the answer that it has in process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from align_zoo.errors import InvalidImage
from align_zoo.inputs.decode import decode_image
from align_zoo.runtime.encoder import Encoder
from fuzz.images import fault_of_message
from fuzz.mutations import mutated
from fuzz.outcomes import Outcomes
from fuzz.samples import samples

__all__ = ["serve_images"]

_MOST_SECONDS = 30.0


def serve_images(
    url: str, seeds: Iterable[int], encoder: Encoder, progress: Callable[[int], None]
) -> Outcomes:
    """Send the image of each seed, and a sound one between any two of them.

    Args:
        url: gRPC, of a server with the same checkpoint as ``encoder``.
        seeds: of the mutations.
        encoder: what the answers are compared with.
        progress: told of each image.
    """
    outcomes, sound = Outcomes("images, served"), samples()
    good = sound["PNG RGB 0"]
    expected = encoder.embed_images([good])[0]
    with grpc.InferenceServerClient(url) as client:
        for seed in seeds:
            _, data = mutated(seed, sound)
            start = time.perf_counter()
            fault = _fault(client, data, encoder, outcomes)
            outcomes.timed(seed, time.perf_counter() - start)
            outcomes.tried += 1
            if not fault and not np.allclose(_ask(client, good), expected, atol=1e-4):
                fault = "another answer for the sound image after it"
            if fault:
                outcomes.faults.append(f"served image {seed}: {fault}")
            progress(1)
    return outcomes


def _ask(client: Any, data: bytes) -> np.ndarray:
    tensor = grpc.InferInput("IMAGE", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[data]], dtype=np.object_))
    answer = client.infer("align_image", [tensor], client_timeout=_MOST_SECONDS)
    return answer.as_numpy("EMBEDDING")[0]


def _fault(client: Any, data: bytes, encoder: Encoder, outcomes: Outcomes) -> str | None:
    try:
        expected = encoder.embed_images([decode_image(data)])[0]
        refusal = None
    except InvalidImage as error:
        refusal = error
    try:
        answer = _ask(client, data)
    except InferenceServerException as error:
        if refusal is None or error.status() != "StatusCode.INVALID_ARGUMENT":
            return f"{error.status()}: {error.message()}"
        outcomes.refused[refusal.reason] += 1
        if error.message() != str(refusal):
            return f"refused as {error.message()!r}, in process as {str(refusal)!r}"
        return fault_of_message(error.message())
    outcomes.answered += 1
    if refusal is not None:
        return f"answered, but refused in process: {refusal}"
    return None if np.allclose(answer, expected, atol=1e-4) else "a wrong answer"
