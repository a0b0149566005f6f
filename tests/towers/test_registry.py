"""The towers in timm's registry."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from checkpoints import lively_model, save_checkpoint
from transformers import AlignConfig

import align_zoo
from align_zoo.checkpoint.folder import open_checkpoint

IMAGE_TOWERS = ["align_base_image", "align_tiny_image"]
TEXT_TOWERS = ["align_base_text", "align_tiny_text"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with lively weights in the true shape of kakaobrain/align-base."""
    model = lively_model(AlignConfig(), seed=4)
    return save_checkpoint(model, tmp_path_factory.mktemp("base") / "folder"), model


def test_importing_registers_the_four_towers():
    assert set(IMAGE_TOWERS + TEXT_TOWERS) <= set(timm.list_models("align_*"))


@pytest.mark.parametrize("name", IMAGE_TOWERS)
def test_an_image_towers_cfg_is_full_and_true(name):
    cfg = timm.get_pretrained_cfg(name)
    tower = timm.create_model(name).eval()
    assert cfg.mean == cfg.std == (0.5, 0.5, 0.5)
    assert (cfg.crop_mode, cfg.interpolation, cfg.num_classes) == ("squash", "bilinear", 0)
    assert isinstance(tower.get_submodule(cfg.first_conv), torch.nn.Conv2d)
    assert tower.get_classifier() is tower.get_submodule(cfg.classifier)
    with torch.inference_mode():
        features = tower.forward_features(torch.randn(1, *cfg.input_size))
    assert tuple(features.shape[-2:]) == cfg.pool_size
    assert features.shape[1] == tower.num_features


@pytest.mark.parametrize("name", TEXT_TOWERS)
def test_a_text_towers_cfg_is_true(name):
    cfg = timm.get_pretrained_cfg(name)
    tower = timm.create_model(name).eval()
    with torch.inference_mode():
        assert tower(torch.tensor([[2, 7, 3]])).shape == (1, cfg.num_classes)
    assert tower.get_classifier() is tower.get_submodule(cfg.classifier)


@pytest.mark.parametrize(("name", "parameters"), [("image", 62_143_440), ("text", 109_383_808)])
def test_base_has_aligns_parameter_count(name, parameters):
    tower = timm.create_model(f"align_base_{name}")
    assert sum(p.numel() for p in tower.parameters()) == parameters


def test_base_points_at_the_hub():
    for name in ("align_base_image", "align_base_text"):
        assert timm.get_pretrained_cfg(name).hf_hub_id == "kakaobrain/align-base"


@pytest.mark.parametrize("kind", ["image", "text"])
def test_the_embedded_checkpoint_loads_and_equals_create_align(kind):
    tower = timm.create_model(f"align_tiny_{kind}", pretrained=True).eval()
    model, _, _ = align_zoo.create_align("align_tiny")
    x = torch.randn(2, 3, 49, 49) if kind == "image" else torch.tensor([[2, 9, 8, 3]])
    with torch.inference_mode():
        assert torch.equal(tower(x), getattr(model, kind)(x))


def test_the_tiny_cfgs_transform_is_the_checkpoints():
    cfg = timm.get_pretrained_cfg("align_tiny_image")
    _, transform, _ = align_zoo.create_align("align_tiny")
    assert transform.crop == cfg.input_size[1:]
    # As timm's create_transform computes the size to resize to.
    assert transform.size == (math.floor(cfg.input_size[1] / cfg.crop_pct),) * 2


def test_a_local_file_loads_through_timm(base):
    folder, theirs = base
    overlay = {"file": str(folder / "model.safetensors")}
    image = timm.create_model("align_base_image", pretrained=True, pretrained_cfg_overlay=overlay)
    text = timm.create_model("align_base_text", pretrained=True, pretrained_cfg_overlay=overlay)
    x, ids = torch.randn(1, 3, 75, 75), torch.tensor([[2, 9, 8, 3]])
    with torch.inference_mode():
        expected = theirs.get_image_features(x).pooler_output
        torch.testing.assert_close(image.eval()(x), expected, rtol=1e-4, atol=1e-4)
        expected = theirs.get_text_features(ids).pooler_output
        torch.testing.assert_close(text.eval()(ids), expected, rtol=1e-4, atol=1e-4)


def test_top_of_the_feature_pyramid_is_the_embedding(base):
    folder, _ = base
    overlay = {"file": str(folder / "model.safetensors")}
    args = {"pretrained": True, "pretrained_cfg_overlay": overlay}
    backbone = timm.create_model("align_base_image", features_only=True, **args).eval()
    tower = timm.create_model("align_base_image", **args).eval()
    x = torch.randn(1, 3, 97, 97)
    with torch.inference_mode():
        features = backbone(x)
        torch.testing.assert_close(features[-1].mean((2, 3)), tower(x))
    assert backbone.feature_info.channels() == [32, 48, 80, 224, 640]
    assert backbone.feature_info.reduction() == [2, 4, 8, 16, 32]


OFFLINE = """
import timm, torch, align_zoo
from align_zoo.checkpoint.folder import open_checkpoint
image = timm.create_model("align_base_image", pretrained=True).eval()
text = timm.create_model("align_base_text", pretrained=True).eval()
model, transform, tokenizer = align_zoo.create_align("kakaobrain/align-base")
x = torch.randn(1, 3, 75, 75)
ids = tokenizer(["a photo of a cat"])
with torch.inference_mode():
    assert torch.equal(image(x), model.encode_image(x))
    assert torch.equal(text(ids["input_ids"]), model.encode_text(ids))
open_checkpoint("kakaobrain/align-base", revision="pinned")
try:
    align_zoo.create_align("kakaobrain/align-base", revision="another")
except align_zoo.CheckpointError as error:
    print(error)
"""


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_the_hub_cache_works_offline(base, tmp_path, weights):
    """The layout that huggingface_hub leaves behind after one online run."""
    folder, model = base
    repo = tmp_path / "hub" / "models--kakaobrain--align-base"
    commit = "e96a37facc7b1f59090ece82293226b817afd6ba"
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    for ref in ("main", "pinned"):
        (repo / "refs" / ref).write_text(commit)
    for file in folder.iterdir():
        if file.name != "model.safetensors":
            (snapshot / file.name).symlink_to(file)
    if weights == "model.safetensors":
        (snapshot / weights).symlink_to(folder / weights)
    else:
        torch.save(model.state_dict(), snapshot / weights)
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        env={"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "kakaobrain/align-base at revision another" in done.stdout


def test_one_tower_loads_without_the_other_being_built(tmp_path):
    """Loading an image tower reads no text weight: a checkpoint cut in half is enough."""
    from safetensors.torch import load_file, save_file

    tiny = open_checkpoint("align_tiny").weights_file
    whole = load_file(tiny)
    for kind, prefix in (("image", "vision_model."), ("text", "text_")):
        half = Path(tmp_path / f"{kind}.safetensors")
        save_file({k: v for k, v in whole.items() if k.startswith(prefix)}, half)
        overlay = {"file": str(half)}
        timm.create_model(f"align_tiny_{kind}", pretrained=True, pretrained_cfg_overlay=overlay)


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        (
            "align_tiny_text",
            {"vocab_size": "200"},
            "text_config.vocab_size is '200'; supported",
        ),
        ("align_tiny_text", {"hidden_sizes": 64}, "a field of text_config is 'hidden_sizes'"),
        ("align_tiny_image", {"in_channels": 5}, "vision_config.in_channels is 5; supported"),
        ("align_tiny_image", {"batch_norm_eps": 0}, "vision_config.batch_norm_eps is 0.0"),
    ],
)
def test_unsupported_config_is_refused_by_its_field(name, config, words):
    with pytest.raises(align_zoo.CheckpointError) as caught:
        timm.create_model(name, config=config)
    assert words in str(caught.value)
