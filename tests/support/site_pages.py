"""The site of the documents, by the command of ``make docs``."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["ROOT", "SITE", "build_site"]

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
"""Both runs of tests that need the site build here, so the second finds the pages of the first."""


def build_site(*, whole: bool = False) -> subprocess.CompletedProcess[str]:
    """Build the site; ``whole`` with every page, and so with all warnings."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (command,) = re.findall(r"python -m sphinx (.+)", makefile)
    if whole:
        shutil.rmtree(SITE, ignore_errors=True)
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *shlex.split(command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
