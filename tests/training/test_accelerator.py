"""Accelerate's environment variables are honoured or refused by name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import accelerate
import pytest
from accelerate.state import AcceleratorState
from captioned import ENVIRONMENT, arguments, log_of, losses_of, run

from align_zoo.training.accelerator import HONOURED, NO_MATTER, REFUSED, open_accelerator
from align_zoo.training.errors import TrainingError


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No settings but the test's, and no state of another test."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_every_variable_that_accelerate_reads_is_judged():
    known = HONOURED | NO_MATTER | REFUSED.keys()
    beginnings = tuple(name for name in known if name.endswith("_"))
    source = Path(accelerate.__file__).parent
    found = {
        name
        for path in source.rglob("*.py")
        if "test_utils" not in path.parts
        for name in re.findall(r"ACCELERATE_[A-Z0-9_]*[A-Z0-9_]", path.read_text("utf-8"))
    }
    assert "ACCELERATE_USE_FSDP" in found
    assert {
        name for name in found if name not in known and not name.startswith(beginnings)
    } == set()


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_setting_is_refused(pairs_csv, tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, {"ACCELERATE_DYNAMO_BACKEND": "inductor"}.get(name, "true"))
    if name == "ACCELERATE_GRADIENT_ACCUMULATION_STEPS":
        monkeypatch.setenv(name, "4")
    result = run(pairs_csv, tmp_path / "out", "--steps", "1")
    assert result.exit_code == 1
    assert result.output.startswith(f"align-zoo: {name} is '")
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def launched(pairs_csv, out, *options):
    """`accelerate launch` as a process of its own."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", *options]
    command += ["-m", "align_zoo.training", *arguments(pairs_csv, out, "--steps", "1")]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


def test_plain_launch_changes_no_loss(pairs_csv, tmp_path):
    assert run(pairs_csv, tmp_path / "plain", "--steps", "1").exit_code == 0
    done = launched(pairs_csv, tmp_path / "launched")
    assert done.returncode == 0, done.stderr
    assert losses_of(tmp_path / "launched") == losses_of(tmp_path / "plain")


def test_unsupported_launch_setting_is_refused(pairs_csv, tmp_path):
    done = launched(pairs_csv, tmp_path / "out", "--dynamo_backend", "inductor")
    assert done.returncode != 0
    assert "align-zoo: ACCELERATE_DYNAMO_BACKEND is 'INDUCTOR', and" in done.stderr


@pytest.mark.parametrize(
    ("variable", "option", "used"),
    [("bf16", None, "bf16"), ("BF16", None, "bf16"), ("bf16", "no", "no"), ("fp8", "no", "no")],
)
def test_the_precision_is_the_options_else_the_variables(monkeypatch, variable, option, used):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", variable)
    assert open_accelerator(option).mixed_precision == used


def test_the_variables_precision_is_trained_with(pairs_csv, tmp_path, monkeypatch):
    options = ["--steps", "1", "--log-every", "1"]
    assert run(pairs_csv, tmp_path / "option", *options, "--mixed-precision", "bf16").exit_code == 0
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert run(pairs_csv, tmp_path / "variable", *options).exit_code == 0
    assert losses_of(tmp_path / "option") == losses_of(tmp_path / "variable")
    assert log_of(tmp_path / "variable")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ACCELERATE_MIXED_PRECISION", "fp16", "ACCELERATE_MIXED_PRECISION=fp16 needs a GPU"),
        ("ACCELERATE_MIXED_PRECISION", "fp8", "ACCELERATE_MIXED_PRECISION=fp8 is not provided for"),
        ("ACCELERATE_MIXED_PRECISION", "half", "ACCELERATE_MIXED_PRECISION=half is not provided"),
        (
            "ACCELERATE_USE_CPU",
            "perhaps",
            "cannot train so: .*perhaps.* given .*ACCELERATE_USE_CPU",
        ),
        ("ACCELERATE_TORCH_DEVICE", "toaster", "cannot train so: .* ACCELERATE_TORCH_DEVICE"),
    ],
)
def test_unusable_value_is_named_by_its_variable(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=said):
        open_accelerator()


def test_unusable_value_is_named_by_its_option():
    with pytest.raises(TrainingError, match="--mixed-precision fp16 needs a GPU"):
        open_accelerator("fp16")
