"""Global settings that another library may change in the process, each as a context."""

from __future__ import annotations

import contextlib
import locale
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch.backends import cudnn, mkldnn


@contextmanager
def setting(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> Iterator[None]:
    was = read()
    write(value)
    try:
        yield
    finally:
        write(was)


def attribute(thing: Any, name: str, value: Any) -> contextlib.AbstractContextManager[None]:
    return setting(partial(getattr, thing, name), partial(setattr, thing, name), value)


@contextmanager
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextmanager
def newer_precision() -> Iterator[None]:
    """Set as the older interface cannot say it, after which that fails."""
    with (
        attribute(mkldnn.matmul, "fp32_precision", "bf16"),
        attribute(mkldnn.conv, "fp32_precision", "bf16"),
    ):
        with pytest.raises(RuntimeError):
            torch.get_float32_matmul_precision()
        yield


def default_dtype(dtype: torch.dtype) -> contextlib.AbstractContextManager[None]:
    return setting(torch.get_default_dtype, torch.set_default_dtype, dtype)


def start_method(name: str) -> contextlib.AbstractContextManager[None]:
    write = partial(multiprocessing.set_start_method, force=True)
    return setting(multiprocessing.get_start_method, write, name)


MATMUL = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision


DETERMINISTIC = (
    torch.are_deterministic_algorithms_enabled,
    torch.use_deterministic_algorithms,
)


ORDINARY: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "no gradients": torch.no_grad,
    "deterministic": lambda: setting(*DETERMINISTIC, True),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "no denormals": lambda: setting(lambda: False, torch.set_flush_denormal, True),
    "one thread": lambda: setting(torch.get_num_threads, torch.set_num_threads, 1),
    "cuDNN's choice": lambda: attribute(cudnn, "benchmark", True),
    "TF32 convolutions": lambda: attribute(cudnn, "allow_tf32", True),
    "numpy raises": lambda: np.errstate(all="raise"),
    "numpy prints little": lambda: np.printoptions(threshold=1, precision=1),
    "locale C": lambda: setting(
        lambda: locale.setlocale(locale.LC_ALL), lambda x: locale.setlocale(locale.LC_ALL, x), "C"
    ),
    "spawn": lambda: start_method("spawn"),
}
"""Nothing of ours has ever felt these."""


TRACED: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta device": lambda: setting(
        torch.get_default_device, torch.set_default_device, torch.device("meta")
    ),
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "imprecise matmul": lambda: setting(*MATMUL, "medium"),
    "newer precision": newer_precision,
    "warnings are errors": warnings_are_errors,
    "short recursion": lambda: setting(sys.getrecursionlimit, sys.setrecursionlimit, 400),
}
"""What building, tracing and computing a tower may depend on."""


def together(
    states: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]],
) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """All states at once, as one context."""

    @contextmanager
    def all_of_them() -> Iterator[None]:
        with contextlib.ExitStack() as entered:
            for state in states.values():
                entered.enter_context(state())
            yield

    return all_of_them


def _pick(*names: str) -> dict[str, Callable[[], contextlib.AbstractContextManager[Any]]]:
    return {name: TRACED[name] for name in names}


AT_ONCE = {
    "all ordinary": together(ORDINARY),
    "float64 and more": together(
        _pick("float64", "inference mode", "imprecise matmul", "short recursion")
    ),
    "bfloat16 and more": together(
        _pick("bfloat16", "meta device", "autocast", "newer precision", "warnings are errors")
    ),
}
"""Every state, in three contexts: what takes seconds under each."""
