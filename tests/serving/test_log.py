"""What is told on stderr: nobody depends on its being read, or on room on a disk."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving import serving
from waiting import wait_until

from align_zoo.serving import log

FULL = Path("/dev/full")


@contextmanager
def full_pipe():
    """A pipe without room for another byte: the end to read, the end to write, and how much."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    size = 0
    try:
        while True:
            size += os.write(writer, b"\n")
    except BlockingIOError:
        os.set_blocking(writer, True)
    try:
        yield reader, writer, size
    finally:
        os.close(reader)
        os.close(writer)


def begin(service, output):
    """Start it with its stderr at a descriptor, and return when it serves."""
    service.process = subprocess.Popen(service.command, env=service.env, stderr=output)
    wait_until(lambda: service.ended() or service.health().get("ready"))
    assert not service.ended()


@pytest.mark.served
def test_full_log_disk_does_not_affect_callers(tmp_path):
    with serving(tmp_path, start=False) as service, FULL.open("wb") as disk:
        begin(service, disk)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{service.http}/v2/repository/index", data=b"{}")
        os.kill(service.model_process("align_text"), signal.SIGKILL)
        wait_until(lambda: service.health()["restarts"] == 1 and service.health()["ready"])
        service.process.terminate()
        assert service.process.wait(60) == 0


@pytest.mark.served
def test_unread_log_blocks_nothing(tmp_path):
    with serving(tmp_path, start=False) as service, full_pipe() as (_, writer, _):
        begin(service, writer)
        os.kill(service.model_process("align_text"), signal.SIGKILL)
        wait_until(lambda: service.health()["restarts"] == 1 and service.health()["ready"])
        service.process.terminate()
        assert service.process.wait(60) == 0


def test_lines_keep_order_and_lost_ones_are_counted(monkeypatch):
    monkeypatch.setattr(log, "_MOST_WAITING", 3)
    with full_pipe() as (reader, writer, size):
        monkeypatch.setattr(log, "_STDERR", writer)
        with log.unhindered():
            for number in range(10):
                log.write(str(number))
            assert os.read(reader, size) == b"\n" * size
        *kept, lost = os.read(reader, size).decode().splitlines()
    assert kept == [str(number) for number in range(len(kept))]
    lost = json.loads(lost)
    assert (lost["event"], lost["count"]) == ("lines_lost", 10 - len(kept))
    assert 3 <= len(kept) <= 6


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
def test_unwritable_line_is_lost_alone(where):
    script = "from align_zoo.serving.log import event; event('news'); print('goes on')"
    command = f'"{sys.executable}" -c "{script}" {where}'
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.stdout == "goes on\n"
