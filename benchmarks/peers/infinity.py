"""Runs infinity on the same checkpoint folder, with a fair client."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import PeerUnavailable
from benchmarks.peers.environment import environment
from benchmarks.peers.worker import as_installed

__all__ = ["InfinityServer", "running"]

_HOST = "127.0.0.1"
_START_SECONDS = 300.0
_ANSWER_SECONDS = 600.0


class InfinityServer:
    """A running server; any number of threads may ask, each over a connection that stays open."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.url = f"http://{_HOST}:{port}"
        self._port = port
        self._mine = threading.local()

    def embed_images(self, items: Sequence[bytes]) -> np.ndarray:
        """Ask for unit rows [N, D] of encoded images; infinity takes 32 in a call."""
        urls = [f"data:image/jpeg;base64,{base64.b64encode(each).decode()}" for each in items]
        return self._embed({"input": urls, "modality": "image"})

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Ask for unit rows [N, D] of texts; infinity takes 2048 in a call.

        infinity cuts a text after 20 tokens (transformers' default ``max_length`` of any config,
        not the checkpoint's 64), so only shorter texts compare.
        """
        return self._embed({"input": list(texts)})

    def _embed(self, request: dict[str, Any]) -> np.ndarray:
        # infinity's documentation calls base64 the fast encoding.
        body = json.dumps({"model": "align", "encoding_format": "base64", **request})
        try:
            status, content = self._post(body)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # infinity closes connections that are idle for some seconds.
            status, content = self._post(body)
        if status != 200:
            raise RuntimeError(f"infinity answered {status}: {content[:500].decode()}")
        rows = sorted(json.loads(content)["data"], key=lambda row: row["index"])
        return np.stack(
            [np.frombuffer(base64.b64decode(row["embedding"]), np.float32) for row in rows]
        )

    def _post(self, body: str) -> tuple[int, bytes]:
        if not hasattr(self._mine, "connection"):
            self._mine.connection = http.client.HTTPConnection(
                _HOST, self._port, timeout=_ANSWER_SECONDS
            )
        connection: http.client.HTTPConnection = self._mine.connection
        try:
            connection.request("POST", "/embeddings", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except BaseException:
            connection.close()  # an unfinished request would block the next one
            raise


@contextmanager
def running(folder: Path) -> Iterator[InfinityServer]:
    """Run infinity on ``folder`` and a free loopback port, and yield when it has embedded a text.

    Raises:
        PeerUnavailable: infinity cannot be installed, or does not serve the folder; the message has
            its own words.
    """
    python = environment("infinity")
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="bench-infinity-") as place:
        log = Path(place) / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                _command(python, folder, port), env=_environment(), stdout=output, stderr=output
            )
        try:
            server = InfinityServer(process.pid, port)
            _wait_until_answering(server, process, log)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _command(python: Path, folder: Path, port: int) -> list[str]:
    # All other options keep their defaults. Of batch sizes 2, 4 and 32 (the default), 32 halves the
    # time of texts on a CPU and is within the noise of the others for images.
    return [
        str(python.with_name("infinity_emb")),
        "v2",
        *("--model-id", str(folder.absolute()), "--served-model-name", "align"),
        *("--engine", "torch", "--device", "cpu", "--dtype", "float32"),
        # BetterTransformer ended with transformers 4.49, and never knew ALIGN.
        "--no-bettertransformer",
        # The warm-up embeds 32 images at a time, which takes more than a minute on a small CPU and
        # memory that stays taken. The benchmark's uncounted run warms infinity up.
        "--no-model-warmup",
        *("--host", _HOST, "--port", str(port), "--log-level", "warning"),
    ]


def _environment() -> dict[str, str]:
    return {**as_installed(), "DO_NOT_TRACK": "1", "COLUMNS": "200"}


def _wait_until_answering(
    server: InfinityServer, process: subprocess.Popen[bytes], log: Path
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.embed_texts(["a photo of a cat"])
            return
        except ConnectionRefusedError:
            pass  # the server is loading
        except (RuntimeError, http.client.HTTPException, OSError) as error:
            raise PeerUnavailable(f"infinity loads, but does not embed: {error}") from error
        try:
            code = process.wait(0.1)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise PeerUnavailable(
                    f"infinity does not answer within {_START_SECONDS:g} s{_last_words(log)}"
                ) from None
        else:
            raise PeerUnavailable(f"infinity ended with exit code {code}{_last_words(log)}")


def _last_words(log: Path) -> str:
    return "\n".join([":", *log.read_text(errors="replace").strip().splitlines()[-10:]])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
