"""A Triton server with scripted models, shared by the client's tests."""

import importlib.util
import re
from pathlib import Path

import pytest
from puppets import Puppets, write_model
from served import starts_server
from waiting import wait_until

from align_client import AlignClient, AlignClientError, ModelUnavailable

# Without the library's packages (`make test-client`) the modules that import them are left out.
_LIBRARY = re.compile(r"^(?:from|import) (?:align_zoo|transformers)\b", re.MULTILINE)
_MODULES = sorted(Path(__file__).parent.glob("test_*.py"))
collect_ignore = (
    []
    if importlib.util.find_spec("torch")
    else [path.name for path in _MODULES if _LIBRARY.search(path.read_text(encoding="utf-8"))]
)


def pytest_report_header() -> str:
    return f"left out, for they import the library: {', '.join(collect_ignore) or 'none'}"


@pytest.fixture(scope="session")
@starts_server
def triton(tmp_path_factory):
    """A Triton that serves a model of another name."""
    from align_zoo.serving.triton.command import ServeOptions
    from align_zoo.serving.triton.launcher import ServerProcess

    repository = tmp_path_factory.mktemp("puppets")
    write_model(repository, "something_else")
    options = ServeOptions(
        repository=repository,
        extra=[
            "--model-control-mode=explicit",
            "--load-model=something_else",
            "--exit-timeout-secs=2",
        ],
    ).on_free_ports()
    server = ServerProcess(options, log=tmp_path_factory.mktemp("log") / "triton.log")
    server.start()
    try:
        puppets = Puppets(server, repository)
        with AlignClient(server.grpc_url, timeout=1) as client:
            wait_until(lambda: answers_at_all(client))
        yield puppets
    finally:
        server.stop()


def answers_at_all(client):
    try:
        client.embed_image(b"hello")
    except ModelUnavailable:
        return True
    except AlignClientError:
        return False
    return True


@pytest.fixture
def puppets(triton):
    """The same Triton with both scripted models loaded."""
    triton.load("align_image")
    triton.load("align_text", input="TEXT")
    return triton
