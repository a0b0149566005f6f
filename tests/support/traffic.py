"""Callers who go on asking whatever happens, and what became of each request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType

from align_client import AlignClient, AlignClientError
from tests.support.known import Known, mixed
from tests.support.rest_client import RestClient

__all__ = ["Traffic", "Watch"]


class Traffic:
    """Callers in threads of their own, each with one request at a time, while the block runs.

    Args:
        client: shared by them.
        over_http: a client of every fourth of them; None for none.
        requests: what they ask for.
        callers: how many.
    """

    def __init__(
        self,
        client: AlignClient,
        requests: Sequence[Known],
        callers: int = 4,
        over_http: RestClient | None = None,
    ) -> None:
        self._clients = [over_http or client, client, client, client]
        self._requests = requests
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(seed,)) for seed in range(callers)
        ]
        self.sent = 0
        self.wrong = 0
        """Answers that differ from the known ones."""
        self.lost: Counter[str] = Counter()
        """Requests without an answer, by their error."""

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int) -> None:
        for request in mixed(self._requests, seed):
            if self._stop.is_set():
                return
            error, right = None, False
            try:
                right = request.ask(self._clients[seed % 4])
            except AlignClientError as caught:
                error = f"{type(caught).__name__}: {caught}"
            with self._lock:
                self.sent += 1
                if error:
                    self.lost[error] += 1
                elif not right:
                    self.wrong += 1


class Watch:
    """Asks both models again and again without retries: when was there no right answer?

    Args:
        connect: makes the client, one without retries and with a short timeout.
        requests: an image and a text.
    """

    def __init__(self, connect: Callable[[], AlignClient], requests: Sequence[Known]) -> None:
        self._connect = connect
        self._requests = requests
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.since = 0.0
        """The moment of the first right answers after the last fault; 0 while they fail."""
        self.failed = False
        """Whether any failed since :meth:`reset`."""

    def reset(self) -> float:
        """Forget what was; the moment."""
        self.since, self.failed = time.monotonic(), False
        return self.since

    def right_for(self, seconds: float) -> bool:
        """Whether all answers were right for so long."""
        return bool(self.since) and time.monotonic() - self.since > seconds

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._connect() as client:
            while not self._stop.wait(0.05):
                try:
                    well = all(request.ask(client) for request in self._requests)
                except AlignClientError:
                    well = False
                if not well:
                    self.since, self.failed = 0.0, True
                elif not self.since:
                    self.since = time.monotonic()
