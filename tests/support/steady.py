"""Callers who ask what they know the answer to, one request at a time, whatever happens."""

import threading
import time
from typing import NamedTuple

import numpy as np
from calls import ask
from tritonclient import grpc
from tritonclient.utils import InferenceServerException


class Failed(NamedTuple):
    asked: float
    """When, in time.monotonic's seconds."""
    words: str


class Steady:
    """Threads that ask ``known`` questions, without retries, while the block runs.

    ``known`` are (model, item, its embedding [D]).
    """

    def __init__(self, url, known, callers=2):
        self._url = url
        self._known = known
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(callers)]
        self.right = {"align_image": 0.0, "align_text": 0.0}
        """By model, when its last right answer was asked for."""
        self.wrong = []
        self.errors = []

    def right_since(self, moment):
        return min(self.right.values()) > moment

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, start):
        with grpc.InferenceServerClient(self._url) as client:
            number = start
            while not self._stop.is_set():
                self._ask(client, *self._known[number % len(self._known)])
                number += 1
                self._stop.wait(0.01)  # steady, not as much as it can bear

    def _ask(self, client, model, item, *vectors):
        begin = time.monotonic()
        try:
            answer = ask(client, model, [item]).as_numpy("EMBEDDING")
        except InferenceServerException as error:
            words = f"{error.status()}: {error.message()}".removeprefix("StatusCode.")
            self.errors.append(Failed(begin, words))
            return
        if any(np.allclose(answer, vector, atol=1e-4) for vector in vectors):
            self.right[model] = begin
        else:
            self.wrong.append((model, item))
