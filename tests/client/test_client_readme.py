"""The snippets of the client's README run, and its tables agree with the code."""

import inspect
import re
from pathlib import Path

import grpc
import numpy as np
import pytest
import trustme
from PIL import Image
from scripted import Scripted

import align_client
from align_client import AlignClient, AlignClientError

README = (Path(__file__).parents[2] / "client" / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(autouse=True)
def _with_two_photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("dog", "cat"):
        Image.effect_noise((90, 60), 100).convert("RGB").save(f"{name}.jpg")


def run(snippet, **addresses):
    for address, ours in addresses.items():
        snippet = snippet.replace(address, ours)
    names = {}
    exec(compile(snippet, "client/README.md", "exec"), names)
    return names


def snippet_with(words):
    (snippet,) = (code for code in SNIPPETS if words in code)
    return snippet


@pytest.mark.parametrize("words", ["client.classify", "asyncio", "on_error", '["localhost'])
def test_a_snippet_runs(server, words, capsys):
    code = snippet_with(words)
    port = server.grpc_url.rpartition(":")[2]
    run(code, **{"8001": port})
    if words == "on_error":
        shape, error = capsys.readouterr().out.splitlines()
        assert re.fullmatch(r"\(\d+,\)", shape)
        assert error == "image 1: 'nowhere.jpg' does not exist"


def test_the_snippet_of_tls_runs(tmp_path):
    ca = trustme.CA()
    theirs, mine = ca.issue_cert("localhost"), ca.issue_cert("me@example.org")
    ca.cert_pem.write_to_path("ca.pem")
    mine.cert_chain_pems[0].write_to_path("me.pem")
    mine.private_key_pem.write_to_path("me.key")
    pair = theirs.private_key_pem.bytes(), theirs.cert_chain_pems[0].bytes()
    credentials = grpc.ssl_server_credentials([pair], ca.cert_pem.bytes(), True)
    with Scripted(credentials=credentials) as server:
        names = run(snippet_with("Tls"), **{"align.example.org:8001": f"localhost:{server.port}"})
        with names["client"] as client:
            assert np.shape(client.embed_text("a")) == (1, 2)


def test_no_snippet_is_left_out():
    assert len(SNIPPETS) == 5


def test_the_calls_are_those_of_the_table():
    for name, arguments in re.findall(r"`(\w+)\(([^()`]*)\)`", README):
        if not hasattr(AlignClient, name):
            continue
        signature = inspect.signature(getattr(AlignClient, name))
        parameters = list(signature.parameters.values())[1:]
        told = [part for part in re.split(r", ", arguments) if part not in ("*", "")]
        shown = [
            p.name if p.default is p.empty else f"{p.name}={p.default!r}".replace("'", '"')
            for p in parameters
        ]
        assert told in (shown, [])


def test_every_exception_is_explained():
    told = set(re.findall(r"^\| `(\w+)` \|.*\|.*\|$", README, re.MULTILINE))
    kinds = [getattr(align_client, name) for name in align_client.__all__]
    errors = [k for k in kinds if inspect.isclass(k) and issubclass(k, AlignClientError)]
    assert {e.__name__ for e in errors} - {"AlignClientError"} <= told
