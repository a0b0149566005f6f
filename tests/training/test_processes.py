"""Two processes with a batch each train as one process with both batches."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
import torch
from captioned import ENVIRONMENT, arguments, log_of, losses_of, weights_of, write_csv

from align_zoo.tiny.evaluate import EMBEDDED

STEPS = ["--steps", "4", "--log-every", "1", "--eval-every", "2"]
# Kernels that round alike on every processor. The gradients of queries and keys are so small beside
# their terms that Adam, which divides by them, shows what AVX-512 rounds in another order.
ROUNDING = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
ROUNDING["MKL_ENABLE_INSTRUCTIONS"] = "AVX2"


@pytest.fixture(scope="module")
def data(pairs_csv, tmp_path_factory):
    """24 pairs, one of them broken: the processes' batches are not always of one size."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "broken.png").write_bytes(b"no image")
    rows = [(str(pairs_csv.with_name(f"{i}.png")), f"picture {i}") for i in range(23)]
    return write_csv(folder / "pairs.csv", [*rows, ("broken.png", "broken")])


@pytest.fixture(scope="module")
def together(data, tmp_path_factory):
    """What two processes with batches of 4 write; they talk on loopback."""
    out = tmp_path_factory.mktemp("together") / "out"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    return trained(data, out, *launcher, batch=4)


@pytest.fixture
def alone(data, tmp_path):
    """What one process with batches of 8 writes."""
    return trained(data, tmp_path, batch=8)


def trained(data, out, *launcher, batch):
    options = [*STEPS, "--batch-size", str(batch), "--eval-data", str(data)]
    command = [sys.executable, *launcher, "-m", "align_zoo.training"]
    command += arguments(data, out, *options)
    environment = {**ENVIRONMENT, **ROUNDING}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_two_processes_train_like_one(together, alone):
    assert losses_of(together) == pytest.approx(losses_of(alone), abs=1e-5)
    start, one, two = weights_of(EMBEDDED), weights_of(alone), weights_of(together)
    for name in one:
        moved = (one[name] - start[name]).float().norm()
        apart = (two[name] - one[name]).float().norm()
        # A key's bias changes no attention: its gradient is rounding error alone.
        if not name.endswith("attention.self.key.bias"):
            assert apart <= 1e-3 * moved + 1e-7, name
    assert not torch.equal(one["temperature"], start["temperature"])


def test_one_process_writes_the_log(together, alone):
    def told(out):
        return [(line["step"], line.get("broken"), line.keys()) for line in log_of(out)]

    assert told(together) == told(alone)
    assert any(broken for _, broken, _ in told(together))
