"""A checkpoint on disk, and the same checkpoint opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import lively_model, save_checkpoint, small_config

import align_zoo


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """An ALIGN folder whose config differs from the defaults in many fields."""
    config = small_config(
        {"depthwise_padding": [1, 4], "hidden_act": "gelu", "pooling_type": "max"},
        {"layer_norm_eps": 1e-6, "pad_token_id": 0, "type_vocab_size": 3},
    )
    return save_checkpoint(lively_model(config, seed=5), tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def opened(source):
    return align_zoo.create_align(source)
