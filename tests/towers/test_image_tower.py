"""timm's contract for an image model, held by every registered image tower."""

from __future__ import annotations

import pytest
import timm
import torch
from checkpoints import lively_model, save_checkpoint, small_config
from PIL import Image
from timm.models import save_for_hf
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from timm_towers import NAMES, create, images

import align_zoo


@pytest.fixture(scope="module", params=NAMES)
def tower(request):
    """An image tower in eval mode; tests must not change it."""
    return create(request.param).eval()


def test_all_image_towers_are_registered():
    assert set(NAMES) == {"align_base_image", "align_emoji_image", "align_tiny_image"}


@pytest.mark.parametrize("size", [33, 64, 65, 97])
def test_forward_takes_any_input_size(tower, size):
    with torch.inference_mode():
        out = tower(images(size=size))
    assert out.shape == (2, tower.num_features)
    assert out.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_backward_reaches_every_parameter(name):
    tower = create(name, num_classes=42).train()
    out = tower(images())
    assert out.shape == (2, 42)
    out.mean().backward()
    for parameter, value in tower.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter


def test_forward_is_forward_head_of_forward_features(tower):
    x = images()
    with torch.inference_mode():
        features = tower.forward_features(x)
        assert features.shape[:2] == (2, tower.num_features)
        assert torch.equal(tower.forward_head(features), tower(x))
        pooled = tower.forward_head(features, pre_logits=True)
        torch.testing.assert_close(pooled, features.mean((2, 3)))


def test_features_only_follows_out_indices(tower):
    name = tower.pretrained_cfg["architecture"]
    last = len(tower.feature_info) - 1
    backbone = create(name, features_only=True, out_indices=(1, last)).eval()
    backbone.load_state_dict(tower.state_dict(), strict=False)
    with torch.inference_mode():
        features = backbone(images())
        whole = create(name, features_only=True).eval()(images())
    assert len(features) == 2
    assert [f.shape[1] for f in features] == backbone.feature_info.channels()
    assert [f.shape for f in features] == [whole[i].shape for i in (1, last)]


def test_feature_info_has_channels_and_reductions(tower):
    with torch.inference_mode():
        intermediates = tower.forward_intermediates(images(size=64), intermediates_only=True)
    assert len(intermediates) == len(tower.feature_info)
    for info, map in zip(tower.feature_info, intermediates, strict=True):
        assert map.shape[1] == info["num_chs"]
        assert map.shape[2] == 64 // info["reduction"]


def test_the_last_intermediate_is_forward_features(tower):
    x = images()
    with torch.inference_mode():
        final, intermediates = tower.forward_intermediates(x)
        assert torch.equal(final, tower.forward_features(x))
        assert torch.equal(final, intermediates[-1])


def test_intermediates_are_those_of_features_only():
    tower = create("align_tiny_image", pretrained=True).eval()
    backbone = create("align_tiny_image", pretrained=True, features_only=True).eval()
    x = images(size=49)
    with torch.inference_mode():
        pairs = zip(
            tower.forward_intermediates(x, intermediates_only=True), backbone(x), strict=True
        )
        for one, other in pairs:
            assert torch.equal(one, other)


def test_intermediates_can_be_chosen_and_stop_early(tower):
    x = images()
    with torch.inference_mode():
        every = tower.forward_intermediates(x, intermediates_only=True)
        last_two = tower.forward_intermediates(x, indices=2, intermediates_only=True)
        early = tower.forward_intermediates(
            x, indices=[0, 2], stop_early=True, intermediates_only=True
        )
    assert [torch.equal(a, b) for a, b in zip(last_two, every[-2:], strict=True)] == [True] * 2
    assert [torch.equal(a, b) for a, b in zip(early, (every[0], every[2]), strict=True)] == [
        True
    ] * 2


@pytest.mark.parametrize("name", NAMES)
def test_pruned_layers_give_the_same_intermediates(name):
    tower = create(name).eval()
    x = images()
    with torch.inference_mode():
        before = tower.forward_intermediates(x, indices=[0, 1], intermediates_only=True)
        size = sum(p.numel() for p in tower.parameters())
        kept = tower.prune_intermediate_layers([0, 1])
        after = tower.forward_intermediates(x, indices=kept, intermediates_only=True)
    assert sum(p.numel() for p in tower.parameters()) < size
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)


def test_timm_saves_and_rebuilds_a_pruned_tower(tmp_path):
    tower = create("align_tiny_image", pretrained=True).eval()
    tower.prune_intermediate_layers([1])
    save_for_hf(tower, str(tmp_path), safe_serialization=True)
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    with torch.inference_mode():
        assert torch.equal(again(images(size=9)), tower(images(size=9)))


@pytest.mark.parametrize("name", NAMES)
def test_gradient_checkpointing_changes_no_gradient(name):
    tower = create(name, num_classes=3).eval()  # eval, so that BatchNorm sees the same twice
    gradients = []
    for enable in (False, True):
        tower.set_grad_checkpointing(enable)
        tower.zero_grad()
        tower(images()).square().mean().backward()
        gradients.append([p.grad.clone() for p in tower.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


@pytest.mark.parametrize("coarse", [False, True])
def test_group_matcher_orders_every_parameter_by_depth(tower, coarse):
    from timm.models._manipulate import group_parameters

    groups = group_parameters(tower, tower.group_matcher(coarse=coarse))
    assert sorted(n for names in groups.values() for n in names) == sorted(
        name for name, _ in tower.named_parameters()
    )
    blocks = len(tower.blocks) if coarse else sum(len(stage) for stage in tower.blocks)
    assert len(groups) == blocks + 1
    assert set(groups[0]) == {"conv_stem.weight", "bn1.weight", "bn1.bias"}


def test_timms_optimizers_accept_the_tower(tower):
    count = sum(p.numel() for p in tower.parameters())
    for groups in (
        param_groups_layer_decay(tower, weight_decay=0.05, layer_decay=0.7),
        param_groups_weight_decay(tower, weight_decay=0.05),
    ):
        assert sum(p.numel() for group in groups for p in group["params"]) == count
    scales = [g["lr_scale"] for g in param_groups_layer_decay(tower, layer_decay=0.7)]
    assert min(scales) < max(scales) == 1


def test_timms_transform_equals_aligns():
    """timm's create_transform and AlignTransform agree on a real image, sizes included."""
    for source in ("registry", "factory"):
        model, transform, _ = align_zoo.create_align("align_tiny")
        tower = create("align_tiny_image") if source == "registry" else model.image
        timms = timm.data.create_transform(**timm.data.resolve_model_data_config(tower))
        noise = torch.randint(0, 256, (97, 131, 3), generator=torch.Generator().manual_seed(2))
        image = Image.fromarray(noise.to(torch.uint8).numpy())
        torch.testing.assert_close(timms(image), transform(image), rtol=0, atol=1e-6)


def test_timms_transform_is_that_of_align_base():
    from checkpoints import PREPROCESSOR

    from align_zoo.inputs.preprocess import AlignTransform

    cfg = timm.data.resolve_model_data_config(create("align_base_image"))
    noise = torch.randint(0, 256, (480, 640, 3), generator=torch.Generator().manual_seed(2))
    image = Image.fromarray(noise.to(torch.uint8).numpy())
    got = timm.data.create_transform(**cfg)(image)
    assert got.shape == (3, 289, 289)
    torch.testing.assert_close(
        got, AlignTransform.from_dict(PREPROCESSOR)(image), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    "kwargs", [{}, {"num_classes": 6}, {"in_chans": 1}, {"global_pool": "max"}]
)
def test_timm_saves_and_rebuilds_a_tower(kwargs, tmp_path):
    tower = create("align_tiny_image", pretrained=True, **kwargs).eval()
    save_for_hf(tower, str(tmp_path), safe_serialization=True)
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = images(size=49, channels=kwargs.get("in_chans", 3))
    with torch.inference_mode():
        assert torch.equal(again(x), tower(x))
    for cfg in (timm.data.resolve_model_data_config(each) for each in (again, tower)):
        assert cfg["input_size"][1:] == (49, 49)
        assert (cfg["crop_mode"], cfg["interpolation"]) == ("squash", "bilinear")
        assert set(cfg["mean"]) == set(cfg["std"]) == {0.5}


def test_timm_saves_a_tower_of_any_shape_too(tmp_path):
    config = small_config({"hidden_act": "relu", "kernel_sizes": [5, 3, 7, 3, 5, 3, 5]})
    folder = save_checkpoint(lively_model(config, seed=3), tmp_path / "hf")
    tower = align_zoo.create_align(folder)[0].image
    save_for_hf(tower, str(tmp_path / "timm"), safe_serialization=True)
    again = timm.create_model(
        f"local-dir:{tmp_path / 'timm'}", pretrained=True, num_classes=4
    ).eval()
    with torch.inference_mode():
        features = again.forward_features(images())
        assert torch.equal(features, tower.forward_features(images()))
        assert again(images()).shape == (2, 4)


def test_another_shape_comes_from_config_by_transformers_names():
    tower = create("align_base_image", config={"width_coefficient": 0.5, "depth_coefficient": 0.5})
    assert tower.num_features == 160
    with pytest.raises(align_zoo.CheckpointError, match="strides"):
        create("align_base_image", config={"strides": [3, 1, 1, 1, 1, 1, 1]})


@pytest.mark.parametrize("shape", [(2, 1, 49, 49), (2, 4, 49, 49), (3, 49, 49), (2, 49, 49, 3)])
def test_a_tensor_that_is_no_image_is_refused(shape):
    tower = create("align_tiny_image").eval()
    with pytest.raises(align_zoo.InvalidImage) as caught:
        tower(torch.zeros(shape))
    assert str(list(shape)) in str(caught.value)
    assert "[N, 3, H, W]" in str(caught.value)
    model, *_ = align_zoo.create_align("align_tiny")
    for kwargs in ({}, {"output_hidden_states": True}):
        with pytest.raises(align_zoo.InvalidImage):
            model(torch.zeros(shape), **kwargs)


@pytest.mark.parametrize(("name", "least"), [("align_base_image", 32), ("align_tiny_image", 16)])
def test_image_too_small_for_a_map_is_refused(name, least):
    tower = create(name).eval()
    with torch.inference_mode():
        assert tower(images(size=least)).shape == (2, tower.num_features)
    with pytest.raises(align_zoo.InvalidImage, match=f"sides of {least} and more"):
        tower(images(size=least - 1))
