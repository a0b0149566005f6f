"""The real tritonserver that the end-to-end tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import served
import tries  # noqa: F401  its profile, before tests are read

if TYPE_CHECKING:
    from align_zoo.serving.triton.launcher import ServerProcess

# As the served models do, and before torch is loaded: on a busy machine, threads that spin
# while they wait make the suite many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(served)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep exports out of the user's cache, in one cache of all processes of this run.

    An export is found by its checkpoint's fingerprint, and made once under the product's lock.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "user-cache"))
        yield


@pytest.fixture(scope="session")
def served_name() -> str:
    """The checkpoint behind ``server``."""
    return "align_tiny"


@pytest.fixture(scope="session")
@served.starts_server
def server(served_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """tritonserver on align_tiny at ``grpc_url`` and ``http_url``, on free loopback ports.

    Where there is none, or it does not answer, the tests that want it fail and say why.
    """
    # Not above: the client's tests run where align_zoo's packages are not installed.
    from align_zoo.serving.triton.command import ServeOptions
    from align_zoo.serving.triton.launcher import run_server

    log = tmp_path_factory.mktemp("server") / "tritonserver.log"
    options = ServeOptions(model=served_name).on_free_ports()
    with run_server(options, log=log) as running:
        yield running
