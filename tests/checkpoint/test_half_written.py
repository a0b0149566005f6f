"""What becomes of a folder whose writer is killed, is not alone, or finds the disk full."""

from __future__ import annotations

import fcntl
import os
from itertools import product
from pathlib import Path

import pytest
from forked import run_forked

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


CASES = list(product(["hf", "timm"], [100, 1_000_000]))


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict:
    """By case, the target of a conversion on a disk that is soon full, and how the command ended.

    No file may be larger than the case's size, as if the disk were full then.
    """
    targets = {case: tmp_path_factory.mktemp("small") / "out" for case in CASES}
    runs = [[size, "convert", "align_tiny", targets[to, size], "--to", to] for to, size in CASES]
    done = run_forked("import align_zoo.formats.convert", LIMITED, runs)
    return {case: (targets[case], each) for case, each in zip(CASES, done, strict=True)}


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


@pytest.mark.parametrize(("to", "size"), CASES)
def test_full_disk_is_one_error_line_without_leftovers(written, to, size):
    target, done = written[to, size]
    assert done.returncode == 1
    assert done.stderr.startswith(f"align-zoo: {target} cannot be written: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(target.iterdir())


def test_tokenizer_that_fills_the_disk_is_named(tmp_path, monkeypatch):
    model, transform, tokenizer = align_zoo.create_align("align_tiny")

    def full(folder: Path) -> None:
        raise Exception("No space left on device (os error 28)")  # as tokenizers does

    monkeypatch.setattr(tokenizer.hf, "save_pretrained", full)
    with pytest.raises(CheckpointError, match="cannot be written: No space left"):
        save_hf(model, tmp_path, transform=transform, tokenizer=tokenizer)
