"""Calls of the HTTP for users' tools, and the answers of gRPC that theirs equal."""

import json

import pytest
from messages import http, message
from rest_calls import output, sample


@pytest.fixture(scope="session")
def images():
    """Three PNG files."""
    return [sample(name) for name in ("red-star", "green-ring", "digit-3")]


@pytest.fixture(scope="session")
def post():
    """Send an object as JSON; return the status, and the object that came back."""

    def send(doors, path, found, **headers):
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        reply = http(doors.gateway.http_port, path, body, headers=headers)
        return reply.status, json.loads(reply.body)

    return send


@pytest.fixture
def ask(doors, post):
    """Send an object that has an answer; return the answer."""

    def send(path, found):
        status, answer = post(doors, path, found)
        assert status == 200, answer
        return answer

    return send


@pytest.fixture
def fault(doors, post):
    """Send an object that is not accepted; return what the envelope has."""

    def send(path, found):
        status, answer = post(doors, path, found)
        assert (status, answer.keys()) == (400, {"error"}), answer
        return answer["error"]

    return send


@pytest.fixture(scope="package")
def over_grpc(stub):
    """Return the rows [N, D] that gRPC has for images or texts."""

    def embed(items):
        model = "align_text" if isinstance(items[0], str) else "align_image"
        sent = [item.encode() if isinstance(item, str) else item for item in items]
        answer = stub.ModelInfer(message(model, sent))
        return output(answer, "EMBEDDING", "<f4").reshape(len(items), -1)

    return embed
