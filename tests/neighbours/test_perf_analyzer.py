"""NVIDIA's perf_analyzer --streaming measures the service: streams are answered, and end."""

from __future__ import annotations

import re

import pytest
from served import starts_server
from service import running_service

from benchmarks import perf_analyzer

SECONDS = 60


@pytest.fixture(scope="module")
@starts_server
def service(tmp_path_factory):
    log = tmp_path_factory.mktemp("service") / "log"
    with running_service("align_tiny", log) as running:
        yield running


def streamed(service, model: str, input_name: str, item: bytes):
    """Two requests under way in streams; what perf_analyzer says of it."""
    items, more = [item], ["--streaming"]
    return perf_analyzer.run(service.url, model, input_name, items, 2, *more, timeout=SECONDS)


def test_streaming_is_measured_and_ends(service):
    done = streamed(service, "align_text", "TEXT", b"a red star")
    assert (done.returncode, done.stderr) == (0, "")
    (count,) = re.findall(r"Successful request count: (\d+)", done.stdout)
    (rate,) = re.findall(r"Concurrency: 2, throughput: ([0-9.]+) infer/sec", done.stdout)
    assert int(count) > 0 and float(rate) > 0


def test_a_refused_stream_ends_with_the_reason(service):
    done = streamed(service, "align_image", "IMAGE", b"no image")
    assert done.returncode == 99
    assert "had error: not an image in an accepted format" in done.stderr + done.stdout
