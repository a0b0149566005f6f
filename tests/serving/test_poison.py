"""A request that the server dies of: refused from its third time on, and nobody else is."""

import json
import shutil
import textwrap
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from calls import ask
from served import starts_server
from serving import events, restarts, serving
from tritonclient import grpc
from tritonclient.utils import InferenceServerException
from waiting import wait_until

from align_client import AlignClient, InvalidInput
from align_zoo import load_encoder
from tests.support.known import Known
from tests.support.traffic import Traffic

REPOSITORY = Path(__file__).parents[2] / "model_repository"

# Of all texts that begin with a fatal word; what else is in the batch goes down with it.
SABOTAGED = textwrap.dedent("""
    import os, signal, time
    from align_zoo.serving.model.adapter import TritonAdapter

    class TritonPythonModel:
        def initialize(self, args):
            self.adapter = TritonAdapter("text", args)
            self.embed, self.adapter._service.embed = self.adapter._service.embed, self.sabotage

        def sabotage(self, items):
            if any(item.startswith(b"deadly") for item in items):
                os.kill(os.getpid(), signal.SIGSEGV)
            if any(item.startswith(b"fatal") for item in items):
                os.kill(os.getppid(), signal.SIGFPE)
                time.sleep(60)
            return self.embed(items)

        def execute(self, requests):
            return self.adapter.execute(requests)
""")


@pytest.fixture(scope="module")
def popular():
    """What everybody asks for, so that it is there at every death."""
    texts = ["cat", "dog"]
    return [Known(*each) for each in zip(texts, load_encoder("align_tiny").embed_texts(texts))]


@pytest.fixture(scope="module")
@starts_server
def service(tmp_path_factory):
    """One that any two failures would end."""
    folder = tmp_path_factory.mktemp("service")
    repository = shutil.copytree(REPOSITORY, folder / "repository")
    (repository / "align_text" / "1" / "model.py").write_text(SABOTAGED)
    with serving(folder, f"--repository={repository}", "--restart-limit=2") as running:
        yield running


@pytest.fixture
def callers(service, popular):
    """Eight at once, who try again as the client does."""
    with AlignClient(service.url, timeout=60) as client:
        with Traffic(client, popular, callers=8) as traffic:
            wait_until(lambda: traffic.sent)
            yield traffic
        assert not traffic.lost
        assert not traffic.wrong


def grpc_answer(service, text):
    """ "OK", or gRPC's code and what it says."""
    with grpc.InferenceServerClient(service.url) as client:
        try:
            ask(client, "align_text", [text.encode()])
        except InferenceServerException as error:
            return error.status().removeprefix("StatusCode."), error.message()
    return "OK", ""


def http_answer(service, text):
    """The status, and what it says; its id is another one each time, as over gRPC."""
    tensor = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
    number = len(service.log.read_bytes())
    body = json.dumps({"id": f"of mine, {number}", "inputs": [tensor]}).encode()
    try:
        urllib.request.urlopen(f"{service.http}/v2/models/align_text/infer", body, timeout=60)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["error"]
    return 200, ""


@pytest.mark.parametrize("text", ["deadly", "fatal"], ids=["model", "server"])
@pytest.mark.parametrize(
    ("answer", "died", "refused"),
    [
        (grpc_answer, "ABORTED", "INVALID_ARGUMENT"),
        (http_answer, 503, 400),
    ],
    ids=["grpc", "http"],
)
def test_poison_ends_two_servers_and_is_refused(service, callers, text, answer, died, refused):
    text = f"{text} over {answer.__name__}"
    before = len(events(service, "restart"))
    for number in (1, 2):
        code, words = answer(service, text)
        assert (code, words[:18]) == (died, "server restarted: ")
        wait_until(lambda number=number: len(events(service, "restart")) == before + number)
    for _ in range(5):
        code, words = answer(service, text)
        assert (code, words[:33]) == (refused, "poisoned: the server died 2 times")
    assert len(events(service, "restart")) == before + 2
    assert events(service, "poisoned")[-1]["model"] == "align_text"


def test_retry_of_poison_is_refused_in_same_call(service, callers):
    before = len(events(service, "restart"))
    with AlignClient(service.url, timeout=60) as client:
        for _ in range(3):
            with pytest.raises(InvalidInput, match="poisoned: the server died 2 times"):
                client.embed_text("deadly of a client")
    assert len(events(service, "restart")) == before + 2


def test_different_poisons_do_not_end_the_service(service, callers):
    before = restarts(service, "model_died")
    for number in range(4):
        code, _ = grpc_answer(service, f"deadly number {number}")
        assert code == "ABORTED"
        wait_until(lambda: service.health()["ready"])
    assert restarts(service, "model_died") == before + 4
    assert not service.ended()


def test_only_poison_was_ever_refused(service, popular):
    found = events(service, "poisoned")
    assert len(found) == 5
    assert {each["deaths"] for each in found} == {2}
    with AlignClient(service.url) as client:
        assert all(each.ask(client) for each in popular)
