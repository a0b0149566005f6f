"""Starting a tritonserver on the model repository, watching over it and ending it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from align_zoo.errors import AlignZooError
from align_zoo.serving.options import ServeOptions, command, environment
from align_zoo.serving.probe import explain, probe
from align_zoo.serving.tritonserver import find_tritonserver

__all__ = ["ServerProcess", "run_server", "serve"]

_SHARED_MEMORY = Path("/dev/shm")
_STOP_SECONDS = 40.0
"""Triton gives running requests 30 seconds."""


class ServerProcess:
    """One run of tritonserver.

    Args:
        options: what to serve, and where.
        log: where its output goes; None for this process's own.

    Raises:
        AlignZooError: there is no tritonserver, no model repository, or it cannot run here.
    """

    def __init__(self, options: ServeOptions, *, log: Path | None = None) -> None:
        self.grpc_url = f"{options.host}:{options.grpc_port}"
        self.http_url = f"{options.host}:{options.http_port}"
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        # Its own, so that what a crash leaves in /dev/shm is known, and no other server's.
        self._prefix = f"align_zoo_{uuid.uuid4().hex[:12]}_"
        server = find_tritonserver()
        self._command = command(server, options, shm_prefix=self._prefix)
        self._env = environment(server, options, os.environ)

    @property
    def pid(self) -> int | None:
        """Of the running server; None before ``start``."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, without waiting for anything."""
        output: IO[bytes] | None = self.log.open("wb") if self.log else None
        try:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                # Ctrl-C goes to the whole session of a terminal; the server gets it once, from us.
                start_new_session=True,
            )
        finally:
            if output:
                output.close()

    def send_signal(self, number: int) -> None:
        """Pass a signal on; nothing happens before the start and after the end."""
        if self._process:
            self._process.send_signal(number)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, 128 + n if signal n ended it.

        Raises:
            subprocess.TimeoutExpired: it still runs after ``timeout`` seconds.
        """
        assert self._process is not None, "start() comes first"
        code = self._process.wait(timeout)
        self._remove_shared_memory()
        return code if code >= 0 else 128 - code

    def stop(self) -> int:
        """Let running requests finish, end it, and return its exit code."""
        self.send_signal(signal.SIGTERM)
        try:
            return self.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            assert self._process is not None
            os.killpg(self._process.pid, signal.SIGKILL)  # the models' processes too
            return self.wait()

    def wait_until_answering(self, timeout: float = 300.0) -> None:
        """Return when a real inference of both models succeeds.

        Raises:
            AlignZooError: the server ended, or ``timeout`` seconds passed; with its last words.
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
                        f"no answer from tritonserver within {timeout:g} s: {why}"
                        f"{self._last_words()}"
                    ) from None
            else:
                raise AlignZooError(f"tritonserver ended with exit code {code}{self._last_words()}")

    def _last_words(self) -> str:
        if not self.log:
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        # Triton ends with tables of its options; what went wrong stands before them.
        telling = [line for line in lines if line and line[0] not in "I+|"][-15:]
        return "\n".join([f"; from its log ({self.log}):", *(telling or lines[-15:])])

    def _remove_shared_memory(self) -> None:
        for file in _SHARED_MEMORY.glob(f"{self._prefix}*"):
            file.unlink(missing_ok=True)


@contextmanager
def run_server(
    options: ServeOptions, *, log: Path, timeout: float = 300.0
) -> Iterator[ServerProcess]:
    """A server in the background that answers; it is stopped on leaving.

    Raises:
        AlignZooError: it cannot start, or gives no answer within ``timeout`` seconds.
    """
    server = ServerProcess(options, log=log)
    server.start()
    try:
        server.wait_until_answering(timeout)
        yield server
    finally:
        server.stop()


def serve(options: ServeOptions) -> int:
    """Run a server in the foreground, passing signals on; its exit code."""
    server = ServerProcess(options)
    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        # Triton knows no hang-up: a closed terminal ends the server, too.
        received.append(signal.SIGTERM if number == signal.SIGHUP else number)
        server.send_signal(received[-1])

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, forward) for number in signals}
    try:
        server.start()
        if received:  # between the first line and the start
            server.send_signal(received[-1])
        return server.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
