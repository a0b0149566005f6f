"""A tower computes on as many threads as it is told to."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

import align_zoo
from align_zoo.evaluation.checkpoint import load
from align_zoo.runtime import machine
from align_zoo.runtime.machine import cores
from align_zoo.runtime.onnx.nchwc import images_at_once
from align_zoo.runtime.torch import encoder as torch_encoder
from align_zoo.training.finetune import FinetuneOptions, finetune
from align_zoo.training.trainer import Every

LOADING = """
import json, os, sys
import align_zoo

def threads():
    return len(os.listdir("/proc/self/task"))

name, runtime, count = sys.argv[1], sys.argv[2], int(sys.argv[3]) or None
encoder = align_zoo.load_encoder(name, runtime=runtime, device="cpu", threads=count)
before = threads()
encoder.text
text = threads() - before
encoder.image
image = threads() - before - text
torch, computing = sys.modules.get("torch"), None
if torch:
    tower = encoder.text.batches
    function, before = tower.function, torch.get_num_threads()

    def asked(*inputs):
        global computing
        computing = torch.get_num_threads()
        return function(*inputs)

    tower.function = asked
    encoder.embed_texts(["cat"])
    assert torch.get_num_threads() == before
print(json.dumps([text + 1, image + 1, computing]))
"""


def loaded(checkpoint, runtime: str, count: int) -> list[int]:
    """Threads of the text tower, of the image tower (at least), of torch while it computes."""
    done = subprocess.run(
        [sys.executable, "-c", LOADING, str(checkpoint), runtime, str(count)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
@pytest.mark.parametrize("count", [0, 1, cores() + 3])
def test_onnx_towers_use_the_given_threads(checkpoint, exported, count):
    wanted = count or cores()
    text, image, torch = loaded(checkpoint, "onnx", count)
    assert text == wanted
    assert image == 1 if wanted == 1 else image >= wanted
    assert torch is None


def test_torch_towers_use_the_given_threads(checkpoint):
    assert loaded(checkpoint, "torch", cores() + 3)[2] == cores() + 3


def evaluation(checkpoint, _):
    load(checkpoint)


def fine_tuning(checkpoint, out):
    options = FinetuneOptions(str(checkpoint), data="absent.csv", out=out)
    with pytest.raises(align_zoo.AlignZooError, match=r"absent\.csv"):
        finetune(options, Every(save=1, log=1, measure=1))


@pytest.mark.parametrize("begin", [evaluation, fine_tuning])
@pytest.mark.parametrize(("available", "wanted"), [(1, 1), (1000, None)])
def test_torch_uses_at_most_the_cores(checkpoint, tmp_path, monkeypatch, begin, available, wanted):
    asked: list[int] = []
    monkeypatch.setattr(machine, "cores", lambda: available)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    begin(checkpoint, tmp_path)
    assert asked == [wanted or torch.get_num_threads()]


@pytest.mark.parametrize("available", [1, 1000])
def test_torch_encoder_changes_no_other_threads_setting(checkpoint, monkeypatch, available):
    asked: list[int] = []
    monkeypatch.setattr(torch_encoder, "cores", lambda: available)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    encoder = align_zoo.load_encoder(checkpoint, runtime="torch", device="cpu")
    assert asked == []
    assert encoder.threads == min(available, torch.get_num_threads())


@pytest.mark.parametrize("count", [1, 3, 6])
def test_portion_has_the_images_that_share_threads(checkpoint, exported, count):
    encoder = align_zoo.load_encoder(checkpoint, runtime="onnx", threads=count)
    assert encoder.images_at_once == images_at_once(count)
