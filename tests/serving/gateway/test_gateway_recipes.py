"""The recipes of docs/recipes.md that ask a server run as written."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from doors import Loop, open_doors
from messages import embeddings, message

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")


def blocks(heading, language="bash"):
    """Return a recipe's blocks in one language."""
    (recipe,) = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(rf"```{language}\n(.*?)```", recipe, re.DOTALL)


@pytest.fixture
def bash(tmp_path):
    """Run a block in a folder beside the samples; return its output."""
    (tmp_path / "align_zoo").symlink_to(ROOT / "align_zoo")

    def run(block, port=0):
        block = block.replace("localhost:8000", f"localhost:{port}")
        command = ["bash", "-euc", block]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout

    return run


def test_texts_go_as_json(doors, bash):
    (block,) = blocks("By curl: texts as JSON")
    outputs = json.loads(bash(block, doors.gateway.http_port))["outputs"]
    assert {output["name"]: output["shape"] for output in outputs} == {
        "EMBEDDING": [1, 128],
        "RUNTIME": [1, 1],
    }


def test_image_goes_as_bytes(doors, bash, stub):
    (block,) = blocks("By curl: an image as bytes")
    vector = json.loads(bash(block, doors.gateway.http_port))
    image = (ROOT / "align_zoo/assets/samples/red-star.png").read_bytes()
    expected = embeddings(stub.ModelInfer(message("align_image", [image])))
    np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_trial_certificate_serves_and_verifies(sockets, bash, tmp_path, monkeypatch, capsys):
    make, curl = blocks("TLS with a trial certificate")
    bash(make)
    (serve,) = blocks("TLS with a trial certificate", "sh")
    cert, key = re.search(r"--tls-cert (\S+) --tls-key (\S+)", serve).groups()
    monkeypatch.chdir(tmp_path)
    loop = Loop()
    try:
        with open_doors(loop, sockets, tls_cert=Path(cert), tls_key=Path(key)) as doors:
            (output, *_) = json.loads(bash(curl, doors.gateway.http_port))["outputs"]
            assert output["shape"][0] == 1
            (client,) = blocks("TLS with a trial certificate", "python")
            client = client.replace("localhost:8001", f"localhost:{doors.gateway.grpc_port}")
            exec(compile(client, "TLS", "exec"), {})
            assert capsys.readouterr().out == "(1, 128)\n"
    finally:
        loop.close()
