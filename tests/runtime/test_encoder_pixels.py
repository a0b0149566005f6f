"""Preprocessed pixels are embedded as the model does it, however they lie in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import align_zoo


@pytest.mark.parametrize("shape", [(1, 3, 289, 289), (5, 3, 64, 75), (2, 3, 33, 300)])
def test_pixels_of_any_size_are_embedded(encoder, checkpoint, shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    model, *_ = align_zoo.create_align(checkpoint)
    with torch.inference_mode():
        expected = model.encode_image(x, normalize=True).numpy()
    np.testing.assert_allclose(encoder.embed_pixels(x.numpy()), expected, atol=1e-5)


def test_mirrored_pixels_are_embedded(encoder):
    x = np.random.default_rng(4).standard_normal((2, 3, 64, 75), dtype=np.float32)
    mirrored = x[..., ::-1]
    expected = encoder.embed_pixels(np.ascontiguousarray(mirrored))
    np.testing.assert_allclose(encoder.embed_pixels(mirrored), expected, atol=1e-6)


def test_pixels_at_odd_addresses_are_embedded(encoder):
    x = np.random.default_rng(5).standard_normal((2, 3, 64, 75), dtype=np.float32)
    odd = np.frombuffer(b"?" + x.tobytes(), np.float32, offset=1).reshape(x.shape)
    assert not odd.flags.aligned
    np.testing.assert_allclose(encoder.embed_pixels(odd), encoder.embed_pixels(x), atol=1e-6)


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((1, 1, 75, 75), np.float32),
        np.zeros((3, 75, 75), np.float32),
        np.zeros((0, 3, 75, 75), np.float32),
        np.zeros((1, 3, 75, 75), np.uint8),
        [[1.0]],
    ],
    ids=["grey", "one image", "none", "bytes", "a list"],
)
def test_pixels_that_do_not_fit_are_refused(encoder, x):
    with pytest.raises(align_zoo.InvalidImage, match=r"\[N, 3, H, W\] float32"):
        encoder.embed_pixels(x)
