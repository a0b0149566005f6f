"""Our defaults are transformers', so a field that a checkpoint leaves out means the same."""

from __future__ import annotations

from dataclasses import fields

import pytest
import transformers

from align_zoo import CheckpointError
from align_zoo.checkpoint.config import AlignConfig, TextConfig
from align_zoo.checkpoint.fields import read_json
from align_zoo.checkpoint.vision_config import VisionConfig


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (VisionConfig(), transformers.AlignVisionConfig()),
        (TextConfig(), transformers.AlignTextConfig()),
    ],
    ids=["vision", "text"],
)
def test_the_defaults_are_transformers(ours, theirs):
    for field in fields(ours):
        mine, other = getattr(ours, field.name), getattr(theirs, field.name)
        assert (tuple(other) if isinstance(other, list) else other) == mine, field.name


def test_a_config_that_transformers_wrote_reads_back():
    written = transformers.AlignConfig().to_dict()
    assert AlignConfig.from_dict(written) == AlignConfig()


def test_an_almost_empty_config_is_base():
    assert AlignConfig.from_dict({"model_type": "align"}) == AlignConfig()


def test_base_has_55_blocks_in_b7s_stages():
    blocks = list(VisionConfig().blocks())
    assert [sum(b.stage == s for b in blocks) for s in range(7)] == [4, 7, 7, 10, 10, 13, 4]
    assert VisionConfig().embedding_dim == 640


def test_nulls_mean_the_default():
    def nulls(config):
        return dict.fromkeys(field.name for field in fields(config))

    empty = {"model_type": "align", **nulls(AlignConfig())}
    sections = {"vision_config": nulls(VisionConfig()), "text_config": nulls(TextConfig())}
    assert AlignConfig.from_dict(empty) == AlignConfig.from_dict({**empty, **sections})
    assert AlignConfig.from_dict(empty) == AlignConfig()


def test_error_shows_a_long_value_in_part():
    config = {"model_type": "align", "text_config": {"hidden_act": "x" * 5_000}}
    with pytest.raises(CheckpointError, match=r"hidden_act is 'x{20,}\.\.\.; supported") as caught:
        AlignConfig.from_dict(config)
    assert len(str(caught.value)) < 400


def test_a_config_may_have_letters_of_any_language(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"_name_or_path": "größe/画像"}', encoding="utf-8")
    assert read_json(path) == {"_name_or_path": "größe/画像"}


def test_whole_numbers_for_floats_are_floats():
    config = {"model_type": "align", "text_config": {"layer_norm_eps": 1}}
    eps = AlignConfig.from_dict(config).text_config.layer_norm_eps
    assert (eps, type(eps)) == (1.0, float)


def test_unknown_config_keys_are_ignored():
    config = {
        "model_type": "align",
        "architectures": ["AlignModel"],
        "transformers_version": "4.27.0.dev0",
        "text_config": {"model_type": "align_text_model", "torch_dtype": None, "new": [1]},
        "vision_config": {"id2label": {"0": "LABEL_0"}, "num_hidden_layers": 64},
    }
    assert AlignConfig.from_dict(config) == AlignConfig()


def test_config_joined_from_two_tower_configs_is_read():
    """As AlignConfig.from_text_vision_configs of older versions of transformers put it together."""
    vision = transformers.AlignVisionConfig(hidden_act="relu")
    text = transformers.AlignTextConfig(num_hidden_layers=3)
    together = transformers.AlignConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=640
    )
    got = AlignConfig.from_dict(together.to_dict())
    assert got.vision_config == VisionConfig(hidden_act="relu")
    assert got.text_config == TextConfig(num_hidden_layers=3)
