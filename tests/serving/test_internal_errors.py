"""A bug behind the border: one request fails, the log says where, and nobody reads its content."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from calls import ask, ask_at_once, request
from served import starts_server
from tritonclient import grpc
from tritonclient.utils import InferenceServerException
from waiting import wait_until

from align_zoo.serving.triton.command import ServeOptions
from align_zoo.serving.triton.launcher import run_server

REPOSITORY = Path(__file__).parents[2] / "model_repository"
WITH_A_BUG = """

class TritonPythonModel(TritonPythonModel):
    def initialize(self, args):
        super().initialize(args)
        service = self.adapter._service
        embed = service.embed

        def stumble(items):
            for item in items:
                if item.startswith(b"stumble"):
                    try:
                        {}[item]
                    except KeyError as error:
                        raise RuntimeError(f"about {item}") from error
            return embed(items)

        service.embed = stumble
"""


@pytest.fixture(scope="module")
@starts_server
def stumbling(tmp_path_factory):
    """A server without metrics whose text model has a bug, and its log."""
    folder = tmp_path_factory.mktemp("stumbling")
    repository = Path(shutil.copytree(REPOSITORY, folder / "repository"))
    with (repository / "align_text" / "1" / "model.py").open("a") as file:
        file.write(WITH_A_BUG)
    options = ServeOptions(
        model="align_tiny", repository=repository, extra=["--allow-metrics=false"]
    ).on_free_ports()
    with run_server(options, log=folder / "log") as server:
        yield server


@pytest.fixture
def client(stumbling):
    with grpc.InferenceServerClient(stumbling.grpc_url) as client:
        yield client


def test_a_server_without_metrics_answers(client):
    assert ask(client, "align_text", [b"cat"]).as_numpy("EMBEDDING").shape[0] == 1


def test_log_names_request_and_place_without_content(client, stumbling):
    with pytest.raises(InferenceServerException) as caught:
        client.infer(
            "align_text", request("align_text", [b"stumble over a secret"]), request_id="a1b2c3d4"
        )
    assert caught.value.status() == "StatusCode.INTERNAL"
    assert caught.value.message() == "internal error (RuntimeError)"
    told = "request 'a1b2c3d4': internal error (RuntimeError)"
    wait_until(lambda: told in stumbling.log.read_text())  # the answer may come before the line
    log = stumbling.log.read_text()
    assert "in stumble" in log and "caused by KeyError" in log
    assert "secret" not in log


def test_request_id_cannot_forge_a_log_line(client, stumbling):
    forged = "x\nE1121 12:00:00 1 forged.cc:1] all is lost" + "y" * 100
    with pytest.raises(InferenceServerException):
        client.infer("align_text", request("align_text", [b"stumble"]), request_id=forged)
    wait_until(lambda: "forged.cc" in stumbling.log.read_text())
    lines = stumbling.log.read_text().splitlines()
    (line,) = (line for line in lines if "forged.cc" in line)
    assert re.search(r"adapter\.py.*request 'x\\+nE1121 12:00", line)
    assert "y" * 30 not in line  # and it is no long one


def test_others_in_the_batch_are_answered(client):
    requests = [[b"cat"], [b"stumble"], [b"dog", b"bird"], [b"stumble again"], [b"bus"]]
    alone = [ask(client, "align_text", requests[i]).as_numpy("EMBEDDING") for i in (0, 2, 4)]
    first, bug, second, other_bug, third = ask_at_once(client, "align_text", requests)
    for error in (bug, other_bug):
        assert error.message() == "internal error (RuntimeError)"
    for answer, expected in zip((first, second, third), alone, strict=True):
        np.testing.assert_allclose(answer, expected, atol=1e-5)
