"""Requests that were with a server at its death: tried alone, then refused after another death.

A request that ends tritonserver or a model's process also ends the next server when its caller
retries. Nothing shows which of the requests caused a death. So each of these requests is let
through alone once, and an answer clears the request. A popular label is present at every death,
and is still answered.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakSet

import grpc

from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.refusal import Reason, Refusal
from align_zoo.serving.log import event
from align_zoo.serving.routing import Backend

__all__ = ["Content", "Suspects"]

_REFUSED_SECONDS = 600.0
_REMEMBERED_SECONDS = 1200.0
"""While a suspect is remembered, each request is read a second time, for its digest."""
_REMEMBERED = 4096
"""The most requests that are remembered; by their digests, without content."""
_DOUBTFUL = 3
"""Deaths after which a request is refused even if there are other suspects."""
_LEFT_SECONDS = 10.0
"""The request of a caller that left at most so long before a death counts as present: a model that
hangs is given up after five seconds, and its caller may give up earlier.
"""
_MOST_LEFT = 256
_NO_ANSWER = (
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
)


class Content:
    """The identity of a request: equal requests have equal digests.

    Args:
        model: the requested model.
        id: the request's id, for the log.
        parts: returns the request's bytes without the id; called only if there are suspects.
    """

    def __init__(
        self, model: str, id: str, parts: Callable[[], Iterable[bytes | memoryview]]
    ) -> None:
        self.model = model
        self.id = id
        self._parts = parts

    @cached_property
    def digest(self) -> bytes:
        """The digest of the model's name and the bytes."""
        digest = hashlib.blake2b(self.model.encode(errors="surrogateescape"), digest_size=16)
        for part in self._parts():
            digest.update(b"\0")
            digest.update(part)
        return digest.digest()

    def let_go(self) -> None:
        """Keep only the digest, and free the bytes."""
        _ = self.digest
        self._parts = tuple


@dataclass
class _Suspect:
    deaths: int
    last: float
    """The time of the last death."""
    refused: bool = False


class Suspects:
    """Remembers the requests that were with a server at its death. For one event loop.

    >>> suspects = Suspects(metrics)
    >>> suspects.check(content)
    >>> with suspects.at_work(backend, content):
    ...     await upstream.call_grpc(backend, path, request, seconds)

    Args:
        metrics: counts the requests that are refused.
        clock: seconds, as ``time.monotonic``.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._known: OrderedDict[bytes, _Suspect] = OrderedDict()
        self._there: dict[Backend, set[Content]] = {}
        self._broken: WeakSet[Backend] = WeakSet()
        """The backends that have broken off a call, and have not answered since."""
        self._left: deque[tuple[float, Backend, Content]] = deque(maxlen=_MOST_LEFT)

    def check(self, content: Content) -> None:
        """Return if the request may go to a server.

        Raises:
            Refusal: POISONED: a server has died of the request.
        """
        suspect = self._suspect(content)
        if suspect and suspect.refused:
            seconds = suspect.last + _REFUSED_SECONDS - self._clock()
            raise Refusal(
                Reason.POISONED,
                f"poisoned: the server died {suspect.deaths} times while it worked on this "
                f"request, which is refused for another {seconds:.0f} s",
            )

    def suspected(self, content: Content) -> bool:
        """Return whether the request must be tried alone."""
        return self._suspect(content) is not None

    @contextmanager
    def at_work(self, backend: Backend, content: Content) -> Iterator[None]:
        """Hold the request at the backend for the time of the block; a normal exit is an answer.

        Raises:
            Refusal: DIED with a different message, if the block raised DIED and other requests
                were at the backend, too: then a retry of this request is unlikely to do harm.
        """
        # A dying server breaks off its calls first. Requests that arrive before the supervisor
        # has seen the server's end are no suspects.
        late = backend in self._broken
        if not late:
            self._there.setdefault(backend, set()).add(content)
        try:
            yield
        except grpc.aio.AioRpcError as error:
            if error.code() in _NO_ANSWER:
                self._leave(backend, content)
            else:
                self._answered(content)
            raise
        except Refusal as refusal:
            if refusal.reason is not Reason.DIED:
                raise
            with_others = late or self._has_others(backend, content)
            self._broken.add(backend)
            self._leave(backend, content)
            words = f"{refusal.message} and others" if with_others else refusal.message
            raise Refusal(Reason.DIED, words) from refusal
        except BaseException:
            self._leave(backend, content)
            raise
        else:
            if late:  # only a connection had broken
                self._broken.discard(backend)
            self._answered(content)
        finally:
            there = self._there.get(backend, set())
            there.discard(content)
            if not there:
                self._there.pop(backend, None)

    def _has_others(self, backend: Backend, content: Content) -> bool:
        there = self._there[backend] | {left for _, b, left in self._left if b is backend}
        return there != {content}

    def _leave(self, backend: Backend, content: Content) -> None:
        if content in self._there.get(backend, ()):
            content.let_go()
            self._left.append((self._clock(), backend, content))

    def died(self, backend: Backend, model: str = "") -> int:
        """Suspect all requests that were with a backend that died or hangs.

        Args:
            backend: the backend.
            model: the model whose process died; empty if the whole server died.

        Returns:
            The number of requests that were with the backend.
        """
        now = self._clock()
        there = {*self._there.get(backend, ())}
        there |= {c for left, b, c in self._left if b is backend and now - left <= _LEFT_SECONDS}
        there = {c for c in there if not model or c.model == model}
        different = {c.digest: c for c in there}
        suspected = [c for c in different.values() if self._suspect(c)]
        for digest, content in different.items():
            suspect = self._known.setdefault(digest, _Suspect(0, now))
            self._known.move_to_end(digest)
            suspect.deaths, suspect.last = suspect.deaths + 1, now
            # A known suspect was let through alone. With two known suspects, the cause is unclear.
            if suspected == [content] or suspect.deaths >= _DOUBTFUL:
                self._refuse(suspect, content)
        self._forget()
        return len(there)

    def _refuse(self, suspect: _Suspect, content: Content) -> None:
        suspect.refused = True
        self._metrics.poisoned.labels(content.model).inc()
        event(
            "poisoned",
            level=logging.ERROR,
            id=content.id,
            model=content.model,
            digest=content.digest.hex(),
            deaths=suspect.deaths,
            refused_seconds=_REFUSED_SECONDS,
        )

    def _suspect(self, content: Content) -> _Suspect | None:
        self._forget()
        if not self._known:  # the usual case: no request is read twice
            return None
        suspect = self._known.get(content.digest)
        if suspect and self._clock() - suspect.last > _REFUSED_SECONDS:
            suspect.refused = False  # tried alone again; one more death is enough to refuse
        return suspect

    def _forget(self) -> None:
        """Drop old suspects; the suspects with the oldest last death come first."""
        now = self._clock()
        while self._known:
            digest, suspect = next(iter(self._known.items()))
            if len(self._known) <= _REMEMBERED and now - suspect.last <= _REMEMBERED_SECONDS:
                return
            del self._known[digest]

    def _answered(self, content: Content) -> None:
        if self._known:
            self._known.pop(content.digest, None)
