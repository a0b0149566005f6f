"""The messages of Triton by which the service decides, all in one place.

Triton offers nothing else to distinguish a dead model from a bug, or a caller's fault from its
own. Tests compare each text with the strings in Triton's own binaries.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = [
    "BAD_CONFIG",
    "DEAD_MODEL",
    "HARMLESS",
    "NOT_BEGUN",
    "NOT_LOADED",
    "NO_MODEL_FOLDER",
    "NO_REQUEST",
    "SLOW_MODEL",
    "TEXTS",
    "USAGE",
    "Text",
]


class Text(NamedTuple):
    """One message of Triton, or several messages with the same meaning.

    >>> DEAD_MODEL.pattern.search("Stub process 'align_text_0_0' is not healthy.")["model"]
    'align_text'
    """

    pattern: re.Pattern[str]
    examples: tuple[str, ...]
    """Complete messages that the pattern matches."""
    parts: dict[str, tuple[str, ...]]
    """The parts of the messages that stand in a binary in one piece, each with the versions that
    have the part. The compared versions are 2.51, and for the front also 2.73.
    """
    binary: str
    """The name of the binary: "core" (libtritonserver), "front" (gRPC and HTTP), "python" (the
    backend), "stub" (a model's process) or "program" (tritonserver itself, which the installed
    front is a part of).
    """


_OLD, _BOTH, _NEW = ("2.51",), ("2.51", "2.73"), ("2.73",)

DEAD_MODEL = Text(
    # Anchored at the end: a message may begin with the request's id, which the caller chooses.
    re.compile(r"Stub process '(?P<model>[^']*?)(_\d+_\d+)?' is not healthy\.?$"),
    ("Stub process 'align_text_0_0' is not healthy.",),
    {"Stub process '": _OLD, "' is not healthy.": _OLD},
    "python",
)
"""A model's process has died, and tritonserver never restarts it; INTERNAL, or 500."""

SLOW_MODEL = Text(
    re.compile(
        r"Stub process '(?P<model>\w+?)_\d+_\d+' is not healthy\.?"
        r"|Failed to obtain the health mutex"
    ),
    ("Stub process 'align_text_0_0' is not healthy.", "Failed to obtain the health mutex."),
    {"' is not healthy.": _OLD, "Failed to obtain the health mutex.": _OLD},
    "python",
)
"""Printed while a model loads: its process has died; or, from 2.60 (25.08) on, Triton killed the
process because the process gave no sign of life within ten seconds.
"""

NO_REQUEST = Text(
    re.compile(
        r"failed to parse the request JSON|Unable to parse |Failed to parse '|failed to get request"
    ),
    (
        "failed to parse the request JSON buffer: Invalid value. at 1",
        "Unable to parse 'data': Shape does not match true shape of 'data' field",
        "Failed to parse 'data' field: shape does not match true shape",
        "failed to get request params.",
    ),
    {
        "failed to parse the request JSON buffer": _BOTH,
        "Unable to parse 'data': Shape does not match true shape": _OLD,
        "Failed to parse 'data' field: shape does not match true shape": _NEW,  # from 2.68, 26.04
        "failed to get request params.": _BOTH,
    },
    "front",
)
"""A request over HTTP whose JSON is invalid; no word is the caller's, and the status is 500."""

NOT_LOADED = Text(
    re.compile(r"failed to load '(?P<model>\w+)' version \d+: (?:\w+: )*(?P<why>.+?)(?:\\n|\"|$)"),
    ("failed to load 'align_text' version 1: Internal: TritonModelException: no memory",),
    {"failed to load '": _OLD, "' version ": _OLD},
    "core",
)
"""A line in the log: a model cannot be loaded."""

NO_MODEL_FOLDER = Text(
    re.compile(r"Poll failed for model directory '(?P<folder>[^']*)': (?P<why>.+?)\"?$"),
    (
        "Poll failed for model directory '.ipynb_checkpoints': failed to open text file for read "
        "/models/.ipynb_checkpoints/config.pbtxt: No such file or directory",
    ),
    {"Poll failed for model directory '": _OLD},
    "core",
)
"""A line in the log: a folder of the repository that cannot be a model; tritonserver then ends."""

BAD_CONFIG = Text(
    re.compile(r"Error parsing text-format [\w.]+: (?P<why>.+)"),
    ('Error parsing text-format inference.ModelConfig: 44:17: Expected integer, got: "x"',),
    {"Error parsing text-format ": _OLD},
    "core",
)
"""A line in the log before NO_MODEL_FOLDER's: config.pbtxt is invalid at line:column."""

NOT_BEGUN = Text(
    re.compile(r"Failed to (?:pre)?initialize Python stub: (?:\w+: )?(?P<why>.+?)(?:\\n|\"|$)"),
    (
        "Failed to preinitialize Python stub: Python model file not found in '/m/1/model.py'",
        r'"Failed to initialize Python stub: ValueError: no memory\n\nAt:\n  /m/1/model.py(18)\n"',
    ),
    {
        "Failed to preinitialize Python stub: ": _OLD,
        "Python model file not found in '": _OLD,
        "Failed to initialize Python stub: ": _OLD,
    },
    "stub",
)
"""A line in the log: a model's process ends before it serves. Under load NOT_LOADED's line comes
only seconds later.
"""

USAGE = Text(
    re.compile(r"^Usage: tritonserver"),
    ("Usage: tritonserver [options]",),
    {"Usage: tritonserver [options]": _OLD},
    "program",
)
"""The help that tritonserver prints, after one line about the flag, for an unknown flag."""

HARMLESS = Text(
    re.compile(
        r"^Error: Failed to initialize NVML|DCGM unable to start|CudaDriverHelper has not been init"
        r"|Unable to allocate pinned system memory|CUDA memory pool disabled|NODELAY NOT SUPPORTED"
    ),
    (
        "Error: Failed to initialize NVML",
        '"DCGM unable to start: DCGM initialization error"',
        '"CudaDriverHelper has not been initialized."',
        '"Unable to allocate pinned system memory, pinned memory pool will not be available"',
        '"CUDA memory pool disabled"',
    ),
    {
        "DCGM unable to start": _OLD,
        "CudaDriverHelper has not been in": _OLD,
        "Unable to allocate pinned system memory": _OLD,
        "CUDA memory pool disabled": _OLD,
    },
    "core",
)
"""Lines of every start on a machine without a GPU, or on Unix sockets: they explain nothing."""

TEXTS = {
    "dead-model": DEAD_MODEL,
    "slow-model": SLOW_MODEL,
    "no-request": NO_REQUEST,
    "not-loaded": NOT_LOADED,
    "no-model-folder": NO_MODEL_FOLDER,
    "bad-config": BAD_CONFIG,
    "not-begun": NOT_BEGUN,
    "usage": USAGE,
    "harmless": HARMLESS,
}
