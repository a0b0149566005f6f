"""What two processes write at once is whole, and neither fails because of the other."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import torch

from align_zoo.evaluation.embeddings import _Shard, _write
from align_zoo.evaluation.report import write_report
from align_zoo.training.errors import TrainingError
from align_zoo.training.out_folder import training_alone
from align_zoo.writing import alone_in, flush, flush_all, replacing

_SPAWN = multiprocessing.get_context("spawn")


def write_a_report(path: Path, number: int) -> None:
    write_report({"values": [number] * 20_000}, path)


def write_a_shard(path: Path, number: int) -> None:
    _write(path, _Shard(torch.full((64, 64), float(number)), {}))


def write_often(folder: Path, start: Barrier) -> None:
    for name, write in (("report", write_a_report), ("shard", write_a_shard)):
        for number in range(60):
            start.wait(60)  # both at every step at the same moment
            write(folder / name, number)


def test_two_processes_write_one_file_at_once(tmp_path):
    start = _SPAWN.Barrier(2)
    both = [_SPAWN.Process(target=write_often, args=(tmp_path, start)) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert [each.exitcode for each in both] == [0, 0]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["report", "shard"]
    assert json.loads((tmp_path / "report").read_text()) == {"values": [59] * 20_000}


def test_two_evaluations_into_one_folder_both_succeed(tmp_path):
    data = tmp_path / "data"
    samples = Path("align_zoo/assets/samples").resolve()
    for name in ("red-star", "green-ring"):
        (data / name).mkdir(parents=True)
        (data / name / "a.png").write_bytes((samples / f"{name}.png").read_bytes())
    command = [sys.executable, "-m", "align_zoo", "evaluate", str(data), "--model", "align_tiny"]
    command += ["--out", str(tmp_path / "out")]
    both = [
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    said = [each.communicate()[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert json.loads((tmp_path / "out" / "report.json").read_text())["images"] == 2
    parts = [path.name for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]
    assert not parts


@pytest.mark.parametrize("before", ["content", None], ids=["a-file", "nothing"])
def test_a_failed_write_leaves_what_was_there(tmp_path, before):
    path = tmp_path / "file"
    if before:
        path.write_text(before)
    with pytest.raises(KeyboardInterrupt), replacing(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert [each.read_text() for each in tmp_path.iterdir()] == ([before] if before else [])


def test_a_link_keeps_leading_to_its_file(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real" / "file")
    with replacing(link) as part:
        part.write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "new"
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["file"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with replacing(pipe) as part:
            part.write_text("new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_written_file_has_the_umasks_permissions(tmp_path):
    before = os.umask(0o022)
    try:
        with replacing(tmp_path / "file") as part:
            part.write_text("content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("name", ["", "folder", "folder/file"])
def test_flushing_reaches_everything_in_a_folder(tmp_path, monkeypatch, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("content")
    flushed, sync = set(), os.fsync

    def note(handle):
        flushed.add(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", note)
    flush_all(tmp_path)
    assert (tmp_path / name).stat().st_ino in flushed


def test_a_replaced_file_is_on_the_disk_before(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    path.write_text("before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), replacing(path) as part:
        part.write_text("new")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_system_that_cannot_flush_is_no_fault(tmp_path, monkeypatch, code):
    def fail(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    before = open_files()
    flush(tmp_path)
    assert open_files() == before


def test_a_folder_without_locks_is_written_to_unlocked(tmp_path, monkeypatch):
    def fail(handle, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    with alone_in(tmp_path) as alone:
        assert alone is False


def test_a_released_folder_leaves_no_open_file(tmp_path):
    before = open_files()
    with alone_in(tmp_path) as alone:
        assert alone
        with pytest.raises(BlockingIOError), alone_in(tmp_path):
            pass
    assert open_files() == before


def test_two_trainings_to_one_folder_are_refused(tmp_path):
    with training_alone(tmp_path), pytest.raises(TrainingError, match="another process is train"):
        training_alone(tmp_path).__enter__()
    with training_alone(tmp_path):
        pass


def test_a_fork_does_not_hold_the_lock(tmp_path):
    lives, says = os.pipe()
    with alone_in(tmp_path):
        child = os.fork()
        if not child:
            os.write(says, b"here")
            os.read(os.pipe()[0], 1)  # for ever
            os._exit(0)
    try:
        assert os.read(lives, 4) == b"here"
        with alone_in(tmp_path) as alone:
            assert alone
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
