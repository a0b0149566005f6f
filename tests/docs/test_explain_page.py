"""docs/explain.md runs as it is written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_page_runs_as_written(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
    (tmp_path / "align_zoo").mkdir()
    (tmp_path / "align_zoo" / "assets").symlink_to(ROOT / "align_zoo" / "assets")
    monkeypatch.chdir(tmp_path)
    (python,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(python, "docs/explain.md", "exec"), {})
    shape, *numbers = re.fullmatch(
        r"(\(.*\)) (\S+) (\S+) (\S+)\n", capsys.readouterr().out
    ).groups()
    assert shape == "(6, 6)"
    assert float(numbers[0]) == pytest.approx(float(numbers[1]), abs=1e-6)
    (commands,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    beside_python = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": beside_python}
    subprocess.run(["bash", "-euc", commands], check=True, env=env)
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "star.png",
        "difference.png",
        "dark.png",
    }
