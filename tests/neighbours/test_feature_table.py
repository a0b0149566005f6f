"""docs/comparison.md: each row names its test, and what a row says of others is true."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import timm
import torch
import transformers
from checkpoints import lively_model, save_checkpoint, small_config
from safetensors.torch import load_file, save_file
from transformers import AlignConfig, AlignModel, AlignVisionConfig, AlignVisionModel, AutoBackbone

import align_zoo
from align_zoo.checkpoint.folder import EMBEDDED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")


def rows() -> list[list[str]]:
    (table,) = re.findall(r"^\| \| transformers \|.*?(?=^$)", PAGE, re.MULTILINE | re.DOTALL)
    return [line.strip("|").split("|") for line in table.splitlines()[2:]]


def test_every_row_names_a_test_that_exists():
    assert len(rows()) >= 12
    for *_, shown_by in rows():
        names = re.findall(r"\[[^]]+\]\(\.\./(tests/[\w/]+\.py)\)(?: `(\w+)`)?", shown_by)
        assert names, shown_by
        for file, function in names:
            text = (ROOT / file).read_text()
            assert f"def {function}(" in text if function else "def test_" in text, shown_by


def test_every_row_says_something_of_all_four():
    for row in rows():
        assert len(row) == 6
        assert all(cell.strip() for cell in row), row


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_checkpoint(lively_model(small_config()), tmp_path_factory.mktemp("features"))


def test_only_transformers_knows_align():
    assert hasattr(transformers, "AlignModel")
    without_us = "import timm; print(timm.list_models('align*'))"
    done = subprocess.run([sys.executable, "-c", without_us], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    assert not [name for name in open_clip.list_models() if name.lower().startswith("align")]


def test_gradient_checkpointing_of_both_towers():
    assert not AlignVisionModel.supports_gradient_checkpointing
    assert hasattr(timm.models.EfficientNet, "set_grad_checkpointing")
    assert hasattr(open_clip.CLIP, "set_grad_checkpointing")
    model, *_ = align_zoo.create_align("align_tiny")
    model.set_grad_checkpointing()
    assert model.image.grad_checkpointing


def test_an_image_tower_as_a_feature_pyramid():
    with pytest.raises(ValueError, match="AutoBackbone"):
        AutoBackbone.from_config(AlignVisionConfig())
    assert "features_only" not in inspect.signature(open_clip.create_model).parameters
    backbone = timm.create_model("align_tiny_image", pretrained=True, features_only=True)
    assert len(backbone(torch.zeros(1, 3, 49, 49))) == 4


def test_weights_adapted_to_other_input_channels(folder):
    config = AlignConfig.from_pretrained(folder)
    config.vision_config.num_channels = 1
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        AlignModel.from_pretrained(folder, config=config)
    assert "in_chans" not in inspect.signature(open_clip.create_model).parameters
    grey = timm.create_model("align_tiny_image", pretrained=True, in_chans=1)
    assert grey(torch.zeros(1, 1, 49, 49)).shape == (1, 128)


def test_a_checkpoint_with_a_missing_weight_is_refused(folder, tmp_path):
    weights = load_file(folder / "model.safetensors")
    del weights["text_projection.bias"]
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    _, report = AlignModel.from_pretrained(tmp_path, output_loading_info=True)  # a warning
    assert set(report["missing_keys"]) == {"text_projection.bias"}
    plain = timm.create_model("test_efficientnet.r160_in1k").state_dict()
    del plain["conv_head.weight"]
    timm.create_model(  # another number of classes, and timm asks no more
        "test_efficientnet",
        pretrained=True,
        num_classes=7,
        pretrained_cfg_overlay={"state_dict": plain},
    )
    whole = load_file(EMBEDDED["align_tiny"] / "model.safetensors")
    del whole["text_model.embeddings.LayerNorm.bias"]
    with pytest.raises(align_zoo.CheckpointError, match=r"text_model.embeddings.LayerNorm.bias"):
        timm.create_model(
            "align_tiny_text",
            pretrained=True,
            num_classes=7,
            pretrained_cfg_overlay={"state_dict": whole},
        )


def test_prompt_sets_of_the_three():
    assert len(open_clip.OPENAI_IMAGENET_TEMPLATES) == 80
    assert hasattr(open_clip, "build_zero_shot_classifier")
    assert not [name for name in dir(timm) if "zero_shot" in name]
    pipeline = transformers.ZeroShotImageClassificationPipeline
    assert "hypothesis_template" in inspect.getsource(pipeline.preprocess)
