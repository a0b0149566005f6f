"""A gateway whose backend goes, or that is drained: accepted calls are answered, others refused."""

import json

import pytest
from doors import occupied, stub_at
from messages import http, json_request, message, refused
from tritonclient.grpc import service_pb2
from waiting import wait_until


@pytest.fixture
def asked():
    return message("align_text", [b"a"])


def test_waiting_calls_are_refused_when_backend_goes(own_doors, held, asked):
    doors = own_doors(at_once=1)
    with stub_at(doors.grpc_url) as stub:
        with held():
            busy = occupied(doors, stub, asked)
            waiting = [stub.ModelInfer.future(asked) for _ in range(5)]
            wait_until(lambda: doors.gateway.waiting("align_text") == 5)
            doors.unset("it is being restarted")
            for each in waiting:
                with refused("UNAVAILABLE", "server not ready: it is being restarted"):
                    each.result()
        busy.result()


def test_drain_finishes_accepted_calls_and_refuses_new(own_doors, held, asked):
    doors = own_doors(at_once=1)
    with stub_at(doors.grpc_url) as stub:
        with held():
            taken = [occupied(doors, stub, asked)]
            taken += [stub.ModelInfer.future(asked) for _ in range(2)]
            wait_until(lambda: doors.gateway.waiting("align_text") == 2)
            assert doors.drain(0) is False
            with refused("UNAVAILABLE", "server is stopping"):
                stub.ModelInfer(asked)
            reply = http(doors.gateway.http_port, "/v2/models/align_text/infer", json_request("a"))
            assert (reply.status, reply.error) == (503, "server is stopping")
            reply = http(doors.gateway.http_port, "/healthz")
            assert (reply.status, json.loads(reply.body)["stopping"]) == (503, True)
            assert not stub.ServerReady(service_pb2.ServerReadyRequest()).ready
        assert doors.drain(60) is True
        doors.loop.run(doors.gateway.stop())
        for each in taken:
            assert each.result().raw_output_contents


def test_an_idle_gateway_is_drained_at_once(own_doors):
    doors = own_doors()
    assert doors.drain(0) is True
