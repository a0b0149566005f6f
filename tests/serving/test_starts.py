"""What goes wrong while a service starts: named at once, or mended."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from serving import begin, events, serving
from waiting import wait_until

from align_zoo.serving.triton.processes import awaited_children, is_alive, triton_processes


@pytest.mark.served
def test_sigterm_during_the_start_is_no_error(tmp_path):
    with serving(tmp_path, start=False) as service:
        begin(service)
        wait_until(lambda: "loading: align_text" in service.log.read_text())
        service.process.terminate()
        assert service.process.wait(30) == 0
        assert not list(service.tmp.glob("align-zoo*"))


@pytest.mark.served
@pytest.mark.parametrize(
    ("process", "words"),
    [
        (
            lambda service: service.tritonserver(),
            "tritonserver was killed (SIGKILL); the kernel does so when memory runs out",
        ),
        (
            lambda service: service.model_process("align_image"),
            "process died while it loaded; the kernel's log tells whether memory ran out",
        ),
    ],
)
def test_kill_during_load_is_named_at_once(tmp_path, process, words):
    def is_there():
        with suppress(StopIteration):
            return process(service)

    with serving(tmp_path, start=False) as service:
        begin(service)
        wait_until(is_there)
        os.kill(is_there(), signal.SIGKILL)
        assert service.process.wait(60) == 1
        assert words in service.log.read_text().splitlines()[-1]


@pytest.mark.served
def test_slow_model_abandoned_by_tritonserver_is_restarted(tmp_path):
    def initializes():
        with suppress(StopIteration, OSError):
            return "numpy" in Path(f"/proc/{service.model_process('align_text')}/maps").read_text()

    with serving(tmp_path, start=False) as service:
        begin(service)
        wait_until(initializes)
        slow, server = service.model_process("align_text"), service.tritonserver()
        os.kill(slow, signal.SIGSTOP)
        wait_until(lambda: slow in awaited_children(server))
        wait_until(lambda: events(service, "started"))
        (failed,) = events(service, "start_failed")
        assert "took a model's process for dead that only was slow" in failed["reason"]
        assert not is_alive(slow)
        assert not is_alive(server)


@pytest.mark.served
def test_aborting_tritonserver_is_restarted_a_bounded_time(tmp_path):
    def loads():
        return server(1 + len(aborted)) and "loading: align_text" in service.log.read_text()

    def server(number):
        # Another test's service has such a server, too, and until its exec a model's process has
        # the command line of its parent, which comes before it here.
        found = triton_processes(f"/{number}/grpc")
        return next((pid for pid in service.pids() if pid in found), None)

    aborted = []
    with serving(tmp_path, start=False) as service:
        begin(service)
        while len(aborted) < 3:
            wait_until(loads)
            aborted.append(server(1 + len(aborted)))
            os.kill(aborted[-1], signal.SIGABRT)
        assert service.process.wait(60) == 1
        assert [each["number"] for each in events(service, "start_failed")] == [1, 2]
        assert "tritonserver ended with exit code 134" in service.log.read_text().splitlines()[-1]
