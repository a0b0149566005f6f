"""The calls of docs/http.md run as written, and its tables name what the server has."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from messages import http
from rest_calls import rows, sample

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
CURL = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def curl(doors):
    """Run the block with these words; return its answer."""

    def run(words):
        (block,) = (each for each in CURL if words in each)
        block = block.replace("localhost:8000", f"127.0.0.1:{doors.gateway.http_port}")
        command = ["bash", "-euc", block]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
        return json.loads(done.stdout)

    return run


def test_texts_of_curl_have_rows_of_grpc(curl, over_grpc):
    answer = curl('["a red star", "a blue ring"]')
    expected = over_grpc(["a red star", "a blue ring"])
    np.testing.assert_allclose(rows(answer), expected, atol=1e-6)


def test_mixed_items_of_curl_have_rows_of_grpc(curl, over_grpc):
    expected = [over_grpc(["a red star"])[0], over_grpc([sample("red-star")])[0]]
    np.testing.assert_allclose(rows(curl("data:image/png")), expected, atol=1e-6)


def test_coheres_call_by_curl_is_answered(curl, over_grpc):
    found = curl("/v2/embed")["embeddings"]["float"]
    np.testing.assert_allclose(found, over_grpc(["a red star"]), atol=1e-6)


def test_labels_by_curl_are_ranked(curl):
    (each,) = curl("/v1/classify")["data"]
    best, _ = each["predictions"]
    assert best["label"] == "red star"


def test_every_call_by_curl_has_a_test():
    assert len(CURL) == 4


def test_table_of_calls_is_complete(doors):
    named = re.findall(r"^\| `(GET|POST) (/\S+)` \|", PAGE, re.MULTILINE)
    paths = json.loads(http(doors.gateway.http_port, "/openapi.json").body)["paths"]
    assert {path: method for method, path in named} == {
        path: method.upper() for path, methods in paths.items() for method in methods
    }


def test_error_shown_is_the_real_one(fault):
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert json.loads(shown) == {"error": fault("/v1/embeddings", {"input": ["a", ""]})}
