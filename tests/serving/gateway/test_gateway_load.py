"""More calls than can be answered: who waits, who is refused, and who is never computed."""

import io
import socket
import statistics
import time

import grpc
import pytest
from doors import occupied, stub_at
from messages import http, json_request, message, refused
from PIL import Image
from tritonclient.grpc import service_pb2
from waiting import wait_until

BOUND = 0.5
IMAGE = json_request("no image", name="IMAGE")


@pytest.fixture(scope="module")
def slow_image():
    """Few bytes, and many milliseconds of work."""
    file = io.BytesIO()
    Image.new("RGB", (1500, 1500), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def asked(slow_image):
    return message("align_image", [slow_image])


@pytest.fixture
def work(slow_image):
    """A request that keeps the image tower busy for a while."""
    return message("align_image", [slow_image] * 16)


def computed(bare, model="align_image"):
    """Items that the model was given to compute, by its own count."""
    (stats,) = bare.ModelStatistics(service_pb2.ModelStatisticsRequest(name=model)).model_stats
    return stats.inference_count


def computed_so_far(bare):
    """The same when it stands still: the count comes a little after the answers."""
    seen = []

    def stands_still():
        seen.append(computed(bare))
        return seen[-1:] * 4 == seen[-4:]

    wait_until(stands_still)
    return seen[-1]


def timed(call, request):
    """A call under way; its duration is in the list when it is done."""
    begin, seconds = time.perf_counter(), []
    future = call.future(request, timeout=60)
    future.add_done_callback(lambda _: seconds.append(time.perf_counter() - begin))
    return future, seconds


@pytest.mark.alone
def test_excess_calls_are_refused_and_waits_stay_bounded(own_doors, asked):
    doors = own_doors(queue_seconds=BOUND, at_once=2)
    with stub_at(doors.grpc_url) as stub:
        alone = []
        for _ in range(10):
            begin = time.perf_counter()
            stub.ModelInfer(asked)
            alone.append(time.perf_counter() - begin)
        pause = statistics.median(alone) / 10  # ten times what can be answered
        calls = []
        end = time.perf_counter() + 3
        while time.perf_counter() < end:
            calls.append(timed(stub.ModelInfer, asked))
            time.sleep(pause)
        codes = [future.code().name for future, _ in calls]
    assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}
    took = {
        code: sorted(s for (_, (s,)), each in zip(calls, codes, strict=True) if each == code)
        for code in set(codes)
    }
    # The time of the calls themselves comes on top of the waiting.
    assert took["OK"][-1] < 2 * BOUND + 10 * max(alone)
    assert took["RESOURCE_EXHAUSTED"][len(took["RESOURCE_EXHAUSTED"]) * 9 // 10] < 0.1
    assert len(took["RESOURCE_EXHAUSTED"]) > len(took["OK"])
    waited = doors.count("align_zoo_queue_seconds_bucket", model="align_image", le="1.0")
    assert waited == codes.count("OK") + len(alone), "one waited longer than twice the bound"
    rejected = doors.count("align_zoo_rejected_total", model="align_image", reason="queue_seconds")
    assert rejected == codes.count("RESOURCE_EXHAUSTED")


@pytest.mark.alone
def test_full_speed_returns_after_overload(own_doors, asked):
    doors = own_doors(queue_seconds=BOUND, at_once=2)
    with stub_at(doors.grpc_url) as stub:
        flood = [stub.ModelInfer.future(asked) for _ in range(40)]
        for each in flood:
            each.exception()
        for _ in range(5):
            stub.ModelInfer(asked)  # none is refused
    assert doors.gateway.waiting("align_image") == 0


def test_a_full_queue_is_overloaded_on_both_protocols(own_doors, held, asked):
    doors = own_doors(queue_size=1, at_once=1)
    with stub_at(doors.grpc_url) as stub:
        with held():
            under_way = [occupied(doors, stub, asked), stub.ModelInfer.future(asked)]
            wait_until(lambda: doors.gateway.waiting("align_image") == 1)
            with refused("RESOURCE_EXHAUSTED", "overloaded: 1 requests wait already") as caught:
                stub.ModelInfer(message("align_image", [b"a"], id="mine"))
            assert dict(caught.value.trailing_metadata())["align-request-id"] == "mine"
            reply = http(doors.gateway.http_port, "/v2/models/align_image/infer", IMAGE)
            assert (reply.status, reply.error) == (429, "overloaded: 1 requests wait already")
            other = stub.ModelInfer.future(message("align_text", [b"a"]))
            wait_until(lambda: doors.at_work == 2)  # it has a queue of its own
        for each in (*under_way, other):
            each.result()
    labels = {"model": "align_image", "reason": "queue_full"}
    assert doors.count("align_zoo_rejected_total", **labels) == 2


def test_large_requests_fill_a_queue_sooner(own_doors, held):
    doors = own_doors(at_once=1, queue_bytes=3_000_000)
    large = message("align_text", [b"a" * 2_000_000])
    with stub_at(doors.grpc_url) as stub:
        with held():
            busy = occupied(doors, stub, message("align_text", [b"a"]))
            waiting = stub.ModelInfer.future(large)
            wait_until(lambda: doors.gateway.waiting("align_text") == 1)
            with refused("RESOURCE_EXHAUSTED", "overloaded: requests of 2 MB wait already"):
                stub.ModelInfer(large, timeout=10)
        busy.result()
        assert waiting.code() is grpc.StatusCode.INVALID_ARGUMENT, (
            "it was judged when its turn came"
        )


def test_cancelled_calls_that_wait_are_not_computed(own_doors, bare, held, asked):
    doors = own_doors(at_once=1)
    before = computed_so_far(bare)
    with stub_at(doors.grpc_url) as stub:
        with held():
            busy = occupied(doors, stub, asked)
            waiting = [stub.ModelInfer.future(asked) for _ in range(10)]
            wait_until(lambda: doors.gateway.waiting("align_image") == 10)
            for each in waiting[:9]:
                each.cancel()
            wait_until(lambda: doors.gateway.waiting("align_image") == 1)
            assert not busy.done(), "they left at once"
        for each in (busy, waiting[9]):
            each.result()
    # In order: had one of the others been computed, then before the last.
    wait_until(lambda: computed(bare) - before == 2)


def test_http_hangup_leaves_the_queue(own_doors, held, asked):
    doors = own_doors(at_once=1)
    with stub_at(doors.grpc_url) as stub, held():
        busy = occupied(doors, stub, asked)
        with socket.create_connection(("127.0.0.1", doors.gateway.http_port), 10) as connection:
            connection.sendall(
                b"POST /v2/models/align_image/infer HTTP/1.1\r\n"
                b"Host: a\r\nContent-Length: %d\r\n\r\n%b" % (len(IMAGE), IMAGE)
            )
            wait_until(lambda: doors.gateway.waiting("align_image") == 1)
        wait_until(lambda: doors.gateway.waiting("align_image") == 0)
        assert not busy.done()


@pytest.mark.alone
def test_calls_past_their_deadline_are_not_computed(own_doors, bare, held, asked):
    doors = own_doors(at_once=1)
    before = computed_so_far(bare)
    with stub_at(doors.grpc_url) as stub:
        with held():
            busy = occupied(doors, stub, asked)
            waiting = [stub.ModelInfer.future(asked, timeout=0.1) for _ in range(5)]
            for each in waiting:
                assert each.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        busy.result()
        stub.ModelInfer(asked)
    wait_until(lambda: computed(bare) - before == 2)
    labels = {"model": "align_image", "reason": "expired"}
    wait_until(lambda: doors.count("align_zoo_rejected_total", **labels) == 5)


@pytest.mark.alone
def test_an_http_callers_deadline_is_kept_too(own_doors, bare, held, asked):
    """By a header, for the protocol has none."""
    doors = own_doors(at_once=1)
    before = computed_so_far(bare)
    with stub_at(doors.grpc_url) as stub:
        with held():
            busy = occupied(doors, stub, asked)
            begin = time.perf_counter()
            reply = text_over_http(doors, "0.2", model="align_image")
            assert 0.2 <= time.perf_counter() - begin < 5
            assert reply.status == 504
            assert reply.error == "no answer within Align-Timeout's 0.2 s"
            assert doors.gateway.waiting("align_image") == 0
            # With tritonserver already, which is held.
            assert text_over_http(doors, "0.2").status == 504
        busy.result()
        assert text_over_http(doors, "60").status == 200
    wait_until(lambda: computed(bare) - before == 1)
    for model, never_reached_it in (("align_image", 1), ("align_text", 0)):
        labels = {"model": model, "reason": "expired"}
        assert doors.count("align_zoo_rejected_total", **labels) == never_reached_it
        labels = {"model": model, "code": "DEADLINE_EXCEEDED"}
        assert doors.count("align_zoo_requests_total", **labels) == 1


@pytest.mark.parametrize("seconds", ["soon", "", "0", "-1", "nan", "inf", "2.5s", "1e999"])
def test_deadline_that_is_not_seconds_is_refused(doors, seconds):
    reply = text_over_http(doors, seconds)
    assert reply.status == 400
    assert reply.error.startswith(f"Align-Timeout {seconds!r} is no number of seconds above 0")


def text_over_http(doors, seconds, model="align_text"):
    path = f"/v2/models/{model}/infer"
    headers = {"Align-Timeout": seconds}
    name = "IMAGE" if model == "align_image" else "TEXT"
    return http(doors.gateway.http_port, path, json_request("a", name=name), headers=headers)


def test_a_deadline_is_honoured_in_tritonserver_too(own_doors, bare, work, asked):
    doors = own_doors(at_once=1000)
    before = computed_so_far(bare)
    with stub_at(doors.grpc_url) as stub:
        # So much that the deadline passes while it waits in the queue, not when its turn is next.
        busy = [occupied(doors, stub, work), *(stub.ModelInfer.future(work) for _ in range(9))]
        wait_until(lambda: pending(doors) >= 6)
        begin = time.perf_counter()
        with refused("DEADLINE_EXCEEDED", ""):
            stub.ModelInfer(asked, timeout=0.1)
        assert time.perf_counter() - begin < 5
        for each in busy:
            each.result()
        stub.ModelInfer(asked)
    wait_until(lambda: computed(bare) - before == 10 * 16 + 1)


def pending(doors):
    """Requests for images that lie in tritonserver's own queue."""
    text = http(doors.gateway.metrics_port, "/metrics").body.decode()
    (line,) = (
        line
        for line in text.splitlines()
        if line.startswith("nv_inference_pending_request_count") and "align_image" in line
    )
    return float(line.split()[-1])
