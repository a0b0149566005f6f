"""The align-zoo command: exit codes and single lines."""

import re
import socket
import subprocess
import sys
from importlib.metadata import version

import pytest
import trustme
from serving import begin, events, serving
from typer.testing import CliRunner
from waiting import wait_until

from align_zoo.cli import app
from align_zoo.serving.probe import ModelHealth, explain


def align_zoo(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_version_is_the_distributions():
    told = f"align-zoo {version('align-zoo')}\n"
    assert align_zoo("--version").stdout == told
    module = [sys.executable, "-m", "align_zoo", "--version"]
    assert subprocess.run(module, capture_output=True, text=True).stdout == told


def test_probe_is_0_when_both_models_answer(server):
    done = align_zoo("probe", server.grpc_url)
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{server.grpc_url}: ok: checkpoint ")


def test_probe_without_server_exits_1_with_one_line():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{unused.getsockname()[1]}"
        done = align_zoo("probe", url)
    assert done.exit_code == 1
    assert done.stdout.startswith(f"{url}: nobody listens there (UNAVAILABLE: ")
    assert len(done.stdout.splitlines()) == 1
    assert not done.stderr


@pytest.mark.served
def test_probe_shows_certificate_and_token(tmp_path):
    files = certificates(tmp_path)
    (tmp_path / "tokens").write_text("the-token\nan-older-one\n")
    flags = {**files["server"], "--token-file": tmp_path / "tokens"}
    with serving(tmp_path, *(f"{k}={v}" for k, v in flags.items()), start=False) as service:
        begin(service)
        wait_until(lambda: events(service, "started"))
        mine = {**files["client"], "--token-file": tmp_path / "tokens"}
        done = align_zoo("probe", service.url, *(f"{k}={v}" for k, v in mine.items()))
        assert done.exit_code == 0, done.output
        for missing, why in (
            ("--tls-ca", "UNAVAILABLE"),
            ("--token-file", "UNAUTHENTICATED: a bearer token is needed"),
        ):
            words = [f"{k}={v}" for k, v in mine.items() if k != missing]
            done = align_zoo("probe", service.url, "--timeout=5", *words)
            assert done.exit_code == 1
            assert why in done.stdout


def certificates(folder):
    """The flags of a server and of a client that demand each other's certificates."""
    authority = trustme.CA()
    flags = {}
    for name in ("server", "client"):
        certificate = authority.issue_cert("127.0.0.1")
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.private_key_pem.write_to_path(key)
        cert.write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
        flags[name] = {"--tls-cert": cert, "--tls-key": key}
    authority.cert_pem.write_to_path(folder / "ca.pem")
    flags["server"]["--tls-client-ca"] = flags["client"]["--tls-ca"] = folder / "ca.pem"
    return flags


def test_probe_is_1_when_the_answer_is_late():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        done = align_zoo("probe", url, "--timeout=0.5")
    assert done.exit_code == 1
    assert "no answer within 0.5 s" in done.stdout


@pytest.mark.triton
def test_serve_without_repository_is_1_and_one_line(tmp_path):
    done = align_zoo("serve", f"--repository={tmp_path / 'nowhere'}")
    assert done.exit_code == 1
    assert done.stderr == f"align-zoo: there is no model repository at {tmp_path / 'nowhere'}\n"


@pytest.mark.parametrize("command", ["serve", "reload"])
def test_a_misspelt_checkpoint_is_refused_before_anything_starts(command):
    done = align_zoo(command, "--model=align_tinny")
    assert done.exit_code == 1
    assert done.stderr == "align-zoo: align_tinny does not exist (did you mean align_tiny?)\n"


@pytest.mark.parametrize(
    ("command", "package", "subject"),
    [
        ("serve", "grpc", "serving"),
        ("serve", "aiohttp", "serving"),
        ("bench", "rich", "a benchmark"),
        ("demo", "rich", "the demo"),
    ],
)
def test_missing_package_is_named_with_its_extra(command, package, subject):
    without = f"import sys; sys.modules[{package!r}] = None; from align_zoo.cli import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", without, command], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    wanted = rf"align-zoo: {subject} needs {package}\S*: run `pip install '\.\[server\]'` .*\n"
    assert re.fullmatch(wanted, done.stderr)


def test_remote_server_needs_tls_or_insecure():
    done = align_zoo("serve", "--listen=0.0.0.0")
    assert done.exit_code == 1
    assert done.stderr.startswith("align-zoo: --listen 0.0.0.0 ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--token-file={absent}"], "--token-file {absent} cannot be read: "),
        (["--tls-ca={absent}"], "--tls-ca {absent} cannot be read: "),
        (["--tls-cert={absent}"], "--tls-cert and --tls-key go together"),
    ],
)
def test_a_probe_names_the_file_it_cannot_use(tmp_path, flags, message):
    absent = tmp_path / "absent"
    done = align_zoo("probe", *(flag.format(absent=absent) for flag in flags))
    assert done.exit_code == 1
    assert done.stderr.startswith(f"align-zoo: {message.format(absent=absent)}")


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
