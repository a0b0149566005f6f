"""A checkpoint runs no code, and no name in it or of it leads out of where it belongs."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from checkpoints import lively_model, save_checkpoint, small_config
from safetensors.torch import load_file

import align_zoo
from align_zoo import CheckpointError
from align_zoo.checkpoint.folder import open_checkpoint


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    return save_checkpoint(lively_model(small_config()), tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(sound, tmp_path) -> Path:
    """A sound checkpoint of the test's own, to change."""
    return Path(shutil.copytree(sound, tmp_path / "checkpoint"))


@pytest.mark.parametrize("index", [False, True], ids=["whole", "shards"])
def test_a_pickle_beside_safetensors_is_not_opened(folder, index, tmp_path):
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (ran,))

    torch.save({"temperature": Evil()}, folder / "pytorch_model.bin")
    if index:
        names = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").rename(folder / "a.safetensors")
        (folder / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": dict.fromkeys(names, "a.safetensors")})
        )
    assert align_zoo.create_align(folder)[0].temperature > 0
    assert not ran.exists()


@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_code_that_a_checkpoint_brings_is_not_run(folder, tmp_path, file):
    ran = tmp_path / "ran"
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    classes = {"AutoTokenizer": ["code.Own", "code.Own"], "AutoConfig": "code.Own"}
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": classes}))
    with contextlib.suppress(CheckpointError):
        align_zoo.create_align(folder)
    assert not ran.exists()


@pytest.mark.parametrize(
    "name",
    ["..", "../..", "a/..", "../a", "a/../../b", "a/b/c", "a\0b", "~/../nowhere", "a/b/../c"],
)
def test_path_traversal_is_no_hub_id(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError):
        open_checkpoint(name, cache_dir=tmp_path / "hub")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "revision", ["..", "../../../elsewhere", "/etc", "a/../../b", "", ".", "a//b", "a/", "a\0b"]
)
def test_revision_never_leads_out_of_the_hub_cache(sound, tmp_path, monkeypatch, revision):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    cache = tmp_path / "hub"
    (cache / "models--some--align" / "refs").mkdir(parents=True)
    (cache / "models--some--align" / "snapshots").mkdir()
    (tmp_path / "elsewhere").write_text(str(sound))  # what a revision could be made to read
    with pytest.raises(CheckpointError, match="no branch, tag or commit"):
        open_checkpoint("some/align", revision=revision, cache_dir=cache)


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/3", "feature/new-towers", "0123abc"])
def test_revision_may_be_branch_tag_or_commit(revision, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="nor in the hub cache"):
        open_checkpoint("some/align", revision=revision, cache_dir=tmp_path)
