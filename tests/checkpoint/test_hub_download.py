"""Of a hub's repository what a checkpoint needs is fetched, in one format of weights."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest
from huggingface_hub.errors import HFValidationError

from align_zoo import CheckpointError
from align_zoo.checkpoint import folder as under_test
from align_zoo.checkpoint.folder import open_checkpoint

SMALL = {"config.json", "preprocessor_config.json", "tokenizer.json", "vocab.txt"}
REST = {"README.md", "flax_model.msgpack", "tf_model.h5", "training_args.bin", "image.png"}
SAFE = {"model-1-of-2.safetensors", "model-2-of-2.safetensors", "model.safetensors.index.json"}
PICKLED = {
    "pytorch_model-1-of-2.bin",
    "pytorch_model-2-of-2.bin",
    "pytorch_model.bin.index.json",
}


class Hub:
    """A repository, and a cache that holds what was fetched of it."""

    def __init__(self, folder: Path) -> None:
        self.repository, self.cache = folder / "repository", folder / "cache"
        self.repository.mkdir()
        self.cache.mkdir()
        self.asked: set[tuple] = set()

    def fill(self, names: set[str]) -> None:
        for name in names:
            (self.repository / name).write_text(json.dumps({"weight_map": {"temperature": name}}))

    def snapshot_download(self, hub_id: str, *, allow_patterns: list[str], **where: object) -> str:
        self.asked.add((hub_id, *where.items()))
        for path in self.repository.iterdir():
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, self.cache)
        return str(self.cache)

    @property
    def fetched(self) -> set[str]:
        return {path.name for path in self.cache.iterdir()}


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Hub:
    hub = Hub(tmp_path)
    monkeypatch.setattr(under_test, "snapshot_download", hub.snapshot_download)
    return hub


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [
        ({"model.safetensors"}, {"model.safetensors"}),
        ({"pytorch_model.bin"}, {"pytorch_model.bin"}),
        ({"model.safetensors", "pytorch_model.bin"}, {"model.safetensors"}),
        ({"model.safetensors", *SAFE}, {"model.safetensors", "model.safetensors.index.json"}),
        (SAFE, SAFE),
        (PICKLED, PICKLED),
        ({*SAFE, *PICKLED}, {*SAFE, "pytorch_model.bin.index.json"}),
        ({*SAFE, "pytorch_model.bin"}, SAFE),
    ],
    ids=["safe", "pickle", "both", "whole", "shards", "pickled shards", "both in shards", "mixed"],
)
def test_one_weight_format_is_fetched_safetensors_first(hub, weights, wanted):
    hub.fill(SMALL | REST | weights)
    checkpoint = open_checkpoint("some/align")
    assert hub.fetched == SMALL | wanted
    assert checkpoint.weights_file.name in wanted


def test_revision_and_cache_reach_the_hub(hub, tmp_path):
    hub.fill(SMALL | SAFE)
    open_checkpoint("some/align", revision="v1.0", cache_dir=tmp_path)
    assert hub.asked == {("some/align", ("revision", "v1.0"), ("cache_dir", tmp_path))}


def test_a_repository_of_something_else_is_no_checkpoint(hub):
    hub.fill(REST)
    with pytest.raises(CheckpointError, match=r"some/align is no ALIGN checkpoint: config\.json"):
        open_checkpoint("some/align")


class ReadTimeout(Exception):
    """Of the library that the hub's client reads from the network by."""


@pytest.mark.parametrize(
    "error",
    [OSError("no space left"), HFValidationError("a bad name"), ReadTimeout("timed out")],
    ids=repr,
)
def test_failed_download_names_checkpoint_revision_and_reason(hub, error, monkeypatch):
    def fail(*arguments: object, **options: object) -> str:
        raise error

    monkeypatch.setattr(under_test, "snapshot_download", fail)
    with pytest.raises(
        CheckpointError, match="some/align at revision v2 cannot be fetched"
    ) as told:
        open_checkpoint("some/align", revision="v2")
    assert str(error) in str(told.value)
