"""The training script: it runs, it stops, and it goes on as if it had never stopped."""

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from align_zoo.tiny.evaluate import Checkpoint
from align_zoo.tiny.train import app

SMALL = ["--steps", "4", "--batch", "8", "--images", "40", "--evaluate-every", "0"]


def run(out, *more):
    result = CliRunner().invoke(app, ["--out", str(out), *SMALL, *more])
    return result


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    result = run(out)
    assert result.exit_code == 0, result.output
    return out


def test_a_training_writes_a_folder_that_opens(whole):
    checkpoint = Checkpoint.load(whole)
    assert checkpoint.embed_texts(["a red circle"]).shape == (1, 128)
    assert 0.01 <= checkpoint.model.temperature.item() <= 1


def test_resumed_training_equals_an_uninterrupted_one(whole, tmp_path):
    assert run(tmp_path, "--stop-after", "2").exit_code == 0
    assert not (tmp_path / "model.safetensors").exists()
    assert run(tmp_path, "--resume").exit_code == 0
    one, two = load_file(whole / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert one.keys() == two.keys()
    for name, weight in one.items():
        torch.testing.assert_close(weight, two[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize(("option", "named"), [("--seed", "0, not 1"), ("--batch", "8, not 1")])
def test_resuming_another_plan_is_refused(tmp_path, option, named):
    assert run(tmp_path, "--stop-after", "2").exit_code == 0
    result = run(tmp_path, "--resume", option, "1")
    assert result.exit_code == 1
    assert "was begun with" in result.output
    assert f"{option} {named}" in result.output


def test_resuming_nothing_is_refused(tmp_path):
    result = run(tmp_path, "--resume")
    assert result.exit_code == 1
    assert "nothing to resume" in result.output


def test_folder_with_other_files_is_refused(whole):
    result = run(whole)
    assert result.exit_code == 1
    assert "other files already" in result.output
