"""Faults of a running service: right answers come again, and no wrong one ever does."""

import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from calls import ask
from served import starts_server
from serving import events, owners, restarts, serving, shared_memory
from steady import Steady
from tritonclient import grpc
from waiting import wait_until

import align_zoo
from align_zoo import create_align
from align_zoo.inputs.decode import decode_image
from align_zoo.serving.triton.processes import is_alive

TINY = Path(align_zoo.__file__).parent / "assets" / "align_tiny"
REPOSITORY = Path(__file__).parents[2] / "model_repository"
TEXTS = ["a red circle", "blue", "the digit three", "a photo of a big green star"]


@pytest.fixture(scope="module")
@torch.inference_mode()
def known(images):
    """Questions to align_tiny with their answers: (model, item, embedding [D])."""
    model, transform, tokenizer = create_align("align_tiny")
    pixels = torch.stack([transform(decode_image(data)) for data in images])
    rows = model.encode_image(pixels, normalize=True).numpy()
    texts = model.encode_text(tokenizer(TEXTS), normalize=True).numpy()
    return [
        *(("align_image", *each) for each in zip(images, rows, strict=True)),
        *(("align_text", t.encode(), v) for t, v in zip(TEXTS, texts, strict=True)),
    ]


@pytest.fixture(scope="module")
@starts_server
def service(tmp_path_factory):
    """One for all faults, as patient with them as there are many."""
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, "--restart-limit=100") as running:
        yield running


def tritonserver(service):
    return service.tritonserver()


def image_model(service):
    return service.model_process("align_image")


def text_model(service):
    return service.model_process("align_text")


@pytest.mark.alone
@pytest.mark.parametrize(
    ("number", "whom", "causes"),
    [
        (signal.SIGKILL, image_model, ["model_died"]),
        (signal.SIGKILL, text_model, ["model_died"]),
        (signal.SIGKILL, tritonserver, ["exited"]),
        (signal.SIGSTOP, tritonserver, ["no_answer"]),
        # Whether Triton or our probe is the first to give it up.
        (signal.SIGSTOP, image_model, ["model_died", "no_answer"]),
    ],
)
def test_service_recovers_within_15_seconds(service, known, record_property, number, whom, causes):
    pid = whom(service)
    everything = service.pids()[1:]
    before = len(events(service, "restart"))
    counted = sum(restarts(service, cause) for cause in causes)
    with Steady(service.url, known) as callers:
        wait_until(lambda: callers.right_since(0))
        begin = time.monotonic()
        os.kill(pid, number)
        wait_until(lambda: len(events(service, "restart")) > before)
        restarted = time.monotonic()
        wait_until(lambda: callers.right_since(restarted))
        seconds = time.monotonic() - begin
    record_property("seconds", round(seconds, 1))
    print(f"{signal.Signals(number).name} to {whom.__name__}: right again after {seconds:.1f} s")
    assert seconds < 15
    assert not callers.wrong
    assert events(service, "restart")[-1]["cause"] in causes
    assert sum(restarts(service, cause) for cause in causes) == counted + 1
    assert not any(Path(f"/proc/{old}").exists() for old in everything)
    assert service.health()["ready"]


def test_callers_get_a_retryable_error(service, known):
    before = len(events(service, "restart"))
    with Steady(service.url, known) as callers:
        wait_until(lambda: callers.right_since(0))
        os.kill(tritonserver(service), signal.SIGKILL)
        wait_until(lambda: len(events(service, "restart")) > before)
    words = [each.words for each in callers.errors]
    assert any("server not ready: it restarts: tritonserver" in each for each in words)
    allowed = ("UNAVAILABLE: server not ready: ", "ABORTED: server restarted: ")
    assert [each for each in words if not each.startswith(allowed)] == []


def test_dead_server_leaves_nothing_behind(service):
    (folder,) = service.tmp.glob("align-zoo-run-*")
    number = str(service.health()["backend"])
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {number}
    mine = shared_memory(service)
    assert mine
    assert all(f"_{number}_" in path.name for path in mine)


def test_service_raises_its_limit_of_open_files(service):
    soft, hard = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


@pytest.mark.served
def test_missing_checkpoint_is_named_and_served_once_back(known, tmp_path):
    checkpoint = shutil.copytree(TINY, tmp_path / "checkpoint")
    away = tmp_path / "away"
    with serving(tmp_path, model=checkpoint) as service, Steady(service.url, known) as callers:
        checkpoint.rename(away)
        now = time.monotonic()
        wait_until(lambda: callers.right_since(now))  # it is in memory
        os.kill(tritonserver(service), signal.SIGKILL)
        wait_until(lambda: len(events(service, "restart_failed")) >= 2)
        assert not service.health()["ready"]
        away.rename(checkpoint)
        wait_until(lambda: events(service, "restart"))
        now = time.monotonic()
        wait_until(lambda: callers.right_since(now))
        first, second = events(service, "restart_failed")
    assert not callers.wrong
    assert f"{checkpoint} does not exist" in first["reason"]
    assert 0 < first["again_in"] <= 1 <= second["again_in"] <= 2


@pytest.mark.served
def test_restart_without_free_files_is_retried(known, tmp_path):
    with serving(tmp_path, "--restart-limit=100") as service:
        pid = service.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (10, hard))
        recovers(
            service, known, lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        )


# Not by a limit of its memory, which tritonserver would inherit, and which a thread that takes
# an ended one's stack does not meet.
NO_THREADS_WHILE_THERE_IS = """
import sys, threading
from pathlib import Path
from align_zoo.cli import app

shortage, start = Path(sys.argv.pop(1)), threading.Thread.start

def refused(thread):
    if shortage.exists():
        raise RuntimeError("can't start new thread")
    start(thread)

threading.Thread.start = refused
app()
"""


@pytest.mark.served
def test_restart_without_free_threads_is_retried(known, tmp_path):
    shortage = tmp_path / "shortage"
    with serving(tmp_path, "--restart-limit=100", start=False) as service:
        service.command[:1] = [sys.executable, "-c", NO_THREADS_WHILE_THERE_IS, str(shortage)]
        service.start()
        shortage.touch()
        recovers(service, known, shortage.unlink)
        failed = events(service, "restart_failed")
    assert all("can't start new thread" in each["reason"] for each in failed)


def recovers(service, known, end_shortage):
    """A model dies; it fails to restart twice, until there is an end of the shortage."""
    os.kill(text_model(service), signal.SIGKILL)
    wait_until(lambda: len(events(service, "restart_failed")) >= 2)
    end_shortage()
    with Steady(service.url, known) as callers:
        wait_until(lambda: callers.right_since(0))
    assert not callers.wrong
    assert events(service, "restart")


@pytest.mark.served
def test_sigterm_answers_what_was_accepted_and_leaves_nothing(known, tmp_path):
    with serving(tmp_path) as service, Steady(service.url, known, callers=8) as callers:
        wait_until(lambda: callers.right_since(0))
        assert shared_memory(service)
        children = service.pids()[1:]
        service.process.terminate()
        signalled = time.monotonic()
        assert service.process.wait(60) == 0
        assert events(service, "stopped")[0]["answered_all"]
        assert not list(service.tmp.glob("align-zoo*"))
        assert not shared_memory(service)
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    assert not callers.wrong
    # One that was on its way when the signal came is answered, or was too late to be accepted.
    early = [each.words for each in callers.errors if each.asked < signalled]
    assert [each for each in early if each != "UNAVAILABLE: server is stopping"] == []


@pytest.mark.served
def test_next_start_cleans_up_after_killed_service(tmp_path):
    with serving(tmp_path) as service:
        servers = tritonserver(service), text_model(service), image_model(service)
        os.kill(servers[-1], signal.SIGSTOP)  # it does not notice anything
        left = shared_memory(service)
        assert left
        service.process.kill()
        service.process.wait()
        wait_until(lambda: not any(map(is_alive, servers)))
        service.start()
        assert not any(path.exists() for path in left)
        assert len(list(service.tmp.glob("align-zoo-run-*"))) == 1
        (cleaned,) = events(service, "cleaned")
        assert cleaned["folders"][0].removeprefix("align-zoo-run-") in owners(service)
        with grpc.InferenceServerClient(service.url) as client:
            ask(client, "align_text", [b"hello"])


@pytest.mark.served
def test_service_gives_up_after_too_many_failures(tmp_path):
    repository = shutil.copytree(REPOSITORY, tmp_path / "model_repository")
    with serving(tmp_path, f"--repository={repository}", "--restart-limit=3") as service:
        shutil.rmtree(repository)
        os.kill(tritonserver(service), signal.SIGKILL)
        assert service.process.wait(60) == 1
        last = service.log.read_text().splitlines()[-1]
        assert last.startswith("align-zoo: given up after 3 failures")
        assert last.endswith(f"there is no model repository at {repository}")
        assert not shared_memory(service)
