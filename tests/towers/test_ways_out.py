"""Errors of towers and checkpoints name what to do instead."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants

import align_zoo
from align_zoo import CheckpointError, InvalidInput

WEIGHTS = Path(align_zoo.__file__).parent / "assets" / "align_tiny" / "model.safetensors"
TOWERS = ["align_tiny_image", "align_tiny_text"]


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No hub, and nothing in its cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("tower", ["image", "text"])
def test_offline_tower_names_the_sources_of_weights(offline, tower, features):
    if features and tower == "text":
        told, kind = "features_only is for maps of images", InvalidInput
    else:
        told, kind = r"(?s)HF_HUB_OFFLINE=1.*pretrained_cfg_overlay=dict\(file=", CheckpointError
    with pytest.raises(kind, match=told):
        timm.create_model(f"align_base_{tower}", pretrained=True, features_only=features)


def test_absent_file_of_weights_is_named(tmp_path):
    overlay = {"file": str(tmp_path / "absent.safetensors")}
    with pytest.raises(CheckpointError, match=r"absent\.safetensors does not exist"):
        timm.create_model(TOWERS[0], pretrained=True, pretrained_cfg_overlay=overlay)


@pytest.mark.parametrize("load", [align_zoo.create_align, align_zoo.load_encoder])
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("align_tinny", "align_tiny"),
        ("align-tiny", "align_tiny"),
        ("kakaobrain/align_base", "kakaobrain/align-base"),
        ("align-base", "kakaobrain/align-base"),
        (Path("align_tinny"), "align_tiny"),
    ],
    ids=str,
)
def test_a_misspelt_checkpoint_suggests_the_near_one(offline, load, name, meant):
    with pytest.raises(CheckpointError, match=rf"\(did you mean {meant}\?\)"):
        load(name)


@pytest.mark.parametrize("name", ["kakaobrain/align-base", "somebody/else"])
def test_other_checkpoint_offline_suggests_cache_or_folder(offline, name):
    with pytest.raises(CheckpointError, match=r"path of a folder .* HF_HUB_OFFLINE=1") as raised:
        align_zoo.create_align(name)
    assert "did you mean" not in str(raised.value)


@pytest.mark.parametrize(
    ("argument", "value", "hint"),
    [
        ("act_layer", "relu", "hidden_act of config="),
        ("norm_layer", torch.nn.BatchNorm2d, "bn_eps="),
        ("stem_size", 8, "config="),
        ("block_args", [], "config="),
        ("fix_stem", False, "config="),
        ("img_size", 64, "images of any size"),
        ("drop_block_rate", 0.1, "config="),
    ],
)
@pytest.mark.parametrize("tower", TOWERS)
def test_unknown_argument_of_a_tower_is_named(tower, argument, value, hint):
    with pytest.raises(InvalidInput, match=f"{tower} does not take {argument}=: .*{hint}"):
        timm.create_model(tower, **{argument: value})


@pytest.mark.parametrize("tower", TOWERS)
def test_hugging_faces_names_in_checkpoint_path_are_explained(tower):
    with pytest.raises(CheckpointError, match=r"pretrained_cfg_overlay=dict\(file=FILE\)"):
        timm.create_model(tower, checkpoint_path=str(WEIGHTS))
    timm.create_model(tower, pretrained=True, pretrained_cfg_overlay={"file": str(WEIGHTS)})


def test_torchscript_of_the_text_tower_names_what_works():
    model, _, tokenizer = align_zoo.create_align("align_tiny")
    for module in (model.text, model):
        with pytest.raises(InvalidInput, match=r"use torch\.jit\.trace or torch.export"):
            torch.jit.script(module)
    ids = tokenizer("a red star")["input_ids"]
    torch.testing.assert_close(torch.jit.trace(model.text, (ids,))(ids), model.text(ids))


def test_one_of_timms_two_towers_is_no_checkpoint(tmp_path):
    model, transform, tokenizer = align_zoo.create_align("align_tiny")
    align_zoo.save_timm(model, tmp_path, transform=transform, tokenizer=tokenizer)
    for folder, told in (("", "timm's two towers"), ("image", "one of timm's"), ("text", "one of")):
        with pytest.raises(CheckpointError, match=rf"{told}(?s:.)*convert {tmp_path} NEW_FOLDER"):
            align_zoo.create_align(tmp_path / folder)
