"""A model that hangs is restarted; one that takes its time is not."""

import queue
import shutil
import signal
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from calls import ask, request
from served import starts_server
from serving import events, serving, shared_memory
from tritonclient import grpc
from tritonclient.utils import InferenceServerException
from waiting import wait_until

REPOSITORY = Path(__file__).parents[2] / "model_repository"
PATIENCE = 5
"""The least, in seconds: align_tiny answers in milliseconds."""

SABOTAGED = textwrap.dedent("""
    import time
    from pathlib import Path
    from align_zoo.serving.model.adapter import TritonAdapter

    class TritonPythonModel:
        def initialize(self, args):
            self.adapter = TritonAdapter("text", args)
            self.embed, self.adapter._service.embed = self.adapter._service.embed, self.sabotage

        def sabotage(self, items):
            if b"hang" in items:
                time.sleep(3600)
            end = time.monotonic()
            if b"work" in items:
                Path("AT_WORK").touch()
                end += 9
            while time.monotonic() < end:
                pass
            return self.embed(items)

        def execute(self, requests):
            return self.adapter.execute(requests)
""")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = shutil.copytree(REPOSITORY, tmp_path_factory.mktemp("sabotaged") / "repository")
    code = SABOTAGED.replace("AT_WORK", str(folder.parent / "at_work"))
    (folder / "align_text" / "1" / "model.py").write_text(code)
    return folder


@pytest.fixture(scope="module")
@starts_server
def service(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, f"--repository={repository}", "--restart-limit=100") as running:
        yield running


@pytest.fixture
def triton(service):
    with grpc.InferenceServerClient(service.url) as client:
        yield client


def test_a_model_that_hangs_is_restarted(service, triton):
    answer = ask(triton, "align_text", [b"a cat"]).as_numpy("EMBEDDING")
    begin = time.monotonic()
    with pytest.raises(InferenceServerException, match="server restarted: ") as error:
        ask(triton, "align_text", [b"hang"])
    assert error.value.status() == "StatusCode.ABORTED"
    assert time.monotonic() - begin < 15
    wait_until(lambda: events(service, "restart"))
    (fault,) = events(service, "fault")
    assert fault["cause"] == "no_answer"
    assert fault["reason"].startswith("align_text has given no right answer for ")
    again = ask(triton, "align_text", [b"a cat"]).as_numpy("EMBEDDING")
    np.testing.assert_allclose(again, answer, atol=1e-5)


def test_model_computing_beyond_its_patience_is_left_alone(service, triton):
    before = len(events(service, "fault"))
    expected = ask(triton, "align_text", [b"a dog"]).as_numpy("EMBEDDING")
    begin = time.monotonic()
    answer = ask(triton, "align_text", [b"work", b"a dog"]).as_numpy("EMBEDDING")
    assert time.monotonic() - begin > PATIENCE + 3
    np.testing.assert_allclose(answer[1:], expected, atol=1e-5)
    assert len(events(service, "fault")) == before
    assert service.health()["ready"]


@contextmanager
def at_work(service, repository):
    """Within the block its text model computes; gives where the call's result and error go."""
    results, begun = queue.SimpleQueue(), repository.parent / "at_work"
    begun.unlink(missing_ok=True)
    with grpc.InferenceServerClient(service.url) as triton:
        triton.async_infer(
            "align_text",
            request("align_text", [b"work"]),
            callback=lambda result, error: results.put((result, error)),
        )
        wait_until(begun.exists)
        yield results


@pytest.mark.served
def test_second_signal_ends_the_service_at_once(repository, tmp_path):
    with serving(tmp_path, f"--repository={repository}") as service:
        with at_work(service, repository) as results:
            service.process.terminate()
            wait_until(lambda: events(service, "stopping"))
            begin = time.monotonic()
            service.process.terminate()
            assert service.process.wait(30) == 128 + signal.SIGTERM
            assert time.monotonic() - begin < 5
            _, error = results.get(timeout=30)
            assert error is not None
        assert not shared_memory(service)
        assert not list(service.tmp.glob("align-zoo*"))


@pytest.fixture
def no_nohup():
    """Under it the tests, and what they start, would ignore SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.served
@pytest.mark.usefixtures("no_nohup")
@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGTERM])
def test_a_terminal_that_closes_is_no_second_signal(repository, tmp_path, first):
    with (
        serving(tmp_path, f"--repository={repository}") as service,
        at_work(service, repository) as results,
    ):
        service.process.send_signal(first)
        wait_until(lambda: events(service, "stopping"))
        service.process.send_signal(signal.SIGHUP)
        assert service.process.wait(60) == 0
        answer, error = results.get(timeout=30)
        assert error is None, error
        assert len(answer.as_numpy("EMBEDDING")) == 1
