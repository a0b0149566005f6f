"""Sets torch's state of the process and of the thread, which other libraries change.

A tower is built, exported and computed as documented, also after a library has changed the state.
The library's state is restored afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch.backends import cuda, cudnn, mkldnn

__all__ = ["as_documented", "on_cpu", "ordinary"]


@contextmanager
def on_cpu() -> Iterator[None]:
    """Make tensors on the CPU, for training, in this thread.

    A default device and a caller's inference mode have no effect. The default dtype has, because
    all threads share it, so code in this block names its dtypes.
    """
    with torch.device("cpu"), torch.inference_mode(False):
        yield


@contextmanager
def as_documented(
    device: torch.device, threads: int | None = None, *, choosing: bool = False
) -> Iterator[None]:
    """Compute in the dtype that the tensors have; float32 means float32, not TF32 or bfloat16.

    Args:
        device: where to compute.
        threads: CPU threads; by default torch's number.
        choosing: time cuDNN's kernels on every new shape and keep the fastest.
    """
    with ExitStack() as held:
        if torch.amp.is_autocast_available(device.type):  # not on "meta"
            held.enter_context(torch.autocast(device.type, enabled=False))
        held.enter_context(_MATMUL.held_at(_EXACT))
        if device.type == "cuda":
            held.enter_context(_CUDNN.held_at(_EXACT))
            held.enter_context(_ENABLED.held_at(True))
            held.enter_context(_CHOOSING.held_at(choosing))
        else:
            held.enter_context(_CONV.held_at(_EXACT))
        if threads is not None:
            held.enter_context(_THREADS.held_at(threads))
        yield


@contextmanager
def ordinary() -> Iterator[None]:
    """Restore torch's state at its import, to trace a model: on the CPU, in float32."""
    with on_cpu(), as_documented(torch.device("cpu")), _DTYPE.held_at(torch.float32):
        yield


class _Setting:
    """A setting of the whole process, which several threads may change at a time.

    The value before the first thread's change is the value after the last thread's.
    """

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self._read, self._write = read, write
        self._inside, self._outside = 0, None
        self._changing = threading.Lock()

    @contextmanager
    def held_at(self, value: Any) -> Iterator[None]:
        with self._changing:
            if not self._inside:
                self._outside = self._read()
            self._inside += 1
            if self._read() != value:
                self._write(value)
        try:
            yield
        finally:
            with self._changing:
                self._inside -= 1
                self._leave()

    def _leave(self) -> None:
        if not self._inside and self._read() != self._outside:
            self._write(self._outside)


class _Threads(_Setting):
    """torch's number of threads: each thread has its own; a new thread gets the last one set."""

    def _leave(self) -> None:
        if self._read() != self._outside:
            self._write(self._outside)


class _Float32(_Setting):
    """The precision of some operations in float32.

    torch has an older and a newer interface to the precision. The older interface fails once the
    newer has set a value that the older does not know, and changes values of the newer. So both are
    restored.
    """

    def __init__(
        self,
        backend: Any,
        operations: Sequence[Any],
        old: tuple[Callable[[], Any], Callable[[Any], None]] | None = None,
        exact: Any = None,
    ) -> None:
        super().__init__(self._found, self._put)
        self._backend, self._operations = backend, operations
        self._old, self._exact = old, exact

    def _found(self) -> Any:
        """Read ``_EXACT``, or the values of the older (None after an error) and newer interface."""
        values = [operation.fp32_precision for operation in self._operations]
        if all(value in ("none", "ieee") for value in values):
            return _EXACT
        try:
            return self._old and self._old[0](), values
        except RuntimeError:
            return None, values

    def _put(self, found: Any) -> None:
        old, values = found if found != _EXACT else (self._exact, ["ieee"] * len(self._operations))
        if self._old and old is not None and (found != _EXACT or self._readable()):
            self._old[1](old)
        for operation, value in zip(self._operations, values, strict=True):
            now = operation.fp32_precision
            if now != value and {now, value} != {"none", "ieee"}:
                inherited = value == self._backend.fp32_precision
                operation.fp32_precision = "none" if inherited else value

    def _readable(self) -> bool:
        found = self._found()
        return found != _EXACT and found[0] is not None


_EXACT = "exact"
_DTYPE = _Setting(torch.get_default_dtype, torch.set_default_dtype)
_THREADS = _Threads(torch.get_num_threads, torch.set_num_threads)
_ENABLED = _Setting(lambda: cudnn.enabled, partial(setattr, cudnn, "enabled"))
_CHOOSING = _Setting(lambda: cudnn.benchmark, partial(setattr, cudnn, "benchmark"))
_MATMUL = _Float32(
    mkldnn,
    [cuda.matmul, mkldnn.matmul],  # type: ignore[attr-defined]
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    exact="highest",
)
_CONV = _Float32(mkldnn, [mkldnn.conv])  # type: ignore[attr-defined]
_CUDNN = _Float32(
    cudnn,
    [cudnn.conv, cudnn.rnn],  # type: ignore[attr-defined]
    (lambda: cudnn.allow_tf32, partial(setattr, cudnn, "allow_tf32")),
    exact=False,
)
