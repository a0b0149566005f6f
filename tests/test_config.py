"""Our defaults are transformers', so a field that a checkpoint leaves out means the same."""

from __future__ import annotations

from dataclasses import fields

import pytest
import transformers

from align_zoo.config import AlignConfig, TextConfig, VisionConfig


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
