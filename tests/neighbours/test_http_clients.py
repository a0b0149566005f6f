"""Unmodified clients of other services are answered by ours as gRPC answers."""

from __future__ import annotations

import io
import re
import subprocess

import numpy as np
import pytest
from calls import ask
from environments import ROOT, environment, run
from PIL import Image
from rest_calls import SAMPLES
from served import starts_server
from service import running_service
from tritonclient import grpc

TEXTS = ["a red star", "the digit three and 4"]
IMAGES = [SAMPLES / f"{name}.png" for name in ("red-star", "digit-3")]
PINS = """
    cohere==7.3.1 distro==1.9.0 fastavro==1.13.1 httpcore==1.0.9 httpx==0.27.2
    infinity_client==0.0.78 jiter==0.19.0 jsonpatch==1.48 jsonpointer==3.12 langchain-core==1.8.3
    langchain-openai==1.7.4 langchain-protocol==0.0.20 langsmith==0.15.1 openai==3.57.0
    requests-toolbelt==1.0.0 sniffio==1.3.1 tenacity==9.2.1 tiktoken==0.14.0
    types-requests==2.33.0.20261030 uuid_utils==0.19.0 websockets==17.4 xxhash==4.1.0
    zstandard==0.25.0
""".split()
OF_TEXTS = [
    "openai",
    "openai, float",
    "openai, async",
    "cohere",
    "langchain",
    "langchain, query",
    "infinity",
    "infinity, vision",
]
OF_IMAGES = [
    "openai",
    "openai, Jina's objects",
    "openai, vLLM's messages",
    "cohere",
    "cohere, inputs",
    "infinity",
]


@pytest.fixture(scope="module")
@starts_server
def service(tmp_path_factory):
    log = tmp_path_factory.mktemp("service") / "log"
    with running_service("align_tiny", log) as running:
        yield running


@pytest.fixture(scope="module")
def found(service) -> dict:
    """What the clients got."""
    python = environment("http-clients", PINS)
    return run(python, "http_clients_answers.py", service.http, "align_tiny", *IMAGES)


@pytest.fixture(scope="module")
def over_grpc(service):
    """Return the rows of items over gRPC."""
    with grpc.InferenceServerClient(service.url) as triton:
        yield lambda model, items: ask(triton, model, items).as_numpy("EMBEDDING")


@pytest.mark.parametrize("client", OF_TEXTS)
def test_client_gets_the_rows_of_texts(found, over_grpc, client):
    expected = over_grpc("align_text", [text.encode() for text in TEXTS])
    np.testing.assert_allclose(found["texts"][client], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("client", OF_IMAGES)
def test_client_gets_the_rows_of_images(found, over_grpc, client):
    expected = over_grpc("align_image", [path.read_bytes() for path in IMAGES])
    np.testing.assert_allclose(found["images"][client], expected, rtol=0, atol=1e-6)


def test_infinitys_own_jpegs_are_embedded(found, over_grpc):
    files = []
    for path in IMAGES:
        file = io.BytesIO()
        Image.open(path).save(file, "JPEG")
        files.append(file.getvalue())
    expected = over_grpc("align_image", files)
    np.testing.assert_allclose(found["jpegs"], expected, rtol=0, atol=1e-6)


def test_every_client_is_compared(found):
    assert (sorted(found["texts"]), sorted(found["images"])) == (
        sorted(OF_TEXTS),
        sorted(OF_IMAGES),
    )


def test_clients_understand_the_errors(found):
    assert found["errors"] == {
        "bad item": ["BadRequestError", "input[1]", "empty"],
        "token ids": ["BadRequestError", "input", "malformed"],
        "other model": ["NotFoundError", "model", "unknown_model"],
        "width": ["BadRequestError", "dimensions", "malformed"],
        "retrieved model": ["NotFoundError", "model", "unknown_model"],
        "cohere, bad item": "texts[0]",
    }


def test_openai_lists_the_model(found):
    assert found["listed"] == ["align_tiny"]


def test_openai_retrieves_the_model(found):
    retrieved = found["retrieved"]
    assert (retrieved["id"], retrieved["object"]) == ("align_tiny", "model")
    assert (retrieved["owned_by"], retrieved["dimensions"]) == ("align-zoo", 128)


@pytest.mark.parametrize("number", range(5))
def test_snippets_of_the_document_run(service, number):
    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(snippets) == 5
    code = snippets[number].replace("http://localhost:8000", service.http)
    python = environment("http-clients", PINS)
    done = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d+( \d+)?\n", done.stdout)
