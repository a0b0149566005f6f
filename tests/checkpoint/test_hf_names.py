"""The name tables read both ways."""

from __future__ import annotations

import shutil

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from align_zoo import CheckpointError, create_align
from align_zoo.checkpoint.folder import EMBEDDED, open_checkpoint
from align_zoo.checkpoint.hf_names import from_hf, image_table, text_table, to_hf
from align_zoo.towers.align_image import build_image_tower


@pytest.mark.parametrize("kind", ["image", "text"])
def test_to_hf_inverts_from_hf(kind):
    checkpoint = open_checkpoint("align_tiny")
    table = text_table()
    if kind == "image":
        table = image_table(build_image_tower(checkpoint.config.vision_config))
    prefixes = ("vision_model.",) if kind == "image" else ("text_model.", "text_projection.")
    theirs = checkpoint.weights(*prefixes)
    used = {k: v for k, v in theirs.items() if not k.startswith("text_model.pooler.")}
    back = to_hf(from_hf(theirs, table), table)
    assert back.keys() == used.keys()
    assert all(torch.equal(back[name], used[name]) for name in used)


def test_integer_constants_of_older_transformers_are_ignored(tmp_path):
    """As kakaobrain/align-base has them: whole numbers, which no weight is."""
    folder = shutil.copytree(EMBEDDED["align_tiny"], tmp_path / "older")
    weights = load_file(folder / "model.safetensors")
    weights["text_model.embeddings.position_ids"] = torch.arange(64)[None]
    save_file(weights, folder / "model.safetensors")
    (old, _, _), (new, _, _) = create_align(folder), create_align("align_tiny")
    assert all(map(torch.equal, old.state_dict().values(), new.state_dict().values()))
    overlay = {"file": str(folder / "model.safetensors")}
    tower = timm.create_model("align_tiny_text", pretrained=True, pretrained_cfg_overlay=overlay)
    assert torch.equal(tower.head.weight, new.text.head.weight)


def test_native_names_pass_unchanged():
    native = {"head.weight": torch.zeros(2, 2)}
    assert from_hf(native, text_table()) == native


def test_a_classifier_has_no_place_in_hfs_format():
    with pytest.raises(CheckpointError, match="classifier"):
        to_hf({"classifier.weight": torch.zeros(1)}, text_table())
