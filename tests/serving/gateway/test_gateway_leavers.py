"""HTTP callers that do not wait for their answer: tritonserver computes it all the same."""

import asyncio
import gc
import socket

import pytest
from doors import stub_at
from messages import http, json_request, message
from waiting import wait_until

from align_zoo.serving.gateway.http_handler import run_to_completion

INFER = "/v2/models/align_text/infer"
TEXT = message("align_text", [b"a"])


def times_out(doors):
    """Waits for a fraction of a second."""
    reply = http(
        doors.gateway.http_port, INFER, json_request("a"), headers={"Align-Timeout": "0.2"}
    )
    assert reply.status == 504


def hangs_up(doors):
    """Is gone as soon as tritonserver has its request."""
    body = json_request("a")
    with socket.create_connection(("127.0.0.1", doors.gateway.http_port), 10) as connection:
        connection.sendall(
            f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        )
        connection.sendall(body)
        wait_until(lambda: doors.at_work == 1)
    labels = {"model": "align_text", "code": "CANCELLED"}
    wait_until(lambda: doors.count("align_zoo_requests_total", **labels) == 1)


@pytest.mark.parametrize("leaves", [times_out, hangs_up])
def test_abandoned_request_keeps_its_place_until_computed(own_doors, held, leaves):
    doors = own_doors(at_once=1)
    with stub_at(doors.grpc_url) as stub:
        with held():
            leaves(doors)
            next_one = stub.ModelInfer.future(TEXT)
            wait_until(lambda: doors.gateway.waiting("align_text") == 1)
            assert doors.at_work == 1
        assert next_one.result().raw_output_contents
    wait_until(lambda: doors.at_work == 0)


def test_a_model_that_answers_nobody_is_alive(own_doors, held):
    doors = own_doors()
    with held():
        times_out(doors)
        assert doors.answers == []
    wait_until(lambda: doors.answers == ["align_text"])


def test_draining_waits_for_what_is_computed_for_nobody(own_doors, held):
    doors = own_doors()
    with held():
        times_out(doors)
        assert doors.drain(0) is False
    assert doors.drain(60) is True


def test_abandoned_request_is_counted_once(own_doors, held):
    doors = own_doors()
    with held():
        times_out(doors)
    assert doors.drain(60)
    assert doors.count("align_zoo_items_total", model="align_text") == 0
    labels = {"model": "align_text", "code": "DEADLINE_EXCEEDED"}
    assert doors.count("align_zoo_requests_total", **labels) == 1


def test_error_of_abandoned_work_is_not_reported():
    reported, done = [], []

    async def fails(go):
        try:
            await go.wait()
            raise OSError
        finally:
            done.append(True)

    async def leave():
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context)
        )
        go = asyncio.Event()
        caller = asyncio.create_task(run_to_completion(fails(go), begun=lambda: True))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        gc.collect()
        assert not done
        go.set()
        while not done:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(leave())
    assert reported == []
