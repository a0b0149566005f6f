"""The parts of the benchmark's peers that need no environment of their own."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import align_zoo
from benchmarks import peers, perf_analyzer
from benchmarks.peers.environment import fingerprint
from benchmarks.peers.worker import Worker, WorkerError, memory_of, memory_of_tree

ALIGN_TINY = Path(align_zoo.__file__).parent / "assets" / "align_tiny"
PEERS = Path(peers.__file__).parent
MEGABYTE = 1_000_000

# As perf_analyzer 2.50 writes it.
REPORT = """\
Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,\
Server Compute Input,Server Compute Infer,Server Compute Output,Client Recv,\
p50 latency,p90 latency,p95 latency,p99 latency
8,68.3925,61,1031,30410,221,57100,90,12,82938,101200,120040,488131
"""


@pytest.fixture(scope="module")
def ours():
    with Worker("align_zoo", ALIGN_TINY) as worker:
        yield worker


@pytest.fixture(scope="module")
def photo():
    return ALIGN_TINY.parent / "samples" / "red-star.png"


@pytest.fixture(scope="module")
def encoder():
    return align_zoo.load_encoder("align_tiny")


# --- a contender in a process of its own


def test_a_worker_embeds_pixels_as_the_encoder_does(ours, encoder):
    pixels = np.random.default_rng(0).normal(size=(3, 3, 49, 49)).astype(np.float32)
    seconds, rows = ours.pixels(pixels, repeats=2)
    assert seconds > 0
    np.testing.assert_allclose(rows, encoder.embed_pixels(pixels), atol=1e-5)


def test_a_worker_embeds_texts_as_the_encoder_does(ours, encoder):
    texts = ["a cat", "naïve 汉字\n", ""]
    _, rows = ours.texts(texts)
    np.testing.assert_allclose(rows, encoder.embed_texts(texts), atol=1e-5)


def test_a_worker_embeds_files_as_the_encoder_does(ours, encoder, photo):
    _, rows = ours.images([photo, photo])
    np.testing.assert_allclose(rows, encoder.embed_images([photo, photo]), atol=1e-5)


def test_worker_classifies_by_softmax_of_scaled_cosines(ours, encoder, photo):
    labels = ["a red star", "a yellow cross", "a blue triangle"]
    _, scores = ours.classify(photo, labels)
    cosines = encoder.embed_texts(labels) @ encoder.embed_images([photo])[0]
    odds = [np.log(scores[label] / scores[labels[0]]) for label in labels]
    np.testing.assert_allclose(odds, (cosines - cosines[0]) / encoder.temperature, atol=1e-3)
    assert sum(scores.values()) == pytest.approx(1.0)


def test_worker_is_a_separate_process(ours):
    assert ours.pid != os.getpid()
    assert ours.memory() > 10 * MEGABYTE


def test_worker_survives_a_failed_request(ours):
    with pytest.raises(WorkerError, match=r"Traceback[\s\S]*the pixels are \[2, 1, 49, 49\]"):
        ours.pixels(np.zeros((2, 1, 49, 49), np.float32))
    assert ours.texts(["still here"])[1].shape[0] == 1


def test_unusable_checkpoint_ends_the_worker(tmp_path):
    with pytest.raises(WorkerError, match="align_zoo failed"):
        Worker("align_zoo", tmp_path / "absent")


def test_a_dead_worker_is_noticed():
    with Worker("align_zoo", ALIGN_TINY) as worker:
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="ended with exit code -9"):
            worker.texts(["a cat"])
        with pytest.raises(WorkerError, match="ended with exit code -9"):
            worker.texts(["a cat"])


# --- memory


HOLD = "held = bytearray(b'x' * {size}); print('holds', flush=True); input()"


def test_memory_of_a_tree_counts_the_descendants():
    child = HOLD.format(size=60 * MEGABYTE)
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"holds\n"
        assert memory_of(process.pid) < 60 * MEGABYTE <= memory_of_tree(process.pid)
        process.communicate(b"\n")


def test_an_ended_process_takes_no_memory():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert memory_of_tree(process.pid) == 0


# --- environments


def test_environment_follows_requirements_and_python():
    made = [
        fingerprint(requirements, python)
        for requirements in (b"torch==2.13.0", b"torch==2.13.1")
        for python in ("3.11", "3.12")
    ]
    assert len(set(made)) == 4
    assert made[0] == fingerprint(b"torch==2.13.0", "3.11")


@pytest.mark.parametrize("name", ["transformers", "infinity"])
def test_every_requirement_of_a_peer_is_pinned(name):
    lines = (PEERS / f"{name}.txt").read_text().splitlines()
    requirements = [line for line in lines if line and not line.startswith("#")]
    assert requirements
    assert [line for line in requirements if "==" not in line] == []


# --- perf_analyzer


def test_items_have_the_layout_of_bytes_tensors():
    first, second = json.loads(perf_analyzer.input_data("IMAGE", [b"\x00\xff", b"abc"]))["data"]
    assert first["IMAGE"]["shape"] == [1]
    content = base64.b64decode(second["IMAGE"]["content"]["b64"])
    assert content == b"\x03\x00\x00\x00abc"


def test_the_figures_of_a_report_are_read():
    load = perf_analyzer.parse(REPORT)
    assert load == perf_analyzer.Load(68.3925, 82.938, 488.131, 0)
