"""The align-zoo command: exit codes and single lines."""

import socket

import pytest
from typer.testing import CliRunner

from align_zoo.cli import app
from align_zoo.serving.probe import ModelHealth, explain


def align_zoo(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_probe_is_0_when_both_models_answer(server):
    done = align_zoo("probe", server.grpc_url)
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{server.grpc_url}: ok: checkpoint ")


def test_probe_is_1_and_one_line_when_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{unused.getsockname()[1]}"
        done = align_zoo("probe", url)
    assert done.exit_code == 1
    assert done.stdout.startswith(f"{url}: align_image: UNAVAILABLE: ")
    assert len(done.stdout.splitlines()) == 1
    assert not done.stderr


def test_probe_is_1_when_the_answer_is_late():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        done = align_zoo("probe", url, "--timeout=0.5")
    assert done.exit_code == 1
    assert "no answer within 0.5 s" in done.stdout


def test_serve_without_repository_is_1_and_one_line(tmp_path):
    done = align_zoo("serve", f"--repository={tmp_path / 'nowhere'}")
    assert done.exit_code == 1
    assert done.stderr == f"align-zoo: there is no model repository at {tmp_path / 'nowhere'}\n"


@pytest.mark.parametrize("arguments", [["serve", "--grpc-port=0"], ["prob"], ["serve", "--nope"]])
def test_wrong_usage_is_2(arguments):
    assert align_zoo(*arguments).exit_code == 2


IMAGE = ModelHealth("align_image", dim=8, checkpoint="aa", seconds=0.01)


@pytest.mark.parametrize(
    ("text", "well", "why"),
    [
        (ModelHealth("align_text", dim=8, checkpoint="aa", seconds=0.002), True, "ok: checkpoint"),
        (ModelHealth("align_text", error="dead"), False, "align_text: dead"),
        (ModelHealth("align_text", dim=8, checkpoint="bb"), False, "different checkpoints"),
    ],
)
def test_health_is_explained_in_one_line(text, well, why):
    answer = explain([IMAGE, text])
    assert answer[0] is well
    assert why in answer[1]
