"""Requests that a server died with: tried alone from then on, and refused if it dies again.

A request that ends tritonserver or a model's process ends the next server, too, when its caller
sends it again. Which of all that were there it was, nobody tells: so each is let through alone,
once, and an answer clears it. A popular label is there at every death, and is answered.
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
"""As long as any is remembered, each request is read once more, for its digest."""
_REMEMBERED = 4096
"""Requests; their digests, not what was in them."""
_DOUBTFUL = 3
"""Deaths after which a request is refused even if others were suspects with it."""
_LEFT_SECONDS = 10.0
"""How long before a death a caller may have left for its request to count as there: a model that
hangs is given up after five seconds, and its caller may be less patient.
"""
_MOST_LEFT = 256
_NO_ANSWER = (
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
)


class Content:
    """A request, as another one is recognised to be the same.

    Args:
        model: that it asks.
        id: for the log.
        parts: gives its bytes without the id; called only when there are suspects.
    """

    def __init__(
        self, model: str, id: str, parts: Callable[[], Iterable[bytes | memoryview]]
    ) -> None:
        self.model = model
        self.id = id
        self._parts = parts

    @cached_property
    def digest(self) -> bytes:
        """The same for the same model and bytes."""
        digest = hashlib.blake2b(self.model.encode(errors="surrogateescape"), digest_size=16)
        for part in self._parts():
            digest.update(b"\0")
            digest.update(part)
        return digest.digest()

    def let_go(self) -> None:
        """Keep the digest alone: the bytes may be many."""
        _ = self.digest
        self._parts = tuple


@dataclass
class _Suspect:
    deaths: int
    last: float
    """When the last of them was."""
    refused: bool = False


class Suspects:
    """Remembers what was with a server at its death. For one event loop.

    Args:
        metrics: counts what is refused from now on.
        clock: seconds, as ``time.monotonic``.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._known: OrderedDict[bytes, _Suspect] = OrderedDict()
        self._there: dict[Backend, set[Content]] = {}
        self._broken: WeakSet[Backend] = WeakSet()
        """Those that have broken off a call, and have not answered since."""
        self._left: deque[tuple[float, Backend, Content]] = deque(maxlen=_MOST_LEFT)

    def check(self, content: Content) -> None:
        """Return if the request may be given to a server.

        Raises:
            Refusal: a server has died of it.
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
        """Whether it must be tried alone."""
        return self._suspect(content) is not None

    @contextmanager
    def at_work(self, backend: Backend, content: Content) -> Iterator[None]:
        """Within the block the request is with the backend; leaving it normally is an answer.

        Raises:
            Refusal: DIED in other words, where one was raised in the block and other requests were
                with the backend, too: then sending this one again is not likely to do harm.
        """
        # What dies of a request breaks off its calls first. Those that come until its owner has
        # seen its end are no suspects.
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
        """Suspect all that were with a backend that died or hangs.

        Args:
            backend: the one.
            model: whose process it was; empty if it was the whole server.

        Returns:
            How many requests were there.
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
            # Whoever was there before is let through alone. If two were, nobody knows which.
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
        if not self._known:  # as nearly always: then nothing is read twice
            return None
        suspect = self._known.get(content.digest)
        if suspect and self._clock() - suspect.last > _REFUSED_SECONDS:
            suspect.refused = False  # it is tried alone again, and a single death is enough
        return suspect

    def _forget(self) -> None:
        """Those whose last death was long ago stand first."""
        now = self._clock()
        while self._known:
            digest, suspect = next(iter(self._known.items()))
            if len(self._known) <= _REMEMBERED and now - suspect.last <= _REMEMBERED_SECONDS:
                return
            del self._known[digest]

    def _answered(self, content: Content) -> None:
        if self._known:
            self._known.pop(content.digest, None)
