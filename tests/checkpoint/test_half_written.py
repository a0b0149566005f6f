"""What becomes of a folder whose writer is killed, is not alone, or finds the disk full."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

import align_zoo
from align_zoo import CheckpointError
from align_zoo.formats.convert import convert
from align_zoo.formats.save import save_hf

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from align_zoo.cli import app
app(sys.argv[2:], prog_name="align-zoo")
"""


def on_a_small_disk(size: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """``align-zoo`` where no file may be larger, as if the disk were full then."""
    command = [sys.executable, "-c", LIMITED, str(size), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def left(tmp_path) -> Path:
    """What a killed conversion leaves behind in its target."""
    part = tmp_path / "target" / ".part-killed"
    part.mkdir(parents=True)
    (part / "model.safetensors").write_bytes(b"half of it")
    return part


@pytest.mark.parametrize("to", ["hf", "timm"])
def test_repeated_conversion_clears_what_a_killed_one_left(left, to):
    convert("align_tiny", left.parent, to)
    assert not list(left.parent.glob(".*"))
    assert list(left.parent.iterdir())


def test_folder_being_written_by_another_process_is_refused(left):
    model = align_zoo.create_align("align_tiny")[0]
    handle = os.open(left.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(CheckpointError, match="being written by another process"):
            save_hf(model, left.parent)
        assert list(left.parent.rglob("*.safetensors"))
    finally:
        os.close(handle)
    save_hf(model, left.parent)
    assert not left.exists()


@pytest.mark.parametrize("to", ["hf", "timm"])
@pytest.mark.parametrize("size", [100, 1_000_000])
def test_full_disk_is_one_error_line_without_leftovers(tmp_path, to, size):
    done = on_a_small_disk(size, "convert", "align_tiny", tmp_path / "out", "--to", to)
    assert done.returncode == 1
    assert done.stderr.startswith(f"align-zoo: {tmp_path / 'out'} cannot be written: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list((tmp_path / "out").iterdir())


def test_tokenizer_that_fills_the_disk_is_named(tmp_path, monkeypatch):
    model, transform, tokenizer = align_zoo.create_align("align_tiny")

    def full(folder: Path) -> None:
        raise Exception("No space left on device (os error 28)")  # as tokenizers does

    monkeypatch.setattr(tokenizer.hf, "save_pretrained", full)
    with pytest.raises(CheckpointError, match="cannot be written: No space left"):
        save_hf(model, tmp_path, transform=transform, tokenizer=tokenizer)
