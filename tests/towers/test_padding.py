"""The fixed padding of ALIGN's stride-2 convolutions, which is not timm's 'same'."""

from __future__ import annotations

import pytest
import torch
from checkpoints import lively_model, small_config, with_same_padding
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import create_conv2d
from torch import nn
from transformers.models.align.modeling_align import AlignVisionDepthwiseLayer
from tries import tries

from align_zoo.checkpoint.hf_names import from_hf, image_table
from align_zoo.checkpoint.vision_config import VisionConfig
from align_zoo.towers.align_image import build_image_tower
from align_zoo.towers.layers import FixedPadConv2d


@settings(max_examples=tries(40), deadline=None)
@given(
    height=st.integers(3, 40),
    width=st.integers(3, 40),
    kernel=st.sampled_from([3, 5, 7]),
    depthwise=st.booleans(),
)
def test_image_tower_equals_transformers_at_any_size(height, width, kernel, depthwise):
    groups = 4 if depthwise else 1
    ours = FixedPadConv2d(4, 4, kernel, groups=groups)
    reference = nn.Sequential(
        nn.ZeroPad2d((kernel // 2 - 1, kernel // 2) * 2),
        nn.Conv2d(4, 4, kernel, stride=2, groups=groups, bias=False),
    )
    reference[1].weight = ours.weight
    x = torch.randn(2, 4, height, width)
    if depthwise:
        config = small_config().vision_config
        layer = AlignVisionDepthwiseLayer(config, 4, 2, kernel, adjust_padding=True)
        layer.depthwise_conv.weight = ours.weight
        torch.testing.assert_close(ours(x), layer.depthwise_conv(layer.depthwise_conv_pad(x)))
    torch.testing.assert_close(ours(x), reference(x))
    assert ours(x).shape == (2, 4, height // 2, width // 2)


@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize("kernel", [3, 5])
def test_timms_same_padding_agrees_at_even_sizes_only(size, kernel):
    ours = FixedPadConv2d(4, 4, kernel, groups=4)
    same = create_conv2d(4, 4, kernel, stride=2, padding="same", depthwise=True)
    same.weight = ours.weight
    x = torch.randn(1, 4, size, size)
    if size % 2 == 0:
        torch.testing.assert_close(ours(x), same(x))
    else:
        assert ours(x).shape != same(x).shape


@pytest.mark.parametrize("size", [289, 75])
def test_parity_check_detects_timms_same_padding(size):
    """The check that the parity tests can fail: 'same' in place of ours gives other answers."""
    theirs = lively_model(small_config())
    tower = build_image_tower(VisionConfig(width_coefficient=0.3, depth_coefficient=0.6)).eval()
    tower.load_state_dict(from_hf(theirs.state_dict(), image_table(tower)))
    x = torch.randn(1, 3, size, size)
    with torch.inference_mode():
        expected = theirs.get_image_features(x).pooler_output
        right = (tower(x) - expected).norm() / expected.norm()
        with_same_padding(tower)
        wrong = (tower(x) - expected).norm() / expected.norm()
    assert right < 1e-5
    assert wrong > 1e-3


def test_five_convolutions_of_base_are_concerned():
    tower = build_image_tower(VisionConfig())
    fixed = [name for name, m in tower.named_modules() if isinstance(m, FixedPadConv2d)]
    assert fixed == ["conv_stem", *(f"blocks.{stage}.0.conv_dw" for stage in (1, 2, 3, 5))]
