"""All messages of Triton by whose text this client chooses an error.

Triton distinguishes many errors only by their text: a full queue, a missing key and a stopping
server are all UNAVAILABLE. Tests compare each text with the strings in Triton's own binaries.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

__all__ = [
    "BATCH_SIZE",
    "CONTRACT",
    "DEAD_MODEL",
    "NOT_LOADED",
    "OVERLOADED",
    "RESTRICTED",
    "STOPPING",
    "TEXTS",
    "UNKNOWN_MODEL",
    "Text",
    "pattern_of",
]


class Text(NamedTuple):
    """One message of Triton."""

    pattern: str
    """The pattern searched in a message, ignoring case."""
    example: str
    """An example of the whole message."""
    parts: Tuple[str, ...]
    """The parts of the message that a binary holds, each in one piece."""
    binary: str
    """The binary: "core" (libtritonserver), "front" (gRPC and HTTP) or "python" (the backend)."""
    versions: Tuple[str, ...]
    """The versions with the message, of those examined: 2.51, and for "front" 2.73, too."""


def _core(pattern: str, example: str, *parts: str) -> Text:
    return Text(pattern, example, parts, "core", ("2.51",))


CONTRACT = (
    _core(
        r"^unexpected inference (in|out)put ",
        "unexpected inference input 'IMAGE' for model 'align_image'",
        "unexpected inference input '",
        "unexpected inference output '",
    ),
    _core(
        r"^unexpected shape for input ",
        "unexpected shape for input 'IMAGE' for model 'align_image'. Expected [-1,3], got [1,1].",
        "unexpected shape for input '",
    ),
    _core(
        r"^inference input '",
        "inference input 'IMAGE' data-type is 'BYTES', but model 'align_image' expects 'FP32'",
        "inference input '",
    ),
    _core(
        r"^expected \d+ inputs",
        "expected 2 inputs but got 1 inputs for model 'align_image'",
        " inputs but got ",
    ),
    _core(
        r"^expected \d+ string elements",
        "expected 2 string elements for inference input 'TEXT', got 1",
        " string elements",
    ),
)
"""Models of that name have other inputs than align-zoo's models."""

BATCH_SIZE = (
    _core(
        r"^inference request batch-size must be",
        "inference request batch-size must be <= 8 for 'align_text'",
        "inference request batch-size must be <= ",
    ),
)

RESTRICTED = (
    Text(
        r"protocol is restricted",
        "This protocol is restricted, expecting header 'triton-grpc-protocol-key'",
        ("This protocol is restricted",),
        "front",
        ("2.51", "2.73"),
    ),
)
"""The call lacks a key; the code is UNAVAILABLE."""

OVERLOADED = (
    _core(
        r"exceeds maximum queue size", "Exceeds maximum queue size", "Exceeds maximum queue size"
    ),
    # The machine code assembles the message: no string of the binary holds it in one piece.
    _core(
        r"request timeout expired", "Request timeout expired", "Request timeout ", "timeout expired"
    ),
)

STOPPING = (
    Text(
        r"server is stopping",
        "Server is stopping",
        ("Server is stopping",),
        "front",
        ("2.51", "2.73"),
    ),
    Text(
        r"server is shutting down",
        "GRPC server is shutting down and has stopped accepting new requests.",
        ("GRPC server is shutting down",),
        "front",
        ("2.73",),  # and all versions from 2.58 (25.05) on, by their sources
    ),
    _core(r"server exiting", "Server exiting", "Server e", "exiting"),
    _core(r"server not ready", "Server not ready", "Server not ready"),
)
"""The server starts or stops."""

NOT_LOADED = (
    _core(
        r"no available versions",
        "Request for unknown model: 'align_image' has no available versions",
        "' has no available versions",
    ),
    _core(
        r"is not at ready state",
        "Request for unknown model: 'align_image' version 1 is not at ready state",
        "Request for unknown model: '",
        " is not at ready state",
    ),
)
"""The model is being loaded or unloaded."""

UNKNOWN_MODEL = (
    _core(
        r"unknown model",
        "Request for unknown model: 'align_image' is not found",
        "Request for unknown model: '",
        "' is not found",
    ),
)

DEAD_MODEL = (
    Text(
        r"Stub process .*not healthy",
        "Stub process 'align_image_0_0' is not healthy.",
        ("Stub process '", "' is not healthy."),
        "python",
        ("2.51",),
    ),
)

TEXTS = (
    *CONTRACT,
    *BATCH_SIZE,
    *RESTRICTED,
    *OVERLOADED,
    *STOPPING,
    *NOT_LOADED,
    *UNKNOWN_MODEL,
    *DEAD_MODEL,
)


def pattern_of(texts: Tuple[Text, ...]) -> str:
    """Return a pattern that matches any of the texts."""
    return "(?i)" + "|".join(text.pattern for text in texts)
