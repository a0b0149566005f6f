"""The training script: it runs, it stops, and it goes on as if it had never stopped."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AlignModel
from typer.testing import CliRunner

import align_zoo
from align_zoo.emoji import train

SMALL = ["--steps=4", "--concepts=4", "--measure-every=2", "--workers=0"]


@pytest.fixture(autouse=True)
def _no_npm(monkeypatch, drawings):
    monkeypatch.setattr(train, "load_drawings", lambda folder: drawings)


def run(out, *more):
    return CliRunner().invoke(train.app, [str(out), *SMALL, *more])


def test_resumed_training_equals_an_uninterrupted_one(tmp_path):
    assert run(tmp_path / "whole").exit_code == 0
    assert run(tmp_path / "parts", "--stop-after=2").exit_code == 0
    assert run(tmp_path / "parts", "--resume").exit_code == 0
    one, two = (load_file(tmp_path / each / "model.safetensors") for each in ("whole", "parts"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        torch.testing.assert_close(weight, two[name], rtol=0, atol=0, msg=name)


def test_weights_on_disk_are_halves_of_equal_value(tmp_path):
    assert run(tmp_path / "out").exit_code == 0
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {each.dtype for each in weights.values()} <= {torch.float16, torch.int64}  # counters
    model = AlignModel.from_pretrained(tmp_path / "out")
    assert model.dtype == torch.float32
    for name, weight in model.state_dict().items():
        if name in weights:
            torch.testing.assert_close(weight, weights[name].to(weight), rtol=0, atol=0, msg=name)
    ours = align_zoo.create_align(tmp_path / "out")[0]
    assert ours.temperature.dtype == torch.float32
    assert ours.temperature.item() == model.temperature.item()


def test_the_log_has_the_measurements(tmp_path):
    assert run(tmp_path / "out", "--watch=twemoji").exit_code == 0
    lines = (tmp_path / "out" / "training" / "log.jsonl").read_text().splitlines()
    measured = [each for each in map(json.loads, lines) if "name_first" in each]
    assert [each["step"] for each in measured] == [0, 2, 4]
    assert all(0 <= each["name_first"] <= each["name_in_five"] <= 1 for each in measured)


def test_another_plan_is_refused(tmp_path):
    assert run(tmp_path, "--stop-after=2").exit_code == 0
    result = run(tmp_path, "--resume", "--without=noto")
    assert result.exit_code == 1
    assert "--without [], not ['noto']" in result.output
