"""Class names become weights, and weights become a classifier."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import onnxruntime
import pytest
import timm
import torch
from checkpoints import lively_model, save_checkpoint, small_config
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from timm.models import save_for_hf
from torch.nn import functional as F
from tries import tries

import align_zoo
from align_zoo.errors import InvalidInput, InvalidText
from align_zoo.inputs.prompts import TEMPLATE_SETS
from align_zoo.zero_shot.classifier import bake_zero_shot, zero_shot_weights

ROOT = Path(__file__).parents[2]
NAMES = ["red star", "ring", "{odd} name {}", "the digit three", "a very big blue triangle", "x"]
NAMES_STRATEGY = st.lists(st.sampled_from(NAMES), min_size=1, max_size=12)


@pytest.fixture(scope="module", params=["align_tiny", "small"])
def pieces(request, tmp_path_factory):
    """Model, transform and tokenizer of two checkpoints."""
    if request.param == "align_tiny":
        return align_zoo.create_align("align_tiny")
    folder = tmp_path_factory.mktemp("zero_shot") / "small"
    return align_zoo.create_align(save_checkpoint(lively_model(small_config()), folder))


@pytest.fixture(scope="module")
def tiny():
    return align_zoo.create_align("align_tiny")


def random_images(model, count=3, seed=0):
    size = model.image.pretrained_cfg["input_size"][-1]
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


# Weights


def test_wrong_templates_and_class_names_are_refused(tiny):
    model, _, tokenizer = tiny
    with pytest.raises(InvalidText, match="prompt template 'foto'"):
        zero_shot_weights(model, tokenizer, ["ring"], "foto")
    with pytest.raises(InvalidText, match="class name 1 is blank"):
        zero_shot_weights(model, tokenizer, ["ring", " "])


def test_ensemble_is_unit_mean_of_unit_embeddings(pieces):
    model, _, tokenizer = pieces
    templates = TEMPLATE_SETS["imagenet"]
    weights = zero_shot_weights(model, tokenizer, NAMES, "imagenet")
    assert weights.shape == (model.image.head_hidden_size, len(NAMES))
    for name, column in zip(NAMES, weights.t(), strict=True):
        # One prompt at a time: no padding, no batch.
        with torch.no_grad():
            embeds = [model.encode_text(tokenizer(t.replace("{}", name)))[0] for t in templates]
        mean = torch.stack([e / e.norm() for e in embeds]).mean(0)
        torch.testing.assert_close(column, mean / mean.norm(), atol=1e-6, rtol=0)
    assert (weights[:, 0] - weights[:, 1]).norm() > 1e-2


@settings(max_examples=tries(15), deadline=None)
@given(names=NAMES_STRATEGY, batch_size=st.integers(1, 40))
def test_the_batch_size_changes_nothing(tiny, names, batch_size):
    model, _, tokenizer = tiny
    templates = ["{}", "a photo of a {}", "somebody drew a rather small {}"]
    one = zero_shot_weights(model, tokenizer, names, templates, batch_size=1)
    got = zero_shot_weights(model, tokenizer, names, templates, batch_size=batch_size)
    torch.testing.assert_close(got, one, atol=1e-6, rtol=0)


def test_a_batch_size_below_1_is_an_error(tiny):
    with pytest.raises(InvalidInput, match="batch_size is 0"):
        zero_shot_weights(tiny[0], tiny[2], ["ring"], batch_size=0)


def test_different_prompts_are_embedded_once_and_barely_padded(tiny):
    model, _, tokenizer = tiny
    masks = []

    def watched(texts):
        tokens = tokenizer(texts)
        masks.append(tokens["attention_mask"])
        return tokens

    names = ["ring", "a very big blue triangle that is not a circle and not a square"] * 8
    zero_shot_weights(model, watched, names, ["{}", "the {}"], batch_size=2)
    assert sum(len(mask) for mask in masks) == 4
    assert sum(int((mask == 0).sum()) for mask in masks) <= 2  # "the": one token a batch


def test_progress_goes_to_stderr(tiny, capsys):
    zero_shot_weights(tiny[0], tiny[2], NAMES, progress=True)
    shown = capsys.readouterr()
    assert f"{len(NAMES)}/{len(NAMES)}" in shown.err
    assert not shown.out


def test_weights_need_no_gradient_but_pass_it_on(tiny):
    weights = zero_shot_weights(tiny[0], tiny[2], ["ring", "star"])
    assert not weights.requires_grad
    image = torch.randn(1, len(weights), requires_grad=True)
    (image @ weights).sum().backward()
    assert image.grad is not None


def test_half_precision_model_gives_half_precision_weights():
    model, _, tokenizer = align_zoo.create_align("align_tiny", dtype=torch.bfloat16)
    exact = zero_shot_weights(*align_zoo.create_align("align_tiny")[::2], NAMES, "imagenet")
    weights = zero_shot_weights(model, tokenizer, NAMES, "imagenet")
    assert weights.dtype == torch.bfloat16
    assert (weights.float() * exact).sum(0).min() > 0.99


# The baked classifier


@pytest.fixture(scope="module")
def baked(pieces):
    model, _, tokenizer = pieces
    weights = zero_shot_weights(model, tokenizer, NAMES)
    return bake_zero_shot(model.image, weights, model.temperature, NAMES), weights


def test_baked_softmax_is_zero_shot_classification(pieces, baked):
    model, _, tokenizer = pieces
    images = random_images(model)
    prompts = tokenizer([f"a photo of a {name}" for name in NAMES])
    with torch.inference_mode():
        expected = model(images, prompts).logits_per_image.softmax(-1)
        got = baked[0](images).softmax(-1)
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


def test_the_given_tower_stays_as_it_is(pieces):
    model, _, tokenizer = pieces
    images, before = random_images(model), copy.deepcopy(model.image.state_dict())
    expected = model.image(images)
    weights = zero_shot_weights(model, tokenizer, NAMES)
    bake_zero_shot(model.image, weights, model.temperature, NAMES)
    assert torch.equal(model.image(images), expected)
    assert model.image.state_dict().keys() == before.keys()
    assert model.image.num_classes == 0
    assert model.image.pretrained_cfg.get("label_names") is None


def test_timm_round_trip_keeps_labels_without_text_tower(pieces, baked, tmp_path):
    model, _, _ = pieces
    save_for_hf(baked[0], tmp_path, safe_serialization=True)
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = random_images(model)
    with torch.inference_mode():
        assert torch.equal(loaded(images), baked[0](images))
    assert loaded.num_classes == baked[0].num_classes == len(NAMES)
    assert list(loaded.pretrained_cfg["label_names"]) == NAMES
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        saved = set(file.keys())
    assert saved == set(model.image.state_dict()) | {"classifier.weight"}


def test_torch_export_answers_the_same(pieces, baked):
    images = random_images(pieces[0])
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(baked[0], (images,), dynamic_shapes=({0: batch},))
    other = random_images(pieces[0], count=5, seed=1)
    with torch.inference_mode():
        torch.testing.assert_close(program.module()(other), baked[0](other), atol=1e-5, rtol=1e-5)


def test_torchscript_answers_the_same(pieces, baked):
    images = random_images(pieces[0])
    with torch.inference_mode():
        got = torch.jit.script(baked[0])(images)
        torch.testing.assert_close(got, baked[0](images), atol=1e-5, rtol=1e-5)


def test_onnxruntime_answers_the_same_at_any_batch_size(pieces, baked, tmp_path):
    path = tmp_path / "baked.onnx"
    torch.onnx.export(
        baked[0],
        (random_images(pieces[0]),),
        path,
        dynamo=True,
        input_names=["image"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},),
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 5):
        images = random_images(pieces[0], count, seed=count)
        (got,) = session.run(None, {"image": images.numpy()})
        with torch.inference_mode():
            expected = baked[0](images).softmax(-1)
        torch.testing.assert_close(torch.from_numpy(got).softmax(-1), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0}, "temperature is 0.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"weights": F.normalize(torch.ones(7, 3), dim=0)}, r"are \[7, 3\], not \[\d+, C\]"),
        ({"weights": torch.ones(48)}, r"are \[48\]"),
        ({"class_names": ["one"]}, "1 class names do not fit 6 classes"),
        ({"class_names": ["", *NAMES[1:]]}, "class name 0 is blank"),
    ],
    ids=str,
)
def test_argument_that_does_not_fit_is_named(pieces, baked, change, message):
    arguments = {"weights": baked[1], "temperature": 0.1, **change}
    with pytest.raises(InvalidInput, match=message):
        bake_zero_shot(pieces[0].image, **arguments)


@pytest.mark.parametrize("factor", [2, 0, float("nan")])
def test_weights_that_are_no_unit_columns_are_refused(pieces, baked, factor):
    with pytest.raises(InvalidInput, match="no unit columns"):
        bake_zero_shot(pieces[0].image, baked[1] * factor, 0.1)


@pytest.mark.parametrize(
    ("pool", "message"), [("", "makes maps"), ("catavgmax", r"are \[128, 6\], not \[256, C\]")]
)
def test_tower_with_another_pooling_is_refused(tiny, pool, message):
    tower = copy.deepcopy(tiny[0].image)
    tower.reset_classifier(0, pool)
    with pytest.raises(InvalidInput, match=message):
        bake_zero_shot(tower, zero_shot_weights(tiny[0], tiny[2], NAMES), 0.1)


# The documentation


def test_the_snippets_of_the_page_run_as_written(monkeypatch, tmp_path, capsys):
    page = (ROOT / "docs" / "zero-shot.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(snippets) >= 3
    (tmp_path / "align_zoo").symlink_to(ROOT / "align_zoo")
    monkeypatch.chdir(tmp_path)  # what a snippet writes must not stay in the checkout
    names: dict = {}
    for snippet in snippets:
        exec(compile(snippet, "docs/zero-shot.md", "exec"), names)
    shares, label, found = capsys.readouterr().out.splitlines()
    assert float(shares.split("'red star': ")[1].split(",")[0]) > 0.9
    assert (label, found) == ("red star", "a blue star")
