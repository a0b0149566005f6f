"""Odd requests within and beside the table of what is allowed: tritonserver bears them all."""

import pytest
from fuzz.gateway import try_requests
from fuzz.requests import odd_request
from messages import embeddings, message


@pytest.fixture(scope="module")
def outcomes(doors, stub, shared):
    expected = embeddings(stub.ModelInfer(message("align_text", [b"a red circle"])))
    http_url = f"127.0.0.1:{doors.gateway.http_port}"
    return try_requests(doors.grpc_url, http_url, range(600), expected)


def test_tritonserver_survives_every_odd_request(outcomes, doors):
    assert outcomes.faults == []
    assert outcomes.tried == 600
    assert doors.deaths == []


def test_odd_requests_are_answered_and_refused(outcomes):
    assert outcomes.answered > 150
    assert outcomes.refused["INVALID_ARGUMENT"] > 50
    assert outcomes.refused["400"] > 50


def test_odd_request_is_determined_by_its_seed():
    assert [odd_request(seed) for seed in range(50)] == [odd_request(seed) for seed in range(50)]
    assert {odd_request(seed).protocol for seed in range(50)} == {"grpc", "http"}
