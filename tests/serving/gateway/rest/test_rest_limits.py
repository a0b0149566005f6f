"""Tokens, limits, queue, deadlines, metrics and drain: as for every other call."""

import asyncio
import gzip
import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from doors import open_doors, stub_at
from messages import http, message
from rest_calls import data_uri, encoded, sample
from waiting import wait_until

from align_zoo.serving.gateway.refusal import Reason, Refusal
from align_zoo.serving.gateway.rest.inference import _BATCH_BYTES, Inference, Row, _batches
from align_zoo.serving.triton.processes import triton_processes

EMBED = "/v1/embeddings"
TEXT = {"input": "a star"}
IMAGE = data_uri(sample("red-star"))
CALLS = {
    EMBED: TEXT,
    "/v2/embed": {"texts": ["a star"]},
    "/v1/classify": {"images": [IMAGE], "labels": ["star"]},
}
MIXED = {"input": [{"text": "a star"}, {"image": IMAGE}, {"text": "a ring"}]}


def call(doors, path=EMBED, found=TEXT, **headers):
    """Send an object, or nothing with GET; return the reply and what its envelope has."""
    body = None if found is None else json.dumps(found).encode()
    reply = http(doors.gateway.http_port, path, body, headers=headers)
    return reply, json.loads(reply.body).get("error")


@pytest.fixture
def under_way():
    """Send calls in threads of their own; return the future of a call's reply and error."""
    with ThreadPoolExecutor() as threads:
        yield lambda *args, **headers: threads.submit(call, *args, **headers)


@pytest.fixture
def guarded(own_doors, tmp_path):
    (tmp_path / "tokens").write_text("secret\n")
    return own_doors(token_file=tmp_path / "tokens")


@pytest.mark.parametrize("path", [*CALLS, "/v1/models"])
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}], ids=["none", "wrong"])
def test_call_without_accepted_token_is_refused(guarded, path, header):
    reply, error = call(guarded, path, CALLS.get(path), **header)
    assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (error["type"], error["code"]) == ("authentication_error", "unauthorized")


@pytest.mark.parametrize("path", [*CALLS, "/v1/models"])
def test_accepted_token_lets_in(guarded, path):
    reply, _ = call(guarded, path, CALLS.get(path), Authorization="Bearer secret")
    assert reply.status == 200


@pytest.mark.parametrize("path", ["/openapi.json", "/v1/health"])
def test_document_and_health_need_no_token(guarded, path):
    assert call(guarded, path, None)[0].status == 200


@pytest.mark.parametrize("path", CALLS)
def test_body_beyond_the_limit_is_too_large(own_doors, path):
    doors = own_doors(max_message_bytes=10_000)
    reply, error = call(doors, path, {"input": "a" * 20_000})
    assert (reply.status, error["code"]) == (413, "too_large")


def test_compressed_body_is_read(doors):
    body = gzip.compress(json.dumps(TEXT).encode())
    reply = http(doors.gateway.http_port, EMBED, body, headers={"Content-Encoding": "gzip"})
    assert reply.status == 200


def test_unknown_compression_is_refused(doors):
    reply, error = call(doors, **{"Content-Encoding": "br"})
    assert (reply.status, error["code"]) == (415, "encoding")


@pytest.mark.parametrize("path", CALLS)
def test_full_queue_says_when_to_return(own_doors, held, under_way, path):
    doors = own_doors(at_once=1, queue_size=1)
    with held():
        models = ["align_image", "align_text"] if path == "/v1/classify" else ["align_text"]
        busy = [under_way(doors, path, CALLS[path]) for _ in range(2)]
        wait_until(lambda: all(doors.gateway.waiting(model) == 1 for model in models))
        reply, error = call(doors, path, CALLS[path])
        assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
        assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")
    assert [each.result()[0].status for each in busy] == [200, 200]
    labels = {"model": "align_text", "reason": "queue_full"}
    assert doors.count("align_zoo_rejected_total", **labels) == 1


def test_long_wait_names_its_seconds():
    refusal = Refusal(Reason.QUEUE_SECONDS, "overloaded", retry_seconds=7.2)
    assert refusal.headers() == {"Retry-After": "8"}


@pytest.mark.parametrize("path", [*CALLS, "/v1/models"])
def test_missing_backend_says_when_to_return(own_doors, path):
    doors = own_doors()
    doors.unset("it is loading the models")
    reply, error = call(doors, path, CALLS.get(path))
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
    assert (error["type"], error["code"]) == ("server_error", "not_ready")
    assert error["message"] == "server not ready: it is loading the models"


def test_drain_finishes_accepted_calls_and_refuses_new(own_doors, held, under_way):
    doors = own_doors(at_once=2)
    with held():
        texts = {"input": ["", "a star", "", "a ring"], "on_error": "return"}
        taken = [under_way(doors, EMBED, each) for each in (MIXED, texts)]
        wait_until(lambda: doors.gateway.waiting("align_text") >= 2)
        assert doors.drain(0) is False
        reply, error = call(doors)
        assert (reply.status, error["code"]) == (503, "stopping")
        assert reply.headers["Retry-After"] == "1"
    assert doors.drain(60) is True
    assert [each.result()[0].status for each in taken] == [200, 200]


def test_deadline_ends_the_call(own_doors, held):
    doors = own_doors()
    with held():
        reply, error = call(doors, EMBED, MIXED, **{"Align-Timeout": "0.2"})
        assert (reply.status, error["code"]) == (504, "expired")
        wait_until(lambda: doors.at_work == 0)


def test_invalid_deadline_is_malformed(doors):
    reply, error = call(doors, **{"Align-Timeout": "soon"})
    assert (reply.status, error["code"]) == (400, "malformed")


def test_call_of_a_caller_that_left_is_cancelled(own_doors, held):
    doors = own_doors()
    body = json.dumps(MIXED).encode()
    with held():
        with socket.create_connection(("127.0.0.1", doors.gateway.http_port), 10) as connection:
            head = f"POST {EMBED} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            wait_until(lambda: doors.at_work == 2)
        wait_until(lambda: doors.at_work == 0)
    for model in ("align_image", "align_text"):
        labels = {"model": model, "code": "CANCELLED"}
        wait_until(lambda labels=labels: doors.count("align_zoo_requests_total", **labels) == 1)


def test_each_model_counts_its_items(own_doors):
    doors = own_doors()
    assert call(doors, EMBED, MIXED)[0].status == 200
    for model, items in (("align_image", 1), ("align_text", 2)):
        assert doors.count("align_zoo_requests_total", model=model, code="OK") == 1
        assert doors.count("align_zoo_items_total", model=model) == items
        assert doors.count("align_zoo_request_seconds_count", model=model) == 1
        assert doors.count("align_zoo_queue_seconds_count", model=model) == 1
    assert sorted(doors.answers) == ["align_image", "align_text"]


def test_failed_items_are_not_counted_as_answered(own_doors):
    doors = own_doors()
    asked = {"input": ["a star", "", "a ring"], "on_error": "return"}
    assert call(doors, EMBED, asked)[0].status == 200
    assert doors.count("align_zoo_items_total", model="align_text") == 2


def test_failed_call_is_counted_and_logged(own_doors, capfd):
    doors = own_doors()
    reply, _ = call(doors, EMBED, {"input": ["a star", ""]}, **{"Align-Request-Id": "mine"})
    assert (reply.status, reply.headers["Align-Request-Id"]) == (400, "mine")
    labels = {"model": "align_text", "code": "INVALID_ARGUMENT"}
    assert doors.count("align_zoo_requests_total", **labels) == 1
    (line, *_) = map(json.loads, capfd.readouterr().err.splitlines())
    assert (line["id"], line["model"], line["reason"]) == ("mine", "align_text", "empty")


def test_call_refused_at_the_door_is_counted(own_doors):
    doors = own_doors()
    assert call(doors, EMBED, {})[0].status == 400
    assert doors.count("align_zoo_rejected_total", model="", reason="malformed") == 1


def test_model_process_death_is_retryable(loop, mortal):
    server, folder = mortal
    with open_doors(loop, folder) as doors:
        for process in triton_processes(server.shm_prefix, "/align_text/"):
            if process != server.pid:
                os.kill(process, signal.SIGKILL)
        reply, error = call(doors)
        assert (reply.status, error["code"]) == (503, "died")
        assert doors.deaths == ["a model's process has died"]


def test_unexpected_error_shows_no_content(own_doors, monkeypatch):
    doors = own_doors()

    def rows(*args, **options):
        raise RuntimeError("secret")

    monkeypatch.setattr(Inference, "rows", rows)
    reply, error = call(doors)
    assert (reply.status, error["code"]) == (500, "internal")
    assert error["message"] == "internal error (RuntimeError)"


@pytest.mark.alone
def test_large_body_leaves_the_loop_free(own_doors):
    doors = own_doors()
    large = {"input": [encoded(bytes(15_000_000))] * 3, "modality": "image"}
    body, latencies, done = json.dumps(large).encode(), [], threading.Event()

    async def watch():
        while not done.is_set():
            begin = time.perf_counter()
            await asyncio.sleep(0.001)
            latencies.append(time.perf_counter() - begin)

    watching = asyncio.run_coroutine_threadsafe(watch(), doors.loop._loop)
    reply = http(doors.gateway.http_port, EMBED, body)
    done.set()
    watching.result()
    assert reply.status == 400
    assert max(latencies) < sum(latencies) / 3


class Changing(Inference):
    """Inference of a service whose checkpoint changes between two answers."""

    def __init__(self, *checkpoints):
        self.checkpoints = list(checkpoints)

    async def _model(self, model, items, *settings):
        checkpoint = self.checkpoints.pop(0)
        return [Row(None, checkpoint, 0, 0.0) for _ in items]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], [[]]),
        ([1] * 5, [[1, 1], [1, 1], [1]]),
        ([_BATCH_BYTES + 1] * 2, [[_BATCH_BYTES + 1]] * 2),
        ([_BATCH_BYTES, 7, 1], [[_BATCH_BYTES, 7], [1]]),
    ],
    ids=["none", "many", "large", "large-and-small"],
)
def test_batches_are_bounded_in_items_and_bytes(sizes, expected):
    batches = _batches([bytes(size) for size in sizes], 2)
    assert [[len(item) for item in batch] for batch in batches] == expected


BOTH = {"align_image": [b""], "align_text": [b""]}


def test_rows_of_two_checkpoints_are_asked_again():
    entries = dict.fromkeys(BOTH)
    changing = Changing("old", "new", "new", "new")
    found = asyncio.run(changing.rows(BOTH, entries))
    assert {row.checkpoint for rows in found.values() for row in rows} == {"new"}
    with pytest.raises(Refusal, match="checkpoint is being replaced"):
        asyncio.run(Changing("old", "new", "new", "newer").rows(BOTH, entries))


def test_request_that_waits_does_not_hold_others_up(own_doors, held, under_way):
    doors = own_doors(at_once=1)
    with stub_at(doors.grpc_url) as stub:
        with held():
            first = under_way(doors, EMBED, {"input": ["a star", "a ring", "a cross"]})
            wait_until(lambda: doors.gateway.waiting("align_text") == 2)
            second = stub.ModelInfer.future(message("align_text", [b"a dot"]))
            wait_until(lambda: doors.gateway.waiting("align_text") == 3)
        assert second.result().raw_output_contents
        assert first.result()[0].status == 200
