"""A service without its fastest runtime says so: its first line, RUNTIME, /healthz and a metric."""

import re
from urllib.request import urlopen

import pytest
from calls import ask
from served import starts_server
from serving import events, serving
from tritonclient import grpc

from align_zoo.checkpoint.folder import open_checkpoint
from align_zoo.runtime import load
from align_zoo.runtime.onnx import refusals
from align_zoo.runtime.onnx.manifest import export_folder

REASON = "image.onnx: exported embeddings differ from PyTorch's by 1.4e-01"
COSTS = {
    "align_image": f"images take about {load._IN_TORCH['image']:g} times as long as they could",
    "align_text": f"texts take about {load._IN_TORCH['text']:g} times as long as they could",
}
"""By model what it says."""


@pytest.fixture(scope="module")
@starts_server
def service(small_checkpoint, tmp_path_factory):
    """A service on a checkpoint whose export was refused at an earlier start."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(cache))
        folder = export_folder(open_checkpoint(small_checkpoint).fingerprint)
        folder.parent.mkdir(parents=True)
        refusals.remember(folder.with_name(f"{folder.name}.refused.json"), REASON)
        with serving(tmp_path_factory.mktemp("slow"), model=small_checkpoint) as running:
            yield running


def said(model: str, text: str) -> bool:
    return text.startswith("torch (float32") and REASON in text and COSTS[model] in text


@pytest.mark.parametrize("model", COSTS)
def test_start_line_names_the_slow_path(service, model):
    (started,) = events(service, "started")
    assert said(model, started["runtimes"][model])


@pytest.mark.parametrize("model", COSTS)
def test_healthz_names_the_slow_path(service, model):
    assert said(model, service.health()["models"][model]["runtime"])


def test_runtime_output_names_the_slow_path(service):
    with grpc.InferenceServerClient(service.url) as client:
        (runtime,) = set(ask(client, "align_text", [b"a cat"]).as_numpy("RUNTIME").ravel())
    assert said("align_text", runtime.decode())


def test_metric_shows_the_slow_path(service):
    with urlopen(service.metrics, timeout=10) as answer:
        text = answer.read().decode()
    found = dict(re.findall(r'^align_zoo_slowdown{model="(\w+)"} (\S+)', text, re.MULTILINE))
    assert {model: float(value) for model, value in found.items()} == {
        "align_image": load._IN_TORCH["image"],
        "align_text": load._IN_TORCH["text"],
    }


def test_nothing_was_exported(service):
    assert "this happens once" not in service.log.read_text()
