"""The demonstration of a collection ends with a sheet to look at."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from rich.console import Console

from align_zoo.collection.demo import run_collection_demo


def test_the_demo_finds_the_star_and_draws(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    out = io.StringIO()
    run_collection_demo(Console(file=out))
    text = out.getvalue()
    assert "11 embedded" in text
    assert "best shown by red-star.png" in text
    with Image.open(Path(text.split()[-1])) as sheet:
        assert sheet.width > 1000
