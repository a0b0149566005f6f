"""The last line of a start that fails: the cause that tritonserver gave, and no other."""

import os
import shutil
import stat
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving import begin, events, serving
from waiting import wait_until

from align_zoo.serving.triton.find import find_tritonserver
from align_zoo.serving.triton.output import last_words, why_ended

REPOSITORY = Path(__file__).parents[2] / "model_repository"


def notebooks(repository):
    (repository / ".ipynb_checkpoints").mkdir()


def no_code(repository):
    (repository / "align_text" / "1" / "model.py").unlink()


def slow_end(repository):
    """A model that fails, and whose process tritonserver waits for."""
    code = """
        import atexit, time
        atexit.register(time.sleep, 15)
        class TritonPythonModel:
            def initialize(self, args):
                raise ValueError("a cause of its own")
    """
    (repository / "align_text" / "1" / "model.py").write_text(textwrap.dedent(code))


def no_config(repository):
    with (repository / "align_text" / "config.pbtxt").open("a") as file:
        file.write("max_batch_size: 7\n")


@pytest.mark.served
@pytest.mark.parametrize(
    ("spoil", "flags", "words"),
    [
        (notebooks, [], "no model is in the model repository's .ipynb_checkpoints: remove or mend"),
        (no_config, [], 'Non-repeated field "max_batch_size" is specified multiple times'),
        (no_code, [], "Python model file not found in"),
        (slow_end, [], "a cause of its own"),
        (None, ["--", "--no-such-flag"], "unrecognized option '--no-such-flag'"),
        (None, ["--", "--grpc-keepalive-time=x"], 'Bad option: "--grpc-keepalive-time"'),
    ],
    ids=["notebooks", "config", "code", "slow-end", "flag", "value"],
)
def test_a_failed_start_names_its_cause(tmp_path, spoil, flags, words):
    repository = shutil.copytree(REPOSITORY, tmp_path / "repository")
    if spoil:
        spoil(repository)
    with serving(tmp_path, f"--repository={repository}", *flags, start=False) as service:
        begin(service)
        assert service.process.wait(120) == 1
        last = service.log.read_text().splitlines()[-1]
    assert last.startswith("align-zoo: tritonserver ")
    assert words in last
    assert not any(other in last for other in ("NVML", "DCGM", "trace"))


# Triton 2.60 (25.08) and newer give a model up whose process is slow to give a sign of life. All
# give up one whose process died, and end when the other model is loaded.
GIVES_UP_ONCE = """
    #!{python}
    import os, sys, time
    from pathlib import Path
    from align_zoo.serving.triton.find import _find_wheel, backend_folder, python_environment

    if not Path({begun!r}).exists():
        Path({begun!r}).touch()
        time.sleep({before})
        why = "Internal: Stub process 'align_text_0_0' is not healthy."
        print("E1130 01:42:09.488 7 model_lifecycle.cc:642] \\"failed to load 'align_text' "
              + "version 1: " + why + '"', flush=True)
        time.sleep({behind})
        print("error: creating server: Internal - failed to load all models")
        sys.exit(1)
    wheel = _find_wheel()
    binary = str(wheel.root / "bin" / "tritonserver")
    flags = [*sys.argv[1:], "--backend-directory=" + str(backend_folder(wheel).absolute())]
    os.execve(binary, [binary, *flags], python_environment(os.environ))
"""


@pytest.fixture
def begun(tmp_path):
    """Begins a service whose first tritonserver gives a model up between two pauses in seconds."""

    @contextmanager
    def begun(before, behind):
        assert find_tritonserver().wheel
        program = tmp_path / "bin" / "tritonserver"
        program.parent.mkdir()
        script = GIVES_UP_ONCE.format(
            python=sys.executable, begun=str(tmp_path / "begun"), before=before, behind=behind
        )
        program.write_text(textwrap.dedent(script).lstrip())
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        with serving(tmp_path, start=False) as service:
            service.env["PATH"] = os.pathsep.join([str(program.parent), service.env["PATH"]])
            begin(service)
            yield service

    return begun


@pytest.mark.served
def test_model_abandoned_by_newer_tritonserver_is_restarted(begun):
    with begun(before=10, behind=0) as service:
        wait_until(lambda: events(service, "started") or service.ended(), seconds=120)
        (failed,) = events(service, "start_failed")
        assert failed["reason"].startswith("tritonserver ended with exit code 1: align_text's proc")
        assert service.health()["ready"]


@pytest.mark.served
def test_model_that_died_early_ends_a_long_start(begun):
    with begun(before=0, behind=10) as service:
        assert service.process.wait(60) == 1
        last = service.log.read_text().splitlines()[-1]
    assert "exit code 1: align_text's process died while it loaded" in last


def test_harmless_lines_are_no_last_words():
    lines = [
        'E1130 01:42:09.48 7 server.cc:241] "CudaDriverHelper has not been initialized."',
        'E1130 01:42:09.49 7 main.cc:7] "something is wrong"',
        "Error: Failed to initialize NVML",
        'W1130 01:42:24.32 7 metrics.cc:798] "DCGM unable to start: DCGM initialization error"',
        "| option | value |",
        "error: creating server: Internal - it cannot be",
    ]
    assert last_words(lines) == [lines[1], lines[-1]]
    assert why_ended(lines) == "something is wrong; error: creating server: Internal - it cannot be"


@pytest.mark.parametrize("place", [0, 5])
def test_the_usage_of_tritonserver_is_no_cause(place):
    lines = ["Usage: tritonserver [options]", "  --help", "\tPrint usage", "", "Server:"]
    lines.insert(place, "Invalid option value. Got x")
    assert why_ended(lines) == "Invalid option value. Got x"


def test_last_lines_are_kept_if_all_are_harmless():
    assert last_words(["Error: Failed to initialize NVML"]) == ["Error: Failed to initialize NVML"]
