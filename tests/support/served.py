"""The mark `served`, of tests that start a tritonserver: a plugin that tests/conftest.py registers.

A test gets the mark from a fixture under `@starts_server`; a test that starts a server in its own
body carries the mark itself. A run fails if a test without the mark has started a server.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

__all__ = ["starts_server"]

_VARIABLE = "ALIGN_ZOO_TESTS_STARTED_BY"
"""In the environment of all that a test starts: the run, and the test unless it has the mark."""
_PERIOD = 0.3
"""Seconds between two looks at the processes. A server that ends sooner may stay unseen."""

Function = TypeVar("Function", bound=Callable)


def starts_server(fixture: Function) -> Function:
    """Mark each test that uses the fixture as `served`; stands below `@pytest.fixture`."""
    fixture.starts_server = True
    return fixture


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # The names alone would not do: modules have a fixture `server` of their own.
        known = item._fixtureinfo.name2fixturedefs if hasattr(item, "_fixtureinfo") else {}
        if any(getattr(uses[-1].func, "starts_server", False) for uses in known.values()):
            item.add_marker("served")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):  # once, not in each process of xdist
        os.environ[_VARIABLE] = run = uuid.uuid4().hex
        command = [sys.executable, "-I", __file__, run]
        session.config.watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    run = os.environ[_VARIABLE].partition(" ")[0]
    marked = item.get_closest_marker("served")
    os.environ[_VARIABLE] = run if marked else f"{run} {item.nodeid}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    if watch := getattr(session.config, "watch", None):
        watch.terminate()
        session.config.unmarked = watch.communicate()[0].splitlines()
        if session.config.unmarked:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    if unmarked := getattr(config, "unmarked", None):
        terminalreporter.section("a tritonserver was started without the mark `served`", red=True)
        terminalreporter.write_line("\n".join(unmarked))


def _watch(run: str) -> None:
    """Print each test without the mark that has started a tritonserver, until the run ends."""
    begin, found = f"{_VARIABLE}={run} ", set()
    while os.getppid() != 1:
        for comm in Path("/proc").glob("[0-9]*/comm"):
            try:
                if comm.read_bytes() != b"tritonserver\n":
                    continue
                variables = comm.with_name("environ").read_text(errors="replace").split("\0")
            except OSError:  # the process has ended, or is another user's
                continue
            for test in {each.removeprefix(begin) for each in variables if begin in each} - found:
                print(test, flush=True)
                found.add(test)
        time.sleep(_PERIOD)


if __name__ == "__main__":
    _watch(sys.argv[1])
