"""timm's options for an image model: heads, channels, dropout, normalization."""

from __future__ import annotations

import pytest
import torch
from timm_towers import NAMES, create, images


def test_pre_logits_are_the_embedding_under_a_classifier():
    tower = create("align_tiny_image", pretrained=True, num_classes=9).eval()
    bare = create("align_tiny_image", pretrained=True).eval()
    x = images(size=49)
    with torch.inference_mode():
        features = tower.forward_features(x)
        assert tower(x).shape == (2, 9)
        torch.testing.assert_close(tower.forward_head(features, pre_logits=True), bare(x))


@pytest.mark.parametrize("name", NAMES)
def test_reset_classifier_gives_a_fresh_head_or_none(name):
    tower = create(name).eval()
    x = images()
    with torch.inference_mode():
        embedding = tower(x)
        tower.reset_classifier(11)
        assert tower.num_classes == tower.get_classifier().out_features == 11
        assert tower(x).shape == (2, 11)
        tower.reset_classifier(0)
        assert torch.equal(tower(x), embedding)
        tower.reset_classifier(0, "")
        assert tower(x).ndim == 4


@pytest.mark.parametrize(
    ("pool", "width"), [("avg", 1), ("max", 1), ("avgmax", 1), ("catavgmax", 2)]
)
def test_global_pool_is_timms(pool, width):
    tower = create("align_tiny_image", pretrained=True, global_pool=pool, num_classes=3).eval()
    assert tower.head_hidden_size == width * tower.num_features
    with torch.inference_mode():
        assert tower(images(size=49)).shape == (2, 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_in_chans_other_than_three_adapt_the_stem(name, channels):
    tower = create(name, in_chans=channels).eval()
    with torch.inference_mode():
        assert tower(images(channels=channels)).shape == (2, tower.num_features)


def test_a_grey_stem_sums_the_pretrained_channels():
    """timm's rule: a grey image repeated over three channels gets the same answer."""
    grey = create("align_tiny_image", pretrained=True, in_chans=1).eval()
    colour = create("align_tiny_image", pretrained=True).eval()
    x = images(size=49, channels=1)
    with torch.inference_mode():
        torch.testing.assert_close(grey(x), colour(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


def test_drop_rate_drops_in_training_alone():
    tower = create("align_tiny_image", pretrained=True, num_classes=5, drop_rate=0.5)
    for module in tower.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    x = images(size=49)
    tower.training = True
    with torch.no_grad():
        assert not torch.equal(tower(x), tower(x))
        tower.eval()
        assert torch.equal(tower(x), tower(x))


def test_drop_path_rate_rises_with_depth():
    tower = create("align_base_image", drop_path_rate=0.2)
    rates = [
        block.drop_path.drop_prob
        for stage in tower.blocks
        for block in stage
        if hasattr(block.drop_path, "drop_prob")
    ]
    assert rates == sorted(rates)
    assert 0 < max(rates) < 0.2


def test_timms_batch_norm_options_come_before_the_configs():
    plain = create("align_tiny_image").bn1
    assert (plain.eps, plain.momentum) == (1e-3, pytest.approx(0.01))
    other = create("align_tiny_image", bn_eps=1e-5, bn_momentum=0.2).bn1
    assert (other.eps, other.momentum) == (1e-5, 0.2)


@pytest.mark.parametrize("cosine", [False, True], ids=["linear", "cosine"])
def test_classifier_is_created_on_the_device_and_dtype(cosine):
    tower = create(
        "align_tiny_image",
        num_classes=3,
        cosine_classifier=cosine,
        device="meta",
        dtype=torch.bfloat16,
    )
    kinds = {(each.device.type, each.dtype) for each in tower.parameters()}
    assert kinds == {("meta", torch.bfloat16)}
