"""One tritonserver on Unix sockets, and gateways in front of it."""

import signal
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from calls import INPUTS
from doors import Loop, open_doors, stop, stub_at
from messages import message
from served import starts_server
from waiting import wait_until

from align_zoo.serving.triton.command import ServeOptions, unix_sockets
from align_zoo.serving.triton.process import TritonProcess


@contextmanager
def running(log):
    """A tritonserver on sockets of its own that answers for align_tiny; it, and their folder."""
    with tempfile.TemporaryDirectory(prefix="align-zoo-test-") as name, log.open("wb") as output:
        folder = Path(name)
        prefix = f"align_zoo_{folder.name[-8:]}_"
        server = TritonProcess(ServeOptions(model="align_tiny"), unix_sockets(folder), prefix)
        server.launch(output)
        try:
            with stub_at(f"unix:{folder}/grpc:1") as bare:
                wait_until(lambda: all(judges(bare, model) for model in INPUTS), seconds=240)
            yield server, folder
        finally:
            server.kill()


@pytest.fixture(scope="package")
@starts_server
def shared(tmp_path_factory):
    """A tritonserver for all tests, and the folder of its sockets."""
    with running(tmp_path_factory.mktemp("triton") / "triton.log") as server_and_folder:
        yield server_and_folder


@pytest.fixture(scope="package")
def sockets(shared):
    """The folder of the sockets on which a tritonserver answers for align_tiny."""
    return shared[1]


@pytest.fixture
def held(shared):
    """As a context: the shared tritonserver stands still, with all that it was given."""
    server, _ = shared

    @contextmanager
    def hold():
        stop(server)
        try:
            yield
        finally:
            server.send_signal(signal.SIGCONT)

    return hold


@pytest.fixture
@starts_server
def mortal(tmp_path):
    """A tritonserver for one test, and the folder of its sockets."""
    with running(tmp_path / "triton.log") as server_and_folder:
        yield server_and_folder


def judges(stub, model):
    """Whether it looks at what it gets: nothing at all is neither an image nor a text."""
    try:
        stub.ModelInfer(message(model, [b""]), timeout=10)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.INVALID_ARGUMENT
    return False


@pytest.fixture(scope="package")
def bare(sockets):
    """tritonserver's gRPC without a gateway."""
    with stub_at(f"unix:{sockets}/grpc:1") as stub:
        yield stub


@pytest.fixture(scope="package")
def loop():
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="package")
def doors(loop, sockets):
    """A gateway as it is unless asked otherwise."""
    with open_doors(loop, sockets) as doors:
        yield doors


@pytest.fixture(scope="package")
def stub(doors):
    """Its gRPC."""
    with stub_at(doors.grpc_url) as stub:
        yield stub


@pytest.fixture
def own_doors(loop, sockets):
    """Opens gateways with other options, for one test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(open_doors(loop, sockets, **options))
