"""What the next start need not try again: exports that were refused or failed, and why."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from align_zoo.errors import CheckpointError

__all__ = ["ExportRefused", "forget", "recall", "remember"]

_PACKAGES = ("align-zoo", "torch", "timm", "onnx", "onnx-ir", "onnxscript", "onnxruntime")
"""What another version of may do better."""


class ExportRefused(CheckpointError):
    """An export is no good, and would not be at the next start.

    Catch ``CheckpointError``: the way out is runtime="torch", or other versions.
    """


def remember(note: Path, reason: str) -> None:
    """Note why something was refused, for these versions and this processor.

    Where the note cannot be written, the next start tries again.
    """
    content = {"reason": reason, "when": _now(), **_circumstances()}
    with suppress(OSError):
        note.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def recall(note: Path) -> str | None:
    """When something was refused and why; None if it was not, or in other circumstances."""
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        reason, when = str(content.pop("reason")), str(content.pop("when"))
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None
    return f"{reason} (found on {when})" if content == _circumstances() else None


def forget(note: Path) -> None:
    """Let the next start try again."""
    note.unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="minutes")


def _circumstances() -> dict[str, object]:
    versions = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {"versions": versions, "processor": _processor()}


def _processor() -> str:
    """Compute a digest of what the processor can do; the same for any two of a kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ""
    kind = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    return hashlib.sha256("\n".join(kind).encode()).hexdigest()[:16]
