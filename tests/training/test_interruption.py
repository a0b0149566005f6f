"""An interrupted training goes on and ends where an uninterrupted one does, bit for bit."""

from __future__ import annotations

import shutil
import signal
import subprocess

import pytest
import torch
from captioned import log_of, losses_of, run, start, weights_of
from typer.testing import Result

from align_zoo.training.states import States

STEPS = ["--steps", "12", "--save-every", "2", "--log-every", "1", "--eval-every", "1"]


@pytest.fixture(scope="module")
def whole(pairs_csv, tmp_path_factory):
    """The folder of an uninterrupted training."""
    out = tmp_path_factory.mktemp("whole") / "out"
    result = run(pairs_csv, out, *STEPS, "--eval-data", str(pairs_csv))
    assert result.exit_code == 0, result.output
    return out


def interrupt(pairs_csv, out, number: signal.Signals) -> subprocess.Popen[str]:
    """Send a signal to a training as soon as it says that it has come to step 5."""
    process = start(pairs_csv, out, *STEPS, "--eval-data", str(pairs_csv))
    for line in process.stdout:
        if line.startswith("step 5:"):
            process.send_signal(number)
            break
    process.said = process.communicate()[1]
    return process


def resume(pairs_csv, out) -> Result:
    return run(pairs_csv, out, *STEPS, "--eval-data", str(pairs_csv), "--resume")


def assert_equal_weights(one, other):
    one, other = weights_of(one), weights_of(other)
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert torch.equal(weight, other[name]), name


def test_killed_training_resumes_from_its_last_state(pairs_csv, whole, tmp_path):
    assert interrupt(pairs_csv, tmp_path, signal.SIGKILL).returncode == -signal.SIGKILL
    assert not (tmp_path / "config.json").exists()
    saved = sorted(path.name for path in (tmp_path / "training").glob("state-*"))
    assert "state-00000004" in saved
    assert len(saved) <= 2
    assert resume(pairs_csv, tmp_path).exit_code == 0
    assert_equal_weights(whole, tmp_path)


def assert_stopped(out, process, number: signal.Signals):
    assert process.returncode == 128 + number
    step = log_of(out)[-1]["step"]
    assert 5 <= step < 12
    assert f"stopped by {number.name} after step {step} of 12" in process.said
    assert "--resume goes on" in process.said
    kept = sorted(path.name for path in (out / "training").glob("state-*"))
    assert len(kept) == 2
    assert kept[-1] == f"state-{step:08d}"


@pytest.fixture(scope="module")
def stopped(pairs_csv, tmp_path_factory):
    """The folder of a training that SIGTERM ended after a whole step."""
    out = tmp_path_factory.mktemp("stopped") / "out"
    assert_stopped(out, interrupt(pairs_csv, out, signal.SIGTERM), signal.SIGTERM)
    return out


@pytest.fixture
def unfinished(stopped, tmp_path):
    """A copy of it."""
    return shutil.copytree(stopped, tmp_path / "unfinished")


def test_sigterm_ends_training_after_a_whole_step(pairs_csv, whole, unfinished):
    assert resume(pairs_csv, unfinished).exit_code == 0
    assert_equal_weights(whole, unfinished)
    assert losses_of(unfinished) == losses_of(whole)


def test_resumed_training_measures_the_missing_retrieval(pairs_csv, whole, unfinished):
    def measured(out):
        return [
            {name: value for name, value in line.items() if name != "seconds"}
            for line in log_of(out)
            if "text_to_image_R@1" in line
        ]

    step = log_of(unfinished)[-1]["step"]
    assert measured(unfinished)[-1]["step"] == step - 1
    assert resume(pairs_csv, unfinished).exit_code == 0
    assert measured(unfinished) == measured(whole)


def test_sigint_ends_training_after_a_whole_step(pairs_csv, tmp_path):
    assert_stopped(tmp_path, interrupt(pairs_csv, tmp_path, signal.SIGINT), signal.SIGINT)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--seed", "1"], "--seed 0, not 1"),
        (["--learning-rate", "1e-4"], "--learning-rate 0.001, not 0.0001"),
        (["--batch-size", "6"], "--batch-size 8, not 6"),
        (["--steps", "13"], "--steps 12, not 13"),
        (["--revision", "v1"], "--revision None, not 'v1'"),
        (["--freeze", "text"], "--freeze 'none', not 'text'"),
        (["--no-random-crop"], "--random-crop True, not False"),
    ],
)
def test_resuming_with_another_option_is_refused(pairs_csv, unfinished, given, named):
    result = run(pairs_csv, unfinished, *STEPS, *given, "--resume")
    assert result.exit_code == 1
    assert named in result.output


def test_resuming_with_other_data_is_refused(pairs_csv, unfinished, tmp_path):
    rows = pairs_csv.read_text().splitlines()
    other = pairs_csv.with_name("other.csv")
    other.write_text("\n".join([*rows[:-1], rows[-1] + " indeed"]) + "\n")
    result = run(other, unfinished, *STEPS, "--resume")
    assert result.exit_code == 1
    assert "--data '24 pairs with the fingerprint" in result.output


def test_unfinished_training_is_not_overwritten(pairs_csv, unfinished):
    result = run(pairs_csv, unfinished, *STEPS)
    assert result.exit_code == 1
    assert "--resume goes on with it" in result.output
    assert resume(pairs_csv, unfinished).exit_code == 0


@pytest.mark.parametrize("file", ["training.json", "model.safetensors", "optimizer.bin"])
def test_a_damaged_state_is_named(pairs_csv, unfinished, file):
    newest = max((unfinished / "training").glob("state-*"))
    (newest / file).write_bytes(b"damage")
    result = resume(pairs_csv, unfinished)
    assert result.exit_code == 1
    assert f"{newest} cannot be read" in result.output
    shutil.rmtree(newest)
    assert resume(pairs_csv, unfinished).exit_code == 0


def test_failed_write_is_repeated_when_resumed(pairs_csv, whole, unfinished):
    (unfinished / "model.safetensors" / "in the way").mkdir(parents=True)
    refused = resume(pairs_csv, unfinished)
    assert refused.exit_code == 1
    assert "cannot be written" in refused.output
    shutil.rmtree(unfinished / "model.safetensors")
    assert resume(pairs_csv, unfinished).exit_code == 0
    assert_equal_weights(whole, unfinished)


def test_a_killed_savings_leftovers_do_no_harm(pairs_csv, whole, unfinished):
    part = unfinished / "training" / "state.part"
    part.mkdir()
    (part / "model.safetensors").write_bytes(b"half of it")
    with (unfinished / "training" / "log.jsonl").open("a") as log:
        log.write('{"step": 11, "lo')
    assert resume(pairs_csv, unfinished).exit_code == 0
    assert_equal_weights(whole, unfinished)
    assert not part.exists()


def test_kill_during_state_removal_leaves_no_partial_state(tmp_path, monkeypatch):
    (tmp_path / "state-00000004").mkdir()
    (tmp_path / "state-00000004" / "training.json").touch()

    def killed(folder, **_):
        if folder.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        States(tmp_path, {}).remove()
    assert not list(tmp_path.glob("state-*"))


def test_a_finished_training_is_not_resumed(pairs_csv, whole):
    result = resume(pairs_csv, whole)
    assert result.exit_code == 1
    assert f"{whole} holds a model and no unfinished training" in result.output
    assert "choose another --out, without --resume" in result.output
