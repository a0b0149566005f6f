"""Runs our tritonserver on the repository that wraps transformers.

The models import the transformers and torch of our own environment: the Python backend of the
server's wheel runs the Python that starts tritonserver.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from align_zoo.errors import AlignZooError
from align_zoo.serving.triton.command import ServeOptions
from align_zoo.serving.triton.launcher import ServerProcess
from benchmarks.peers import PeerUnavailable
from benchmarks.peers.worker import as_installed

__all__ = ["TritonPeer", "running"]

_REPOSITORY = Path(__file__).with_name("repository")
_TEXTS_AT_ONCE = 64
"""The max_batch_size of hf_text."""
_START_SECONDS = 300.0
_ANSWER_SECONDS = 600.0


class TritonPeer:
    """A running server; any number of threads may ask."""

    def __init__(self, pid: int, grpc_url: str, client: grpc.InferenceServerClient) -> None:
        self.pid = pid
        self.grpc_url = grpc_url
        self._client = client

    def embed_image(self, item: bytes) -> np.ndarray:
        """Ask for the unit embedding [D] of an encoded image."""
        return self._ask("hf_image", "IMAGE", [item])[0]

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Ask for unit rows [N, D], in batches of the model's size."""
        items = [text.encode() for text in texts]
        starts = range(0, len(items), _TEXTS_AT_ONCE)
        chunks = [self._ask("hf_text", "TEXT", items[i : i + _TEXTS_AT_ONCE]) for i in starts]
        return np.concatenate(chunks)

    def _ask(self, model: str, name: str, items: list[bytes]) -> np.ndarray:
        tensor = grpc.InferInput(name, [len(items), 1], "BYTES")
        tensor.set_data_from_numpy(np.array(items, dtype=np.object_).reshape(-1, 1))
        answer = self._client.infer(model, [tensor], client_timeout=_ANSWER_SECONDS)
        rows: np.ndarray = answer.as_numpy("EMBEDDING")
        return rows


@contextmanager
def running(folder: Path) -> Iterator[TritonPeer]:
    """Run the wrapper on ``folder`` and free loopback ports; yield when it has embedded a text.

    Triton listens when both models are loaded, so one embedded text shows that both answer.

    Raises:
        PeerUnavailable: there is no tritonserver, or it does not serve the folder.
    """
    with tempfile.TemporaryDirectory(prefix="bench-triton-") as place:
        log = Path(place) / "log"
        options = ServeOptions(repository=_REPOSITORY).on_free_ports()
        try:
            env = as_installed() | {"HF_ALIGN_FOLDER": str(folder.absolute())}
            with patch.dict(os.environ, env, clear=True):
                server = ServerProcess(options, log=log)
        except AlignZooError as error:
            raise PeerUnavailable(str(error)) from error
        server.start()
        try:
            # Our own client does the same: the default limit of 4 MB is small for photographs.
            unlimited = [
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
                ("grpc.enable_http_proxy", 0),
            ]
            with grpc.InferenceServerClient(server.grpc_url, channel_args=unlimited) as client:
                assert server.pid is not None
                peer = TritonPeer(server.pid, server.grpc_url, client)
                _wait_until_answering(peer, server, log)
                yield peer
        finally:
            server.stop()


def _wait_until_answering(peer: TritonPeer, server: ServerProcess, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            peer.embed_texts(["a photo of a cat"])
            return
        except InferenceServerException as error:
            why = error.message()
        try:
            code = server.wait(0.2)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise PeerUnavailable(f"no answer within {_START_SECONDS:g} s: {why}") from None
        else:
            words = log.read_text(errors="replace").strip().splitlines()
            # The error is above the tables of options.
            telling = [line for line in words if line and line[0] not in "I+|"][-10:]
            raise PeerUnavailable(
                "\n".join([f"tritonserver ended with exit code {code}", *telling])
            )
