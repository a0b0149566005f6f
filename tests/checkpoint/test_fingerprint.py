"""A fingerprint stands for a checkpoint's content: the same wherever and whenever it is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from align_zoo import CheckpointError
from align_zoo.checkpoint.folder import Checkpoint
from align_zoo.checkpoint.weights import shards

SMALL = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
WEIGHTS = [f"model-{number:05}-of-00008.safetensors" for number in range(1, 9)]


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in (*SMALL, *WEIGHTS):
        (tmp_path / name).write_text(f"the content of {name}")
    names = {f"weight {i}": name for i, name in enumerate(reversed(WEIGHTS))}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return tmp_path


def fingerprint(folder: Path) -> str:
    return Checkpoint("any", folder).fingerprint


def test_fingerprint_is_equal_in_every_process_and_version(folder):
    """Clients keep embeddings by it."""
    assert fingerprint(folder) == "e9f66332df0fddb2"


@pytest.mark.parametrize("name", [*SMALL, "model.safetensors.index.json", WEIGHTS[3]])
def test_fingerprint_covers_every_file_of_an_answer(folder, name):
    before = fingerprint(folder)
    with (folder / name).open("a") as file:
        file.write("\n")
    assert fingerprint(folder) != before


def test_fingerprint_covers_the_names_of_the_files(folder):
    before = fingerprint(folder)
    one, other = folder / "tokenizer.json", folder / "tokenizer_config.json"
    content = one.read_text(), other.read_text()
    other.write_text(content[0]), one.write_text(content[1])
    assert fingerprint(folder) != before


def test_fingerprint_ignores_files_left_by_training(folder):
    before = fingerprint(folder)
    for name in ("training_args.bin", "optimizer.pt", "README.md", "pytorch_model.bin"):
        (folder / name).write_text("of no answer")
    assert fingerprint(folder) == before


def test_shards_are_read_in_order_of_their_names(folder):
    assert [path.name for path in shards(folder / "model.safetensors.index.json")] == WEIGHTS


def test_a_file_that_cannot_be_read_is_named(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("/proc/self/mem")  # reading its beginning fails
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read: "):
        fingerprint(folder)
