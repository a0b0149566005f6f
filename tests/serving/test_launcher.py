"""Starting, watching and ending real servers."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest
from calls import ask, ask_at_once
from served import starts_server
from serving import SHARED_MEMORY, events, serving
from tritonclient import grpc
from waiting import wait_until

from align_zoo import AlignZooError
from align_zoo.checkpoint.folder import EMBEDDED
from align_zoo.serving.probe import explain, probe
from align_zoo.serving.triton.command import ServeOptions
from align_zoo.serving.triton.command import command as command_line
from align_zoo.serving.triton.find import find_tritonserver
from align_zoo.serving.triton.launcher import ServerProcess, run_server
from align_zoo.serving.triton.process import remove_shared_memory
from align_zoo.serving.triton.processes import is_alive

ALIGN_ZOO = Path(sys.executable).with_name("align-zoo")
REPOSITORY = Path(__file__).parents[2] / "model_repository"


def command(options, *flags):
    return [
        str(ALIGN_ZOO),
        "serve",
        f"--model={options.model}",
        f"--grpc-port={options.grpc_port}",
        f"--http-port={options.http_port}",
        f"--metrics-port={options.metrics_port}",
        *flags,
    ]


@pytest.mark.served
def test_serve_passes_flags_and_ends_with_server(tmp_path):
    with serving(tmp_path, "--verbose", "--", "--exit-timeout-secs=20") as service:
        assert "exit_timeout                     | 20" in service.log.read_text()
        triton = service.tritonserver()
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(60) == 0
        assert not Path(f"/proc/{triton}").exists()


@pytest.mark.served
def test_server_under_nohup_outlives_its_terminal(tmp_path):
    with serving(tmp_path, start=False) as service:
        service.command.insert(0, "nohup")
        service.start()
        service.process.send_signal(signal.SIGHUP)
        service.process.terminate()
        assert service.process.wait(60) == 0
        (stopping,) = events(service, "stopping")
        assert stopping["signal"] == "SIGTERM"


@pytest.mark.served
def test_working_directory_gives_no_code_but_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    for module in ("http", "json", "numpy", "triton_python_backend_utils"):
        Path(f"{module}.py").write_text("raise ImportError('of the working directory')")
    folder = shutil.copytree(EMBEDDED["align_tiny"], tmp_path / "checkpoint")
    with serving(tmp_path, "--", "--log-file=triton.log", model="checkpoint") as service:
        assert service.health()["ready"]
        assert f"align_text: {folder} (" in Path("triton.log").read_text()
    assert {path.name for path in Path("cache/align-zoo").iterdir()} >= {"backends"}
    assert len(list(Path("cache/align-zoo").iterdir())) > 1  # the export, by the models


@pytest.mark.triton
@pytest.mark.parametrize(
    ("flags", "changed"),
    [
        (["--log-file=a"], ["--log-file={here}/a"]),
        (["--cache-directory", "a"], ["--cache-directory", "{here}/a"]),
        (["--trace-config=triton,file=a"], ["--trace-config=triton,file={here}/a"]),
        (["--trace-config", "triton,file=a"], ["--trace-config", "triton,file={here}/a"]),
        (["--grpc-server-key=/a", "--log-verbose", "1"], None),
        (["--model-repository=s3://a/b", "--trace-config=rate=1"], None),
    ],
)
def test_paths_in_server_flags_are_the_callers(flags, changed):
    line = command_line(find_tritonserver(), ServeOptions(extra=flags), [], shm_prefix="x")
    assert line[-len(flags) :] == [each.format(here=Path.cwd()) for each in changed or flags]


@pytest.mark.served
def test_serve_says_which_checkpoint_cannot_be_loaded(tmp_path):
    options = ServeOptions(model=str(tmp_path / "nowhere")).on_free_ports()
    done = subprocess.run(command(options), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert f"{tmp_path / 'nowhere'} does not exist" in done.stdout + done.stderr


@pytest.mark.triton
@pytest.mark.parametrize("name", ["grpc_port", "http_port", "metrics_port"])
def test_taken_port_is_named_before_loading(name):
    options = ServeOptions(model="align_tiny").on_free_ports()
    with socket.create_server((options.host, getattr(options, name))):
        done = subprocess.run(command(options), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"{options.host}:{getattr(options, name)}" in done.stderr.splitlines()[-1]
    assert "loading" not in done.stdout + done.stderr


@pytest.mark.served
@pytest.mark.parametrize("deaf", [False, True], ids=["", "models that do not notice"])
def test_server_dies_with_its_parent_process(tmp_path, deaf):
    script = textwrap.dedent(f"""
        import os
        from pathlib import Path
        from align_zoo.serving.triton.launcher import ServerProcess
        from align_zoo.serving.triton.command import ServeOptions
        options = ServeOptions(model="align_tiny").on_free_ports()
        server = ServerProcess(options, log=Path({str(tmp_path / "log")!r}))
        server.start()
        print(server.pid, server.shm_prefix, flush=True)
        input()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        pid, prefix = owner.stdout.readline().split()
        models = []
        try:
            wait_until(lambda: len(children(int(pid))) == 2)
            models = children(int(pid))
            if deaf:
                for process in models:
                    os.kill(process, signal.SIGSTOP)
            owner.kill()
            wait_until(lambda: not any(map(is_alive, (int(pid), *models))))
        finally:
            for process in models:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            remove_shared_memory(prefix)


@pytest.mark.served
def test_a_server_that_dies_early_shows_its_log(tmp_path):
    options = ServeOptions(model="align_tiny", repository=tmp_path, extra=["--load-model=none"])
    with (
        pytest.raises(AlignZooError, match=r"ended with exit code 1; from its log") as error,
        run_server(options.on_free_ports(), log=tmp_path / "log"),
    ):
        pass
    assert "load-model" in str(error.value)


@pytest.mark.served
def test_server_killed_during_start_is_reported(tmp_path):
    server = ServerProcess(ServeOptions(model="align_tiny").on_free_ports(), log=tmp_path / "log")
    server.start()
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(AlignZooError, match=r"tritonserver was killed \(SIGKILL\)"):
        server.wait_until_answering()


@pytest.mark.triton
def test_a_missing_repository_is_named(tmp_path):
    with pytest.raises(AlignZooError, match=r"no model repository at .*nowhere"):
        ServerProcess(ServeOptions(repository=tmp_path / "nowhere"))


@pytest.mark.triton
@pytest.mark.parametrize("odd", [*" '\"$&;()*!#\\\nöä图"])
def test_unusable_repository_path_is_refused_at_once(tmp_path, odd):
    repository = shutil.copytree(REPOSITORY, tmp_path / f"my{odd}models")
    with pytest.raises(AlignZooError, match=r"because of the .* in it: link") as error:
        ServerProcess(ServeOptions(repository=repository))
    assert repr(odd) in str(error.value)


@pytest.mark.served
def test_link_to_a_repository_is_served(tmp_path):
    repository = shutil.copytree(REPOSITORY, tmp_path / "my models, größer")
    link = tmp_path / "larger_models-v1.0+x"
    link.symlink_to(repository)
    options = ServeOptions(model="align_tiny", repository=link).on_free_ports()
    with (
        run_server(options, log=tmp_path / "log") as server,
        grpc.InferenceServerClient(server.grpc_url) as triton,
    ):
        assert ask(triton, "align_text", [b"cat"]).as_numpy("EMBEDDING").shape[0] == 1


@pytest.mark.served
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_checkpoint_in_any_folder_name_is_served(tmp_path, monkeypatch, locale):
    monkeypatch.setenv("LC_ALL", locale)
    folder = shutil.copytree(EMBEDDED["align_tiny"], tmp_path / "my models, größer/图")
    options = ServeOptions(model=str(folder), repository=REPOSITORY).on_free_ports()
    with (
        run_server(options, log=tmp_path / "log") as server,
        grpc.InferenceServerClient(server.grpc_url) as triton,
    ):
        assert ask(triton, "align_text", [b"cat"]).as_numpy("EMBEDDING").shape[0] == 1
    assert f"align_text: {folder} (" in server.log.read_text(encoding="utf-8")


@pytest.mark.triton
def test_unusable_cache_path_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "my cache"))
    with pytest.raises(AlignZooError, match=r"because of the ' ' in it: let XDG_CACHE_HOME"):
        ServerProcess(ServeOptions(model="align_tiny"))


SABOTAGED = textwrap.dedent("""
    import os, signal
    from align_zoo.serving.model.adapter import TritonAdapter

    class TritonPythonModel:
        def initialize(self, args):
            self.adapter = TritonAdapter("text", args)
            self.embed, self.adapter._service.embed = self.adapter._service.embed, self.sabotage

        def sabotage(self, items):
            if b"bug" in items:
                raise RuntimeError("a secret")
            if b"crash" in items:
                os.kill(os.getpid(), signal.SIGKILL)
            return self.embed(items)

        def execute(self, requests):
            return self.adapter.execute(requests)
""")


@pytest.fixture(scope="module")
@starts_server
def sabotaged(tmp_path_factory):
    """A server whose text model can be made to fail."""
    folder = tmp_path_factory.mktemp("sabotaged")
    repository = shutil.copytree(REPOSITORY, folder / "model_repository")
    (repository / "align_text" / "1" / "model.py").write_text(SABOTAGED)
    options = ServeOptions(
        model="align_tiny",
        repository=repository,
        extra=["--exit-timeout-secs=5"],  # which a dead model makes it wait for
    ).on_free_ports()
    with run_server(options, log=folder / "log") as server:
        yield server


def test_bug_is_answered_without_details(sabotaged):
    with grpc.InferenceServerClient(sabotaged.grpc_url) as triton:
        answers = ask_at_once(triton, "align_text", [[b"a"], [b"bug"], [b"b", b"c"], [b"d"]])
    error = answers.pop(1)
    assert error.status() == "StatusCode.INTERNAL"
    assert error.message() == "internal error (RuntimeError)"
    assert [len(answer) for answer in answers] == [1, 2, 1]
    wait_until(lambda: "RuntimeError" in sabotaged.log.read_text())
    log = sabotaged.log.read_text()
    assert "in sabotage" in log


def test_dead_model_fails_probe_though_triton_says_ready(sabotaged):
    with grpc.InferenceServerClient(sabotaged.grpc_url) as triton:
        with pytest.raises(Exception, match=r"Stub process|stub process|INTERNAL"):
            ask(triton, "align_text", [b"crash"])
        assert triton.is_server_ready()
        assert triton.is_model_ready("align_text")
    well, why = explain(probe(sabotaged.grpc_url))
    assert not well
    assert why.startswith("align_text: INTERNAL")
    assert "align_image" not in why
    # and even so, ending it leaves nothing in shared memory
    sabotaged.stop()
    assert not any(SHARED_MEMORY.glob(f"{sabotaged.shm_prefix}*"))


def children(pid):
    return [
        int(status.parent.name)
        for status in Path("/proc").glob("[0-9]*/stat")
        if parent(status) == pid
    ]


def parent(status):
    try:
        return int(status.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
