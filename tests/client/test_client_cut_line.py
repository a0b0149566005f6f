"""A server that is gone without a word, as a machine without power: its line is cut.

In a network of its own, whose one interface goes down and comes up again.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import scripted
from scripted import Scripted

from align_client import AlignClient, AlignClientError

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


def loopback(up: bool) -> None:
    with socket.socket() as any_socket:
        change = struct.pack("16sh", b"lo", _IFF_UP if up else 0)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, change)


def cut_and_mend(timeout: float) -> dict[str, object]:
    """Return the error of a call during the cut, its seconds, and the next call's answer."""
    loopback(True)
    server = Scripted()
    with (
        AlignClient(server.url, timeout=timeout, retries=False) as client,
        # gRPC may give its next call the very connection that is just being given up.
        AlignClient(server.url, timeout=timeout) as patient,
    ):
        client.embed_text("a")
        patient.embed_text("a")
        loopback(False)
        begin = time.perf_counter()
        try:
            client.embed_text("b")
        except AlignClientError as error:
            told = {"error": type(error).__name__, "words": str(error)}
        told["seconds"] = time.perf_counter() - begin
        loopback(True)
        told["afterwards"] = patient.embed_text("c").tolist()
    server.stop()
    return told


@pytest.fixture(scope="module")
def told() -> dict[str, object]:
    command = ["unshare", "--net", "--map-root-user", sys.executable, __file__, "60"]
    support = str(Path(scripted.__file__).parent)
    env = {**os.environ, "PYTHONPATH": support}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_cut_connection_ends_call_before_deadline(told: dict[str, object]) -> None:
    assert told["error"] == "ServerUnavailable", told
    assert 9 < told["seconds"] < 30


def test_next_call_reconnects(told: dict[str, object]) -> None:
    assert len(told["afterwards"]) == 1


if __name__ == "__main__":
    print(json.dumps(cut_and_mend(float(sys.argv[1]))))
