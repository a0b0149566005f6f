"""The demonstration of a collection ends with a sheet to look at."""

from __future__ import annotations

import io
import re
from pathlib import Path

from PIL import Image
from rich.console import Console

from align_zoo.collection.demo import run_collection_demo


def test_the_demo_finds_emoji_and_draws(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    out = io.StringIO()
    run_collection_demo(Console(file=out, width=200))
    text = out.getvalue()
    assert "1653 embedded" in text
    for search in ("crying cat", "red fruit", "something to open a bottle", "celebration"):
        assert search in text
    assert re.search(r"crying cat +│ .*crying-cat", text)
    assert re.search(r"tangerine.png +│ tangerine,", text)
    with Image.open(Path(text.split()[-1])) as sheet:
        assert sheet.width > 1000
