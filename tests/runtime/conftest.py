"""A checkpoint in both runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import lively_model, save_checkpoint, small_config

import align_zoo


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A small ALIGN folder with lively weights."""
    shape = {  # few blocks, which export fast
        "depth_coefficient": 0.5,
        "in_channels": [32, 16, 24],
        "out_channels": [16, 24, 320],
        "kernel_sizes": [3, 5, 3],
        "strides": [1, 2, 2],
        "num_block_repeats": [1, 2, 3],
        "expand_ratios": [1, 6, 4],
        "depthwise_padding": [1],
    }
    config = small_config(shape, {"hidden_act": "relu"})
    return save_checkpoint(lively_model(config, seed=21), tmp_path_factory.mktemp("runtime"))


@pytest.fixture(params=["onnx", "torch"])
def encoder(request, checkpoint) -> align_zoo.Encoder:
    """The checkpoint in each runtime, on the CPU."""
    return align_zoo.load_encoder(checkpoint, runtime=request.param, device="cpu")
