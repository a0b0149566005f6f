"""`align-zoo reload`: another checkpoint in a running service, without a failed request."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from served import starts_server
from serving import events, serving, shared_memory
from steady import Steady
from waiting import wait_until

import align_zoo
from align_zoo import create_align
from align_zoo.runtime.load import export_checkpoint
from align_zoo.serving.routing import Backends
from align_zoo.serving.supervision.control import control_socket
from align_zoo.serving.supervision.run_folder import RunFolder
from align_zoo.serving.supervision.supervisor import Supervisor
from align_zoo.serving.supervision.watch import Cause, Fault
from align_zoo.serving.triton.command import ServeOptions

TINY = Path(align_zoo.__file__).parent / "assets" / "align_tiny"
ALIGN_ZOO = Path(sys.executable).with_name("align-zoo")
TEXTS = ["a red circle", "blue", "the digit three"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A folder that the service serves, and that the tests change."""
    return shutil.copytree(TINY, tmp_path_factory.mktemp("served") / "checkpoint")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """align_tiny with other answers."""
    folder = shutil.copytree(TINY, tmp_path_factory.mktemp("other") / "checkpoint")
    file = folder / "model.safetensors"
    weights = load_file(file)
    (name,) = [name for name in weights if name.endswith("text_projection.weight")]
    torch.manual_seed(0)
    weights[name] = torch.randn_like(weights[name])
    save_file(weights, file, metadata={"format": "pt"})
    export_checkpoint(str(folder))
    return folder


@pytest.fixture(scope="module")
@starts_server
def service(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, "--restart-limit=100", model=checkpoint) as running:
        yield running


@pytest.fixture(autouse=True)
def _the_first_checkpoint_again(service, checkpoint):
    first = service.health()["checkpoint"]
    yield
    if service.health()["checkpoint"] != first:
        assert reload(service, f"--model={checkpoint}").returncode == 0


def reload(service, *words, **options):
    return subprocess.run(
        reload_command(service, *words),
        env=service.env,
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def reload_command(service, *words):
    return [str(ALIGN_ZOO), "reload", f"--grpc-port={service.grpc_port}", *words]


@torch.inference_mode()
def answers(*folders):
    """Questions with the answers of each checkpoint: (model, item, embedding [D], ...)."""
    vectors = []
    for folder in folders:
        model, _, tokenizer = create_align(str(folder))
        vectors.append(model.encode_text(tokenizer(TEXTS), normalize=True).numpy())
    return [("align_text", text.encode(), *each) for text, *each in zip(TEXTS, *vectors)]


def all_right(callers):
    """Wait until what is asked from now on has been answered right."""
    now = time.monotonic()
    wait_until(lambda: callers.right["align_text"] > now)


def test_the_new_answers_come_without_a_failed_request(service, checkpoint, other):
    with Steady(service.url, answers(checkpoint, other), callers=4) as callers:
        all_right(callers)
        done = reload(service, f"--model={other}")
        assert done.returncode == 0, done.stderr
        all_right(callers)
    assert not callers.errors
    assert not callers.wrong
    assert done.stdout.startswith(f"{other} is served now: checkpoint ")
    with Steady(service.url, answers(other)) as callers:
        all_right(callers)
    assert not callers.wrong


def test_the_server_before_is_gone(service):
    before = service.pids()[1:]
    memory = set(shared_memory(service))
    assert reload(service).returncode == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in before)
    assert memory
    assert not memory & set(shared_memory(service))


def test_reload_without_name_reads_the_folder_again(service, checkpoint, other):
    kept = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    try:
        assert reload(service).returncode == 0
        with Steady(service.url, answers(other)) as callers:
            all_right(callers)
        assert not callers.wrong
    finally:
        (checkpoint / "model.safetensors").write_bytes(kept)


def test_a_relative_folder_is_that_of_the_caller(service, other):
    done = reload(service, "--model=checkpoint", cwd=other.parent)
    assert done.stdout.startswith(f"{other} is served now")


def test_callers_see_the_new_models_name(service, other, tmp_path):
    (tmp_path / "renamed").symlink_to(other)
    assert named(service) == "checkpoint"
    assert reload(service, f"--model={tmp_path / 'renamed'}").returncode == 0
    assert named(service) == "renamed"


def named(service):
    """The model's name over HTTP; its fingerprint is the one that the operator sees."""
    with urllib.request.urlopen(f"{service.http}/v1/models", timeout=10) as answer:
        (model,) = json.load(answer)["data"]
    assert model["checkpoint"] == service.health()["checkpoint"]
    return model["id"]


@pytest.mark.parametrize("damage", ["absent", "without-config", "without-weights"])
def test_a_bad_checkpoint_leaves_the_old_one_serving(service, checkpoint, tmp_path, damage):
    bad = tmp_path / "bad"
    if damage != "absent":
        shutil.copytree(checkpoint, bad)
        (bad / {"without-config": "config.json"}.get(damage, "model.safetensors")).unlink()
    with Steady(service.url, answers(checkpoint)) as callers:
        all_right(callers)
        done = reload(service, f"--model={bad}")
        all_right(callers)
    assert done.returncode == 1
    assert re.match(rf"align-zoo: .*{re.escape(str(bad))}", done.stderr)
    assert len(done.stderr.splitlines()) == 1
    assert not callers.errors
    assert not callers.wrong
    assert service.health()["ready"]


def test_second_concurrent_reload_is_refused(service, checkpoint):
    before = events(service, "reload")
    with subprocess.Popen(
        reload_command(service, f"--model={checkpoint}"), env=service.env
    ) as first:
        wait_until(lambda: len(service.pids()) > 6)  # a second tritonserver
        second = reload(service)
        assert first.wait(60) == 0
    assert second.returncode == 1
    assert second.stderr.startswith("align-zoo: another reload is under way")
    assert len(events(service, "reload")) == len(before) + 1


def test_reload_survives_a_fault_of_the_old_server(service, checkpoint, other):
    old = service.tritonserver()
    with Steady(service.url, answers(checkpoint, other)) as callers:
        all_right(callers)
        command = reload_command(service, f"--model={other}")
        with subprocess.Popen(command, env=service.env) as order:
            wait_until(lambda: len(service.pids()) > 6)
            os.kill(old, signal.SIGKILL)
            assert order.wait(60) == 0
        all_right(callers)
    assert not callers.wrong
    with Steady(service.url, answers(other)) as callers:
        all_right(callers)
    assert not callers.wrong
    wait_until(lambda: len(service.pids()) == 5)  # itself, tritonserver, its guardian, two models


@pytest.mark.served
def test_late_fault_of_old_server_spares_new_one():
    async def race():
        with RunFolder() as folder:
            supervisor = Supervisor(ServeOptions(model="align_tiny"), Backends(), folder)
            serves = asyncio.create_task(supervisor.run())
            try:
                while not supervisor.health()[0]:
                    assert not serves.done()
                    await asyncio.sleep(0.05)
                old = supervisor._current
                await supervisor.reload()
                await supervisor._restart(old, Fault(Cause.EXITED, "found before, told now"))
                return supervisor.health()
            finally:
                serves.cancel()
                await supervisor.close()

    ready, about = asyncio.run(race())
    assert ready
    assert (about["backend"], about["restarts"]) == (2, 0)


def test_a_later_restart_serves_the_new_checkpoint(service, other):
    assert reload(service, f"--model={other}").returncode == 0
    before = len(events(service, "restart"))
    os.kill(service.tritonserver(), signal.SIGKILL)
    wait_until(lambda: len(events(service, "restart")) > before)
    with Steady(service.url, answers(other)) as callers:
        all_right(callers)
    assert not callers.wrong


@pytest.mark.served
def test_sigterm_during_a_reload_ends_both_servers(tmp_path):
    with serving(tmp_path) as service:
        with subprocess.Popen(
            reload_command(service), env=service.env, stderr=subprocess.PIPE, text=True
        ) as order:
            wait_until(lambda: len(service.pids()) > 6)
            children = service.pids()[1:]
            service.process.terminate()
            assert service.process.wait(60) == 0
            assert order.wait(60) == 1
            assert order.stderr.read().startswith("align-zoo: the service ended before")
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
        assert not shared_memory(service)
        assert not list(service.tmp.glob("align-zoo*"))


def test_service_takes_no_port_of_another_address(service):
    served = service.health()["checkpoint"]
    before = len(events(service, "reload"))

    async def another():
        async def nothing(**_):
            raise AssertionError("it was taken")

        with RunFolder() as folder:
            async with control_socket(folder, service.grpc_port, nothing):
                return await asyncio.to_thread(reload, service)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(service.tmp))
        done = asyncio.run(another())
    assert done.returncode == 1
    assert done.stderr.startswith(f"align-zoo: several services have gRPC port {service.grpc_port}")
    assert {str(os.getpid()), str(service.process.pid)} <= set(re.findall(r"\d+", done.stderr))
    assert service.health()["checkpoint"] == served
    assert len(events(service, "reload")) == before


def test_missing_service_is_named(service):
    done = subprocess.run(
        [str(ALIGN_ZOO), "reload", "--grpc-port=1"],
        env=service.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("align-zoo: no `align-zoo serve` of this user has gRPC port 1:")
