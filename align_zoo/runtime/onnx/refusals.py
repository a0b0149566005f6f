"""Notes of refused exports and layouts, so that the next start does not try them again."""

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
"""Packages of which another version may succeed."""


class ExportRefused(CheckpointError):
    """An export is wrong, and will be wrong at the next start.

    Use runtime="torch", or other versions of the packages. Callers catch ``CheckpointError``.
    """


def remember(note: Path, reason: str) -> None:
    """Write the reason of a refusal, for these versions and this processor.

    If the note cannot be written, the next start tries again.
    """
    content = {"reason": reason, "when": _now(), **_circumstances()}
    with suppress(OSError):
        note.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def recall(note: Path) -> str | None:
    """Read the reason and time of a refusal; None without a refusal in the same circumstances."""
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        reason, when = str(content.pop("reason")), str(content.pop("when"))
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None
    return f"{reason} (found on {when})" if content == _circumstances() else None


def forget(note: Path) -> None:
    """Delete a note, so that the next start tries again."""
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
    """Compute a digest of the processor's abilities; the same for all processors of a kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ""
    kind = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    return hashlib.sha256("\n".join(kind).encode()).hexdigest()[:16]
