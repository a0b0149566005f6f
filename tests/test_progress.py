"""The bar is on stderr and the results on stdout, whatever these are."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

LINE = "step 1: " + "a result that is longer than a terminal is wide, " * 4
SCRIPT = f"""
from align_zoo.progress import progress_bar, say
with progress_bar("work", 3) as advance:
    for _ in range(3):
        say({LINE!r})
        advance(1)
"""


def work(**streams) -> int:
    return subprocess.run([sys.executable, "-c", SCRIPT], timeout=60, **streams).returncode


def test_results_in_a_file_have_no_progress_lines(tmp_path):
    keyboard, terminal = pty.openpty()
    try:
        with (tmp_path / "results").open("wb") as results:
            assert work(stdout=results, stderr=terminal) == 0
        assert (tmp_path / "results").read_text().splitlines() == [LINE] * 3
        shown = os.read(keyboard, 100_000).decode()
        assert "3/3" in shown
        assert "step 1" not in shown
    finally:
        os.close(keyboard)
        os.close(terminal)


@pytest.fixture
def broken_pipe():
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def test_a_reader_that_has_gone_ends_no_work(broken_pipe):
    assert work(stdout=broken_pipe, stderr=subprocess.PIPE) == 0
    assert work(stdout=broken_pipe, stderr=broken_pipe) == 0


def test_a_full_disk_under_stdout_ends_no_work():
    with Path("/dev/full").open("wb") as full:
        assert work(stdout=full, stderr=subprocess.PIPE) == 0
        assert work(stdout=full, stderr=full) == 0


def test_closed_streams_end_no_work():
    command = [sys.executable, "-c", SCRIPT]
    assert subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *command], timeout=60).returncode == 0
