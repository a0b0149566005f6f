"""What we know Triton's messages by, held against the strings of the installed binaries."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from align_client import triton_messages as client
from align_zoo.serving.triton import messages as server

OURS = "2.51"
"""Of the installed wheel."""

SERVERS = [
    pytest.param(text, part, versions, id=f"{name}-{number}")
    for name, text in server.TEXTS.items()
    for number, (part, versions) in enumerate(text.parts.items())
]
CLIENTS = [
    pytest.param(text, part, text.versions, id=f"client-{text.example[:30]}-{number}")
    for text in client.TEXTS
    for number, part in enumerate(text.parts)
]


@pytest.fixture(scope="module")
def binaries():
    """By name, all bytes of what stands behind it in nvidia-pytriton's wheel."""
    package = Path(importlib.util.find_spec("pytriton").origin).parent
    (core,) = package.parent.glob("nvidia_pytriton.libs/libtritonserver-*.so")
    home = package / "tritonserver"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    files = {
        "core": core,
        "front": home / "bin" / "tritonserver",
        "program": home / "bin" / "tritonserver",
        "python": home / "backends" / "python" / "libtriton_python.so",
        "stub": home / "python_backend_stubs" / python / "triton_python_backend_stub",
    }
    return {name: file.read_bytes() for name, file in files.items()}


@pytest.mark.triton
@pytest.mark.parametrize(("text", "part", "versions"), [*SERVERS, *CLIENTS])
def test_installed_triton_contains_each_text(binaries, text, part, versions):
    assert (part.encode() in binaries[text.binary]) == (OURS in versions)


@pytest.mark.parametrize(("text", "part", "versions"), [*SERVERS, *CLIENTS])
def test_each_part_occurs_in_an_example(text, part, versions):
    examples = text.examples if isinstance(text, server.Text) else [text.example]
    words = part.replace("output", "input").lower()
    assert any(words in example.lower() for example in examples)


@pytest.mark.parametrize("text", server.TEXTS.values(), ids=server.TEXTS)
def test_a_servers_pattern_finds_its_examples(text):
    assert all(text.pattern.search(example) for example in text.examples)


@pytest.mark.parametrize("text", client.TEXTS, ids=lambda text: text.example[:30])
def test_a_clients_pattern_finds_its_example(text):
    assert re.search(client.pattern_of((text,)), text.example)


def test_client_and_service_recognize_a_dead_model_alike():
    (theirs,) = client.DEAD_MODEL
    assert server.DEAD_MODEL.pattern.search(theirs.example)
    assert set(theirs.parts) == set(server.DEAD_MODEL.parts)
