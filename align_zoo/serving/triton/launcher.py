"""A bare tritonserver on loopback ports, for tests, demonstrations and measurements."""

from __future__ import annotations

import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from align_zoo.errors import AlignZooError
from align_zoo.serving.probe import explain, probe
from align_zoo.serving.triton.command import ServeOptions, tcp_ports
from align_zoo.serving.triton.output import last_words
from align_zoo.serving.triton.process import TritonProcess, how_it_ended

__all__ = ["ServerProcess", "run_server"]

_STOP_SECONDS = 40.0
"""The wait for a server's end; Triton gives running requests 30 seconds."""


class ServerProcess(TritonProcess):
    """One run of tritonserver on TCP, without supervision.

    >>> server = ServerProcess(ServeOptions("align_tiny").on_free_ports())
    >>> server.start()
    >>> server.wait_until_answering()
    >>> server.stop()
    0

    Args:
        options: the models to serve, and the addresses.
        log: the file for the server's output; None for this process's own output.

    Raises:
        AlignZooError: there is no tritonserver, no model repository, or the server cannot run here.
    """

    def __init__(self, options: ServeOptions, *, log: Path | None = None) -> None:
        super().__init__(options, tcp_ports(options), f"align_zoo_{uuid.uuid4().hex[:12]}_")
        self.grpc_url = f"{options.host}:{options.grpc_port}"
        self.http_url = f"{options.host}:{options.http_port}"
        self.log = log

    def start(self) -> None:
        """Start the server and return at once."""
        if self.log is None:
            self.launch()
        else:
            with self.log.open("wb") as output:
                self.launch(output)

    def stop(self) -> int:
        """Let running requests finish, end the server, and return its exit code."""
        self.send_signal(signal.SIGTERM)
        try:
            return self.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.wait()

    def wait_until_answering(self, timeout: float = 300.0) -> None:
        """Wait until a real inference of both models succeeds.

        Raises:
            AlignZooError: the server ended, or ``timeout`` seconds passed; the message
                has the server's last lines.
        """
        deadline = time.monotonic() + timeout
        while True:
            well, why = explain(probe(self.grpc_url))
            if well:
                return
            try:
                code = self.wait(0.2)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise AlignZooError(
                        f"no answer from tritonserver within {timeout:g} s: {why}{self._log_end()}"
                    ) from None
            else:
                raise AlignZooError(f"{how_it_ended(code)}{self._log_end()}")

    def _log_end(self) -> str:
        if not self.log:
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([f"; from its log ({self.log}):", *last_words(lines)])


@contextmanager
def run_server(
    options: ServeOptions, *, log: Path, timeout: float = 300.0
) -> Iterator[ServerProcess]:
    """Run a server in the background that answers; stop the server at the end of the block.

    Raises:
        AlignZooError: the server cannot start, or does not answer within ``timeout`` seconds.
    """
    server = ServerProcess(options, log=log)
    server.start()
    try:
        server.wait_until_answering(timeout)
        yield server
    finally:
        server.stop()
