"""A backend that dies: what its callers are told, and whoever watches over it."""

import dataclasses
import os
import signal
from pathlib import Path

from doors import open_doors, stop, stub_at
from messages import http, json_request, message, refused
from waiting import wait_until

from align_zoo.serving.triton.processes import triton_processes

TEXT = message("align_text", [b"a"])
INFER = "/v2/models/align_text/infer"


def unset_on_death(doors):
    """As whoever watches over the servers does."""

    def unset(backend, reason, model):
        doors.deaths.append(reason)
        doors.backends.unset("it is restarting")

    doors.on_death = unset


def test_model_process_death_reaches_callers_and_supervisor(loop, mortal):
    server, folder = mortal
    with open_doors(loop, folder, at_once=1) as doors, stub_at(doors.grpc_url) as stub:
        unset_on_death(doors)
        stub.ModelInfer(TEXT)
        stop(server)  # until all is in its place
        inside = stub.ModelInfer.future(TEXT)
        wait_until(lambda: doors.at_work == 1)
        waiting = [stub.ModelInfer.future(TEXT) for _ in range(3)]
        wait_until(lambda: doors.gateway.waiting("align_text") == 3)
        (process,) = (
            pid for pid in triton_processes(server.shm_prefix, "/align_text/") if pid != server.pid
        )
        os.kill(process, signal.SIGKILL)
        server.send_signal(signal.SIGCONT)
        with refused("ABORTED", "server restarted: "):
            inside.result()
        for each in waiting:
            with refused("UNAVAILABLE", "server not ready: it is restarting"):
                each.result()
        assert doors.deaths == ["a model's process has died"]


def test_a_dead_model_is_reported_over_http_too(loop, mortal):
    server, folder = mortal
    with open_doors(loop, folder) as doors:
        for process in triton_processes(server.shm_prefix, "/align_text/"):
            if process != server.pid:
                os.kill(process, signal.SIGKILL)
        reply = http(doors.gateway.http_port, INFER, json_request("a"))
        assert (reply.status, reply.error[:18]) == (503, "server restarted: ")
        assert doors.deaths == ["a model's process has died"]


def test_server_death_reaches_callers(loop, mortal):
    server, folder = mortal
    with open_doors(loop, folder) as doors, stub_at(doors.grpc_url) as stub:
        stub.ModelInfer(TEXT)  # the connection is there
        stop(server)  # so that it is at work when it dies
        inside = stub.ModelInfer.future(TEXT)
        wait_until(lambda: doors.at_work == 1)
        server.send_signal(signal.SIGKILL)
        with refused("ABORTED", "server restarted: "):
            inside.result()
        # Nobody has told that there is none now: the next call was never sent, and may be again.
        with refused("UNAVAILABLE", "server not ready: it is restarting"):
            stub.ModelInfer(TEXT)
        reply = http(doors.gateway.http_port, INFER, json_request("a"))
        assert (reply.status, reply.error) == (503, "server not ready: it is restarting")
        assert doors.deaths == []  # who started the server sees its end


def test_channel_closed_during_call_counts_as_death(loop, mortal):
    server, folder = mortal
    with open_doors(loop, folder) as doors, stub_at(doors.grpc_url) as stub:
        stub.ModelInfer(TEXT)
        stop(server)
        inside = stub.ModelInfer.future(TEXT)
        wait_until(lambda: doors.at_work == 1)
        loop.run(doors.backends.current.channel.close())
        with refused("ABORTED", "server restarted: "):
            inside.result()


def test_caller_cannot_fake_a_death(doors, stub):
    words = "Stub process 'align_text_0_0' is not healthy."
    asked = message("align_text", [b""], id=words)
    with refused("INVALID_ARGUMENT", ""):
        stub.ModelInfer(asked)
    asked.inputs[0].datatype = words
    with refused("INVALID_ARGUMENT", ""):
        stub.ModelInfer(asked)
    http(doors.gateway.http_port, INFER, json_request("a").replace(b"BYTES", words.encode()))
    assert doors.deaths == []
    stub.ModelInfer(TEXT)


def test_internal_error_is_no_death(own_doors, capfd):
    doors = own_doors()
    unusable = Path("/" + "x" * 200)  # longer than a socket's path may be
    backend = dataclasses.replace(doors.backends.current, http=unusable)
    doors.loop.call(doors.backends.set, backend)
    reply = http(doors.gateway.http_port, INFER, json_request("secret"))
    assert reply.status == 500
    assert reply.error.startswith("internal error (")
    assert doors.deaths == []
    text = capfd.readouterr().err
    assert "internal_error" in text
    assert "secret" not in text
