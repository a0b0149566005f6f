"""Mutated images through the real server: no crash, no hang, and right answers in between."""

import os
import signal
from pathlib import Path

import pytest
from calls import ask_at_once
from fuzz.mutations import mutated
from fuzz.samples import samples
from fuzz.served import serve_images
from fuzz.workers import Worker, decode_in_processes

from align_zoo import load_encoder

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged files


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("align_tiny", runtime="onnx", device="cpu")


def models_processes(server):
    return {
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if int(stat.read_text().rpartition(")")[2].split()[1]) == server.pid
    }


def test_each_is_answered_or_refused_as_in_process(server, encoder):
    processes = models_processes(server)
    assert processes
    told = []
    outcomes = serve_images(server.grpc_url, range(200), encoder, told.append)
    assert outcomes.faults == []
    assert outcomes.tried == sum(told) == 200
    assert outcomes.answered > 20
    assert outcomes.slowest_ms < 10_000
    assert models_processes(server) == processes  # none has died, and been started again
    # Pillow's warnings differ with each file, and Python would keep and print all of them.
    assert "Warning" not in server.log.read_text(errors="replace")


def test_good_images_in_the_batch_are_answered(triton, encoder, images):
    sound = samples()
    requests = [[mutated(seed, sound)[1]] for seed in range(300, 330)]
    requests[::5] = [[data] for data in images[:6]]
    answers = ask_at_once(triton, "align_image", requests)
    expected = encoder.embed_images(images[:6])
    for answer, row in zip(answers[::5], expected, strict=True):
        assert abs(answer[0] - row).max() < 1e-4


def test_long_form_tries_each_seed_once():
    told = []
    outcomes = decode_in_processes(50, 301, 2, told.append)
    assert outcomes.tried == sum(told) == 301
    assert outcomes.faults == []
    assert outcomes.answered + outcomes.refused.total() == 301


@pytest.mark.parametrize(
    ("blow", "fault"),
    [(signal.SIGKILL, "died with exit code -9"), (signal.SIGSTOP, "no end within 5 s")],
    ids=["death", "hang"],
)
def test_long_form_continues_after_crash_and_hang(blow, fault):
    worker, parts = Worker(range(1_000), most_seconds=5.0), []
    while not worker.finished:
        part = worker.news()
        if part:
            if not parts:
                os.kill(worker.process.pid, blow)
            parts.append(part)
    assert sum(part.tried for part in parts) == 1_000
    (told,) = (each for part in parts for each in part.faults)
    assert fault in told
