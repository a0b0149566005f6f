"""What the serving tests ask with: a small checkpoint, images, calls of the real server."""

import io

import numpy as np
import pytest
from checkpoints import lively_model, save_checkpoint, small_config
from PIL import Image
from tritonclient import grpc


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory):
    """A folder with a random model whose answers depend on their input."""
    return str(save_checkpoint(lively_model(small_config()), tmp_path_factory.mktemp("small")))


@pytest.fixture(scope="session")
def images():
    """Eight different PNG files of different shapes."""
    return [png(seed) for seed in range(8)]


@pytest.fixture
def triton(server):
    with grpc.InferenceServerClient(server.grpc_url) as client:
        yield client


def png(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(40, 200, 2)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize((int(width), int(height))).save(file, "PNG")
    return file.getvalue()
