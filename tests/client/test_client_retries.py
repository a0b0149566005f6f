"""When requests are sent again: real sockets, and servers with scripted refusals."""

import threading
import time

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted
from waiting import wait_until

from align_client import (
    AlignClient,
    AlignClientError,
    DeadlineExceeded,
    InvalidInput,
    ModelUnavailable,
    Overloaded,
    ServerUnavailable,
    Unauthorized,
)
from align_client.call import Call, Deadline
from align_client.retries import Retries
from align_client.rules import Again

REFUSALS = [
    ("RESOURCE_EXHAUSTED", "overloaded: 1000 requests wait", Overloaded),
    ("UNAVAILABLE", "Exceeds maximum queue size", Overloaded),
    ("UNAVAILABLE", "server not ready: it is starting", ServerUnavailable),
    ("UNAVAILABLE", "server is stopping", ServerUnavailable),
    ("UNAVAILABLE", "Server is stopping", ServerUnavailable),
    ("NOT_FOUND", "Request for unknown model: 'm' has no available versions", ModelUnavailable),
    (
        "ABORTED",
        "server restarted: it died while it worked on this request and others",
        ServerUnavailable,
    ),
]

FINAL = [
    ("INVALID_ARGUMENT", "the image is empty (0 bytes)", InvalidInput),
    ("INVALID_ARGUMENT", "poisoned: the server died 2 times while it worked on", InvalidInput),
    ("RESOURCE_EXHAUSTED", "Received message larger than max (9 vs. 8)", InvalidInput),
    ("UNAUTHENTICATED", "the bearer token is not accepted", Unauthorized),
    ("PERMISSION_DENIED", "closed: model control", Unauthorized),
    ("DEADLINE_EXCEEDED", "too late", DeadlineExceeded),
    ("NOT_FOUND", "Request for unknown model: 'm' is not found", ModelUnavailable),
    ("INTERNAL", "internal error", ModelUnavailable),
    ("UNAVAILABLE", "This protocol is restricted, expecting header 'x'", Unauthorized),
]

DEATHS = [
    ("ABORTED", "server restarted: the model's process died", ServerUnavailable),
    ("INTERNAL", "Stub process 'align_image_0_0' is not healthy.", ModelUnavailable),
    ("UNAVAILABLE", "Socket closed", ServerUnavailable),
]


@pytest.fixture
def server():
    with Scripted() as server:
        yield server


@pytest.fixture
def client(server):
    with AlignClient(server.url, timeout=10) as client:
        yield client


def tries(server):
    """Count how often the request of a test came, always with the same id."""
    ((_, count),) = server.count().items()
    return count


@pytest.mark.parametrize("code, words, _", REFUSALS)
def test_refused_request_is_sent_until_answered(server, client, code, words, _):
    server.refuse(code, words, times=3)
    assert client.embed_image(b"image").shape == (1, 2)
    assert tries(server) == 4


@pytest.mark.parametrize("code, words, error", REFUSALS)
def test_refusal_is_raised_at_deadline(server, code, words, error):
    server.refuse(code, words, times=100)
    with AlignClient(server.url, timeout=0.5) as client:
        start = time.monotonic()
        with pytest.raises(error, match=r"; tried [2-9] times \(request \w+\)$"):
            client.embed_image(b"image")
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("code, words, error", FINAL)
def test_permanent_error_is_not_retried(server, client, code, words, error):
    server.refuse(code, words)
    with pytest.raises(error):
        client.embed_image(b"image")
    assert tries(server) == 1


@pytest.mark.parametrize("code, words, _", DEATHS)
def test_request_of_dead_server_is_sent_twice(server, client, code, words, _):
    server.refuse(code, words)
    assert client.embed_image(b"image").shape == (1, 2)
    assert tries(server) == 2


@pytest.mark.parametrize("code, words, error", DEATHS)
def test_killing_request_is_sent_at_most_twice(server, client, code, words, error):
    server.refuse(code, words)
    server.refuse("UNAVAILABLE", "server not ready: it is restarting", times=2)
    server.refuse(code, words)
    with pytest.raises(error):
        client.embed_image(b"deadly")
    assert tries(server) == 4
    assert client.embed_image(b"image").shape == (1, 2)


def test_first_refusal_is_raised_without_retries(server):
    server.refuse("RESOURCE_EXHAUSTED", "overloaded: queue")
    with AlignClient(server.url, retries=False) as client, pytest.raises(Overloaded) as caught:
        client.embed_image(b"image")
    assert tries(server) == 1
    assert caught.value.message.endswith("call again later")


def test_permanent_error_mentions_no_tries(server, client):
    server.refuse("RESOURCE_EXHAUSTED", "overloaded: queue")
    server.refuse("INVALID_ARGUMENT", "bad")
    with pytest.raises(InvalidInput) as caught:
        client.embed_image(b"image")
    assert caught.value.message == "bad"


def test_only_refused_items_are_sent_again(server, client):
    server.refuse("RESOURCE_EXHAUSTED", "overloaded: queue", times=5)
    assert client.embed_image([b"image"] * 20).shape == (20, 2)
    assert len(server.count()) == 20 and len(server.requests) == 25


def away(server, seconds):
    """A server that stops and starts again at the same port after some seconds."""
    server.stop()
    later = []
    threading.Timer(seconds, lambda: later.append(Scripted(port=server.port))).start()
    return later


@pytest.mark.parametrize("size", [10, 8_000_000])
def test_large_image_waits_for_restart(server, client, size):
    client.embed_text("hello")
    later = away(server, 1)
    image = np.random.default_rng(0).bytes(size)
    assert client.embed_image(image).shape == (1, 2)
    wait_until(lambda: later)
    ((_, _, bytes_sent),) = later[0].requests
    assert bytes_sent > size
    later[0].stop()


def test_an_address_that_never_answered_fails_at_once(server):
    server.stop()
    with AlignClient(server.url, timeout=20) as client:
        start = time.monotonic()
        with pytest.raises(ServerUnavailable, match="cannot be reached"):
            client.embed_image(b"image")
    assert time.monotonic() - start < 2


def test_lost_server_is_tried_until_deadline(server):
    with AlignClient(server.url, timeout=1) as client:
        client.embed_text("hello")
        server.stop()
        start = time.monotonic()
        with pytest.raises(ServerUnavailable, match=r"cannot be reached.*; tried \d times"):
            client.embed_image(b"image")
    assert 0.2 < time.monotonic() - start < 1.1


@pytest.mark.parametrize(
    "code, words",
    [("UNAVAILABLE", "server not ready: it is starting"), ("ABORTED", "server restarted: killed")],
)
def test_refusing_server_counts_as_seen(server, code, words):
    server.refuse(code, words, times=1000)
    with AlignClient(server.url, timeout=0.5) as client:
        with pytest.raises(ServerUnavailable):
            client.embed_image(b"image")
        server.stop()
        with pytest.raises(ServerUnavailable, match=r"cannot be reached.*; tried \d times"):
            client.embed_image(b"image")


def test_closing_ends_the_wait_for_the_next_try(server):
    server.refuse("RESOURCE_EXHAUSTED", "overloaded: queue", times=1000)
    client = AlignClient(server.url, timeout=60)
    threading.Timer(1, client.close).start()
    start = time.monotonic()
    with pytest.raises(AlignClientError, match="closed"):
        client.embed_image([b"image"] * 3)
    assert time.monotonic() - start < 5


AGAIN = st.sampled_from([a for a in Again if a is not Again.NEVER])


@given(st.lists(AGAIN, max_size=30), st.floats(0, 1), st.floats(0.001, 100))
def test_pauses_grow_and_end_before_deadline(agains, jitter, timeout):
    retries = Retries(Call(Deadline(timeout)), jitter=lambda: jitter)
    pauses = [retries.pause(a, another=False, answered_before=True) for a in agains]
    slept = [pause for pause in pauses if pause is not None]
    for i, pause in enumerate(slept):
        longest = min(2.0, 0.1 * 2**i)
        assert longest / 2 <= pause <= longest * (1 + 1e-9)
        assert pause + 0.1 < timeout, "a try that has no time would hide the refusals before it"
    assert slept == sorted(slept)


@given(st.lists(st.tuples(st.sampled_from(Again), st.booleans(), st.booleans())))
def test_possibly_killing_request_goes_out_twice(events):
    retries = Retries(Call(Deadline(1000)))
    deaths = 0
    for again, another, before in events:
        pause = retries.pause(again, another=another, answered_before=before)
        if again is Again.NEVER:
            assert pause is None
        if again is Again.ONCE and pause is not None:
            deaths += 1
    assert deaths <= 1


@given(AGAIN, st.booleans())
def test_another_server_is_asked_without_a_pause(again, before):
    retries = Retries(Call(Deadline(1000)))
    assert retries.pause(again, another=True, answered_before=before) == 0


def test_pauses_of_simultaneous_refusals_differ():
    pauses = [
        Retries(Call(Deadline(9))).pause(Again.ALWAYS, another=False, answered_before=True)
        for _ in range(100)
    ]
    assert np.std(pauses) > 0.01


def test_every_grpc_code_becomes_alignclienterror(server):
    codes = [code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
    with AlignClient(server.url, retries=False) as client:
        for code in codes:
            server.refuse(code, "words")
            with pytest.raises(AlignClientError, match=r"\(request \w{16}\)$"):
                client.embed_image(b"image")
