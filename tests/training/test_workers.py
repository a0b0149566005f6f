"""The processes that read batches: whatever becomes of them, training ends and says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import captioned
import pytest
from captioned import ENVIRONMENT, arguments, log_of, start, write_csv
from waiting import wait_until

LIMIT = 60
"""Seconds for what takes a few; a process that waits for ever is killed then."""


@pytest.fixture
def training(pairs_csv, tmp_path):
    """A training with two workers that has begun its steps."""
    options = ["--steps", "100000", "--log-every", "1", "--workers", "2"]
    process = start(pairs_csv, tmp_path, *options)
    log = tmp_path / "training" / "log.jsonl"
    try:
        wait_until(lambda: process.poll() is not None or (log.exists() and log.read_text()))
        yield process
    finally:
        process.kill()
        process.communicate()


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes of the same command line that it has begun."""
    command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    begun = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(each) for each in begun if Path(f"/proc/{each}/cmdline").read_bytes() == command]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_unreadable_batch_is_named_in_one_line(tmp_path, workers):
    (tmp_path / "broken.png").write_bytes(b"no image")
    data = write_csv(tmp_path / "pairs.csv", [("broken.png", "one"), ("broken.png", "two")])
    process = start(data, tmp_path / "out", "--batch-size", "2", "--workers", workers)
    said = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == 1
    refusal = said.splitlines()[-1]
    assert refusal.startswith("align-zoo: all 2 images of a batch are broken, the first being")
    assert "Traceback" not in said


@pytest.mark.parametrize("kept", [False, True], ids=["let go of", "kept until the end"])
def test_unexpected_worker_error_ends_the_process(tmp_path, kept):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from align_zoo.training.loading import read_ahead\n"
        "class Failing:\n"
        "    def __getitem__(self, index):\n"
        "        raise MemoryError('no more of it')\n"
        "try:\n"
        "    list(read_ahead(Failing(), range(9), workers=2))\n"
        "except MemoryError as error:\n"
        f"    kept = error if {kept} else None\n"
        "    print('no more of it' in str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, script], env=ENVIRONMENT, capture_output=True, text=True, timeout=LIMIT
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


DEATHS = list(product(["ConnectionResetError", "OSError", "EOFError"], ["main", "other"]))
ERRORS = list(product(["ConnectionResetError", "RuntimeError"], ["0", "1"]))


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """By case what reading raises, each in a process of its own."""
    cases = [f"{error}:{thread}:dies:2" for error, thread in DEATHS]
    cases += [f"{error}:main:lives:{workers}" for error, workers in ERRORS]
    done = subprocess.run(
        [sys.executable, Path(captioned.__file__).with_name("unreadable.py"), *cases],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=len(cases) * LIMIT,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(cases, done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize(("error", "thread"), DEATHS)
def test_dead_worker_is_named(said, error, thread):
    raised = said[f"{error}:{thread}:dies:2"]
    assert "TrainingError: a process that decodes images is gone: DataLoader worker" in raised
    assert "--resume goes on" in raised


@pytest.mark.parametrize(("error", "workers"), ERRORS)
def test_error_without_a_dead_worker_is_unchanged(said, error, workers):
    assert said[f"{error}:main:lives:{workers}"].startswith(f"{error}: ")


def test_a_worker_that_is_killed_is_named(training):
    os.kill(workers_of(training)[0], signal.SIGKILL)
    said = training.communicate(timeout=LIMIT)[1]
    assert training.returncode == 1
    assert "align-zoo: a process that decodes images is gone: DataLoader worker" in said
    assert "RuntimeError" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_group_signal_ends_training_after_a_step(training, tmp_path, number):
    for process in [*workers_of(training), training.pid]:
        os.kill(process, number)
    said = training.communicate(timeout=LIMIT)[1]
    assert training.returncode == 128 + number
    step = log_of(tmp_path)[-1]["step"]
    assert f"stopped by {number.name} after step {step} of" in said
    assert (tmp_path / "training" / f"state-{step:08d}").is_dir()


def test_workers_run_without_the_sender_of_signals(pairs_csv, tmp_path):
    # As on macOS.
    script = "import signal, runpy; del signal.sigwaitinfo; "
    script += "runpy.run_module('align_zoo.training', run_name='__main__')"
    options = arguments(pairs_csv, tmp_path, "--steps", "2", "--workers", "1")
    done = subprocess.run(
        [sys.executable, "-c", script, *options],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    assert "Exception" not in done.stderr
