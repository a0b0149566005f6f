"""torch.hub loads the towers, and both together, from a checkout."""

from __future__ import annotations

import runpy

import numpy as np
import pytest
import torch
import torchvision
from environments import ROOT
from PIL import Image


def load(name, *args, **kwargs):
    return torch.hub.load(str(ROOT), name, *args, source="local", **kwargs)


@pytest.fixture(scope="module")
def inputs(images, texts):
    _, transform, tokenizer = load("create_align", "align_tiny")
    return torch.stack([transform(Image.open(path)) for path in images]), tokenizer(texts)


def test_model_is_that_of_transformers(inputs, expected):
    model, _, _ = load("create_align", "align_tiny")
    with torch.inference_mode():
        output = model(*inputs)
    np.testing.assert_allclose(output.image_embeds, expected["images"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(output.text_embeds, expected["texts"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["image", "text"])
def test_tower_is_that_of_transformers(inputs, expected, kind):
    tower = load(f"align_tiny_{kind}", pretrained=True).eval()
    pixels, tokens = inputs
    with torch.inference_mode():
        rows = tower(pixels) if kind == "image" else tower(**tokens)
    rows = torch.nn.functional.normalize(rows)
    np.testing.assert_allclose(rows, expected[f"{kind}s"], rtol=0, atol=1e-5)


def test_every_tower_is_listed():
    towers = [
        f"align_{size}_{kind}" for size in ("base", "emoji", "tiny") for kind in ("image", "text")
    ]
    entries = runpy.run_path(str(ROOT / "hubconf.py"))
    listed = sorted(name for name, each in entries.items() if callable(each) and name[0] != "_")
    assert listed == [*towers, "create_align"]


def test_example_gives_a_vector(example):
    assert example("torch.hub", **{"/path/to/align-zoo": str(ROOT)}) == ["(1, 128)"]


def test_torchvision_has_no_public_registration():
    """Where this fails, torchvision's get_model can have our towers: docs/integrations.md."""
    assert not hasattr(torchvision.models, "register_model")
    assert "register_model" not in torchvision.models._api.__all__
