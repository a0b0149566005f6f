"""HTTP bodies while they come: how much of them there may be, and what is read of them."""

import contextlib
import gzip
import socket
import time

import pytest
from doors import stub_at
from messages import http, json_request, message, refused
from waiting import wait_until

INFER = "/v2/models/align_text/infer"
LARGE = json_request("a" * 2_000_000)
TEXT = message("align_text", [b"a"])


@contextlib.contextmanager
def sent(doors, body, headers=""):
    """A connection on which all of a request has come but its last byte."""
    with socket.create_connection(("127.0.0.1", doors.gateway.http_port), 10) as connection:
        connection.sendall(
            f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n".encode()
        )
        connection.sendall(headers.encode() + b"\r\n" + body[:-1])
        yield connection


def ask(doors, body=LARGE):
    return http(doors.gateway.http_port, INFER, body)


@pytest.mark.parametrize("packed", [False, True])
def test_bodies_that_are_coming_have_a_bound_together(own_doors, packed):
    doors = own_doors(queue_bytes=3_000_000)
    # What counts is what it unpacks to.
    body = gzip.compress(LARGE) if packed else LARGE
    with sent(doors, body, "Content-Encoding: gzip\r\n" if packed else "") as slow:
        wait_until(lambda: doors.coming > 1_900_000)
        assert ask(doors).error == "overloaded: requests of 2 MB are on their way already"
        assert ask(doors, json_request("a")).status == 200, "a small one has room"
        slow.sendall(body[-1:])
        assert b" 400 " in slow.recv(1000).split(b"\r\n")[0], "its text is too long, and was read"
    assert ask(doors).status == 400
    labels = {"model": "align_text", "reason": "queue_full"}
    assert doors.count("align_zoo_rejected_total", **labels) == 1


def test_hangup_releases_the_memory_of_a_body(own_doors):
    doors = own_doors(queue_bytes=3_000_000)
    with sent(doors, LARGE):
        wait_until(lambda: doors.coming > 1_900_000)
        assert ask(doors).status == 429
    wait_until(lambda: doors.coming == 0)
    assert ask(doors).status == 400


def test_single_body_may_exceed_the_shared_bound(own_doors):
    doors = own_doors(queue_bytes=1000)
    assert ask(doors, json_request(*["a word"] * 60)).status == 200


def test_the_items_of_an_http_request_are_counted(own_doors):
    doors = own_doors()
    assert ask(doors, json_request("a", "b", "c")).status == 200
    wait_until(lambda: doors.count("align_zoo_items_total", model="align_text") == 3)
    assert doors.count("align_zoo_request_items_sum", model="align_text") == 3


def test_http_items_take_as_many_places(own_doors, held):
    doors = own_doors(at_once=3)
    body = json_request("a", "b", "c")
    with stub_at(doors.grpc_url) as stub:
        with held(), sent(doors, body) as connection:
            connection.sendall(body[-1:])
            wait_until(lambda: doors.at_work == 1)
            next_one = stub.ModelInfer.future(TEXT)
            wait_until(lambda: doors.gateway.waiting("align_text") == 1)
        next_one.result()


@pytest.mark.parametrize("size", [0, -1, 2**31, 2**32 + 1, 10**30])
def test_invalid_item_count_is_refused_as_over_grpc(doors, size):
    words = f"TEXT has the shape [{size}, 1]: it must be [N, 1] for N items, such as [1, 1]"
    body = json_request("a").replace(b"[1, 1]", f"[{size}, 1]".encode())
    reply = ask(doors, body)
    assert (reply.status, reply.error) == (400, words)
    if -(2**63) <= size < 2**63:
        asked = message("align_text", [b"a"])
        asked.inputs[0].shape[0] = size
        with stub_at(doors.grpc_url) as stub, refused("INVALID_ARGUMENT", words):
            stub.ModelInfer(asked)


def test_slow_upload_is_not_queue_time(own_doors):
    doors = own_doors()
    body = json_request("a")
    with sent(doors, body) as slow:
        time.sleep(0.3)  # the caller's own slowness
        slow.sendall(body[-1:])
        assert b" 200 " in slow.recv(1000).split(b"\r\n")[0]
    labels = {"model": "align_text"}
    wait_until(lambda: doors.count("align_zoo_queue_seconds_count", **labels) == 1)
    waited = doors.count("align_zoo_queue_seconds_sum", **labels)
    assert doors.count("align_zoo_request_seconds_sum", **labels) - waited >= 0.3
