"""Clients of others, and what they send beside the tensors: all of it is answered."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from messages import http, json_request
from tritonclient import grpc as grpc_client
from tritonclient import http as http_client

from align_zoo.serving.gateway.http_request import JSON_LENGTH

CHECKOUT = Path(__file__).parents[3]
INFER = "/v2/models/align_text/infer"


@pytest.mark.parametrize("client", [grpc_client, http_client], ids=["grpc", "http"])
@pytest.mark.parametrize("outputs", [None, ["EMBEDDING"], ["RUNTIME", "EMBEDDING"]], ids=str)
def test_every_request_of_tritonclient_is_answered(doors, client, outputs):
    port = doors.gateway.grpc_port if client is grpc_client else doors.gateway.http_port
    tensor = client.InferInput("TEXT", [2, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[b"red"], [b"blue"]], dtype=np.object_))
    wanted = [client.InferRequestedOutput(name) for name in outputs] if outputs else None
    with client.InferenceServerClient(f"127.0.0.1:{port}") as connection:
        answer = connection.infer(
            "align_text",
            [tensor],
            model_version="1",
            outputs=wanted,
            request_id="mine",
            priority=1,
            timeout=10_000_000,
        )
    assert answer.as_numpy("EMBEDDING").shape == (2, 128)
    assert (answer.as_numpy("TEMPERATURE") is None) == bool(outputs)


@pytest.mark.parametrize("binary", [False, True])
def test_a_client_of_kserve_is_answered(doors, binary):
    request = json.loads(json_request("a"))
    request |= {"id": "7", "model_name": "align_text", "parameters": None}
    request["outputs"] = [{"name": "EMBEDDING", "parameters": {"binary_data": binary}}]
    reply = http(doors.gateway.http_port, INFER, json.dumps(request).encode())
    assert reply.status == 200
    assert (JSON_LENGTH in reply.headers) == binary


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"], ids=["plain", "data-url"])
def test_base64_image_is_refused_with_the_way_out(doors, encode, prefix):
    image = (CHECKOUT / "align_zoo/assets/samples/red-star.png").read_bytes()
    body = json_request(prefix + encode(image).decode(), name="IMAGE")
    reply = http(doors.gateway.http_port, "/v2/models/align_image/infer", body)
    assert (reply.status, reply.error) == (400, "not an image but text: base64? send the bytes")
