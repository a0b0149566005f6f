"""Waiting for what is to become true, rather than for a time."""

import socket
import time


def wait_until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def wait_for_port(port):
    """Until somebody listens: tritonserver answers over gRPC before its metrics can be read."""

    def listens():
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", int(port))) == 0

    wait_until(listens)
