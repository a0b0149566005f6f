"""What docs/fine-tuning.md tells timm's training script to do, through the functions it calls."""

from __future__ import annotations

import timm
import torch
from captioned import run
from timm.optim import create_optimizer_v2

import align_zoo


def test_layer_decay_threshold_gives_a_linear_probe():
    model = timm.create_model("align_tiny_image", pretrained=True, num_classes=6)
    optimizer = create_optimizer_v2(
        model, opt="adamw", lr=1e-2, layer_decay=0.1, layer_decay_no_opt_scale=0.5
    )
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in model.get_classifier().parameters()}
    assert all(p.requires_grad == (id(p) in trained) for p in model.parameters())


def test_layer_decay_trains_the_stem_slowest():
    model = timm.create_model("align_tiny_image", pretrained=True, num_classes=6)
    groups = create_optimizer_v2(model, opt="adamw", lr=1e-2, layer_decay=0.8).param_groups
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    order = ("conv_stem.weight", "blocks.1.0.conv_pw.weight", "blocks.3.1.conv_pw.weight")
    scales = [scale[id(model.get_parameter(name))] for name in (*order, "classifier.weight")]
    assert sorted(set(scales)) == scales
    assert scales[-1] == 1


def test_a_fine_tuned_folder_is_a_pretrained_path(pairs_csv, tmp_path):
    assert run(pairs_csv, tmp_path, "--steps", "1").exit_code == 0
    overlay = {"file": str(tmp_path / "model.safetensors"), "num_classes": -1}  # as train.py does
    tower = timm.create_model(
        "align_tiny_image", pretrained=True, num_classes=6, pretrained_cfg_overlay=overlay
    ).eval()
    model = align_zoo.create_align(tmp_path)[0]
    pixels = torch.randn(2, 3, 49, 49, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = tower.forward_head(tower.forward_features(pixels), pre_logits=True)
        torch.testing.assert_close(features, model.encode_image(pixels))
        before = timm.create_model("align_tiny_image", pretrained=True).eval()(pixels)
    assert (features - before).norm() > 0.01
