"""A batch in portions: what is computed is answered, whatever the rest of its batch still takes."""

import queue
import re
import shutil
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from calls import ask, request
from served import starts_server
from tritonclient import grpc
from waiting import wait_for_port, wait_until

from align_zoo.serving.triton.command import ServeOptions
from align_zoo.serving.triton.launcher import run_server

REPOSITORY = Path(__file__).parents[2] / "model_repository"
ONE_BY_ONE = """

import time
from pathlib import Path


class TritonPythonModel(TritonPythonModel):
    def initialize(self, args):
        super().initialize(args)
        service, flags = self.adapter._service, Path(args["model_repository"]).parent

        def portions(items):
            for item in items:
                word = item.decode()
                if word.startswith("bug"):
                    raise RuntimeError(word)
                (flags / f"reached {word}").touch()
                while word.startswith("wait") and not (flags / f"done {word}").exists():
                    time.sleep(0.01)
                yield service.embed([item])

        service.portions = portions
"""


class Server:
    """A server whose text model computes text by text, and waits where it is told to."""

    def __init__(self, triton, flags, metrics_url):
        self.triton, self._flags, self._metrics_url = triton, flags, metrics_url
        self._answers = queue.SimpleQueue()

    def ask(self, texts, **options):
        """Send a request of one text, or of several."""
        items = [texts] if isinstance(texts, str) else texts
        self.triton.async_infer(
            "align_text",
            request("align_text", [item.encode() for item in items]),
            callback=lambda result, error: self._answers.put((texts, error or result)),
            client_timeout=60,
            **options,
        )

    def next(self):
        """The request that is answered next, and its answer."""
        return self._answers.get(timeout=60)

    def nothing_else(self):
        return self._answers.empty()

    def reached(self, text):
        wait_until((self._flags / f"reached {text}").exists)

    def let_go(self, text):
        (self._flags / f"done {text}").touch()

    def one_batch(self, *texts, **options):
        """Send requests that meet in one batch: they come while the model works on another."""
        occupied = f"wait for {texts}"
        self.ask(occupied)
        self.reached(occupied)
        for count, text in enumerate(texts, start=1):  # in this order, which gRPC does not promise
            self.ask(text, **options)
            wait_until(lambda count=count: self._pending() == count)
        self.let_go(occupied)
        assert self.next()[0] == occupied

    def _pending(self):
        """Requests for texts that lie in tritonserver's own queue."""
        with urlopen(self._metrics_url, timeout=10) as answer:
            text = answer.read().decode()
        (line,) = re.findall(r"nv_inference_pending_request_count.*align_text.* (\S+)", text)
        return float(line)


@pytest.fixture(scope="module")
@starts_server
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("early")
    repository = Path(shutil.copytree(REPOSITORY, folder / "repository"))
    with (repository / "align_text" / "1" / "model.py").open("a") as file:
        file.write(ONE_BY_ONE)
    options = ServeOptions(model="align_tiny", repository=repository).on_free_ports()
    with run_server(options, log=folder / "log") as server:
        wait_for_port(options.metrics_port)
        yield server, repository, f"http://127.0.0.1:{options.metrics_port}/metrics"


@pytest.fixture
def server(running):
    process, flags, metrics_url = running
    with grpc.InferenceServerClient(process.grpc_url) as triton:
        yield Server(triton, flags, metrics_url)


@pytest.fixture
def alone(server):
    """The embedding that a text has when it comes alone."""
    return lambda text: ask(server.triton, "align_text", [text.encode()]).as_numpy("EMBEDDING")


def test_every_request_is_counted_once(server):
    """Before the others, as theirs are counted after their answers, at times much later."""
    before = answered(server.triton)
    server.one_batch("cat", "dog", "bird")
    for _ in range(3):
        server.next()
    wait_until(lambda: answered(server.triton) == before + 4)


def test_computed_items_are_answered_before_batch_ends(server, alone):
    before = batches(server.triton).get(4, 0)
    server.one_batch("cat", "dog", "wait here", "bird")
    answers = dict([server.next(), server.next()])
    server.reached("wait here")
    assert answers.keys() == {"cat", "dog"}
    assert server.nothing_else()
    server.let_go("wait here")
    answers |= dict([server.next(), server.next()])
    for text in ("cat", "dog", "bird"):
        np.testing.assert_allclose(answers[text].as_numpy("EMBEDDING"), alone(text), atol=1e-5)
    wait_until(lambda: batches(server.triton).get(4, 0) == before + 1)


def test_request_is_answered_with_its_last_item(server, alone):
    two = ("cat", "wait in the middle")
    server.one_batch(two, "dog")
    server.reached("wait in the middle")
    assert server.nothing_else()
    server.let_go("wait in the middle")
    answers = dict([server.next(), server.next()])
    assert answers[two].as_numpy("EMBEDDING").shape[0] == 2
    np.testing.assert_allclose(answers["dog"].as_numpy("EMBEDDING"), alone("dog"), atol=1e-5)


def test_early_answer_has_the_requested_outputs(server):
    wanted = [grpc.InferRequestedOutput("EMBEDDING")]
    server.one_batch("cat", "dog", outputs=wanted)
    for _ in range(2):
        _, answer = server.next()
        assert [output.name for output in answer.get_response().outputs] == ["EMBEDDING"]


def test_a_bad_text_is_refused_early_too(server):
    server.one_batch("", "cat")
    answers = dict([server.next(), server.next()])
    assert answers[""].message() == "the text is empty"
    assert answers["cat"].as_numpy("EMBEDDING").shape[0] == 1


def test_bug_fails_only_its_own_request(server, alone):
    server.one_batch("cat", "bug", "wait behind it", "dog")
    answers = dict([server.next(), server.next()])
    assert answers["bug"].message() == "internal error (RuntimeError)"
    server.let_go("wait behind it")
    answers |= dict([server.next(), server.next()])
    for text in ("cat", "wait behind it", "dog"):
        np.testing.assert_allclose(answers[text].as_numpy("EMBEDDING"), alone(text), atol=1e-5)
    assert server.nothing_else()


def batches(triton):
    """How often there was a batch of so many items."""
    (stats,) = triton.get_inference_statistics("align_text").model_stats
    return {each.batch_size: each.compute_infer.count for each in stats.batch_stats}


def answered(triton):
    (stats,) = triton.get_inference_statistics("align_text").model_stats
    return stats.inference_stats.success.count
