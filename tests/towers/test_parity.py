"""Our towers answer what transformers' AlignModel answers on the same weights."""

from __future__ import annotations

import pytest
import torch
from checkpoints import lively_model, save_checkpoint, small_config
from parity import SIZES, TEXTS, relative_error
from transformers import AlignConfig

import align_zoo


@pytest.fixture(scope="module", params=["base", "small"])
def pair(request, tmp_path_factory):
    """transformers' model, and ours loaded from the folder that it wrote."""
    base = request.param == "base"
    config = AlignConfig() if base else small_config()
    theirs = lively_model(config, seed=1, size=289 if base else 75)
    folder = save_checkpoint(theirs, tmp_path_factory.mktemp("parity") / request.param)
    return theirs, *align_zoo.create_align(folder)


@pytest.mark.parametrize("size", SIZES)
def test_image_embeddings_agree_at_every_size(pair, size):
    theirs, model, _, _ = pair
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(size))
    with torch.inference_mode():
        expected = theirs.get_image_features(images).pooler_output
        got = model.encode_image(images)
    # Two images must differ by far more than the tolerance, or agreement proves nothing.
    assert relative_error(expected[:1], expected[1:]) > 1e-2
    assert relative_error(got, expected) < 1e-5


@pytest.mark.parametrize("count", [1, len(TEXTS)])
def test_text_embeddings_agree_padded_or_not(pair, count):
    theirs, model, _, tokenizer = pair
    tokens = tokenizer(TEXTS[:count])
    assert bool(tokens["attention_mask"].all()) == (count == 1)
    with torch.inference_mode():
        expected = theirs.get_text_features(**tokens).pooler_output
        got = model.encode_text(tokens)
    assert relative_error(got, expected) < 1e-5
    if count > 1:
        assert relative_error(expected[:1], expected[1:2]) > 1e-2


def test_padding_to_64_changes_no_text_embedding(pair):
    _, model, _, tokenizer = pair
    longest = tokenizer(TEXTS)
    to_64 = tokenizer.hf(TEXTS, padding="max_length", max_length=64, return_tensors="pt")
    with torch.inference_mode():
        got = model.encode_text({k: to_64[k] for k in ("input_ids", "attention_mask")})
        assert relative_error(got, model.encode_text(longest)) < 1e-5


def test_mask_is_derived_from_the_padding_id(pair):
    _, model, _, tokenizer = pair
    tokens = tokenizer(TEXTS)
    with torch.inference_mode():
        assert torch.equal(model.encode_text(tokens["input_ids"]), model.encode_text(tokens))


@pytest.mark.parametrize("size", [289, 75])
def test_logits_and_loss_agree(pair, size):
    theirs, model, _, tokenizer = pair
    tokens = tokenizer(TEXTS)
    images = torch.randn(len(TEXTS), 3, size, size, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = theirs(pixel_values=images, return_loss=True, **tokens)
        got = model(images, tokens, return_loss=True)
    assert expected.logits_per_image.std() > 0.05
    torch.testing.assert_close(got.logits_per_image, expected.logits_per_image, atol=1e-3, rtol=0)
    torch.testing.assert_close(got.logits_per_text, expected.logits_per_text, atol=1e-3, rtol=0)
    torch.testing.assert_close(got.image_embeds, expected.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(got.text_embeds, expected.text_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(got.loss, expected.loss, atol=1e-4, rtol=1e-5)


def test_the_temperature_is_the_checkpoints(pair):
    theirs, model, _, _ = pair
    assert model.temperature.item() == theirs.temperature.item() != 1


@torch.no_grad()
def test_in_training_the_embeddings_agree_but_for_dropout(tmp_path):
    config = small_config(
        {"drop_connect_rate": 0.0},
        {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    )
    theirs = lively_model(config, seed=2)
    model, _, tokenizer = align_zoo.create_align(save_checkpoint(theirs, tmp_path))
    images, tokens = torch.randn(4, 3, 75, 75), tokenizer(TEXTS)
    before = theirs.get_image_features(images).pooler_output
    theirs.train(), model.train()
    expected = theirs.get_image_features(images).pooler_output
    assert relative_error(before, expected) > 1e-3  # these are the batch's statistics
    assert relative_error(model.encode_image(images), expected) < 1e-5
    expected = theirs.get_text_features(**tokens).pooler_output
    assert relative_error(model.encode_text(tokens), expected) < 1e-5


@torch.no_grad()
def test_running_statistics_move_by_kerass_momentum(tmp_path):
    """On purpose: transformers hands Keras's 0.99 to torch, which then keeps 1 % of the past."""
    theirs = lively_model(small_config(), seed=2)
    model, _, _ = align_zoo.create_align(save_checkpoint(theirs, tmp_path))
    images = torch.randn(4, 3, 75, 75)
    ours, his = model.image.bn1, theirs.vision_model.embeddings.batchnorm
    his.momentum = 0.01
    before = ours.running_mean.clone()
    model.image.train()(images), theirs.vision_model.train()(images)
    assert not torch.equal(ours.running_mean, before)
    torch.testing.assert_close(ours.running_mean, his.running_mean)


@pytest.mark.hub
def test_the_real_weights_give_the_published_logits():
    """The public reference: COCO val2017 000000039769, tolerance 1e-3."""
    import io
    import urllib.request

    from align_zoo.inputs.decode import decode_image

    url = "http://images.cocodataset.org/val2017/000000039769.jpg"
    with urllib.request.urlopen(url) as response:
        image = decode_image(io.BytesIO(response.read()).getvalue())
    model, transform, tokenizer = align_zoo.create_align("kakaobrain/align-base")
    with torch.inference_mode():
        got = model(
            transform(image)[None], tokenizer(["a photo of a cat", "a photo of a dog"])
        ).logits_per_image
    torch.testing.assert_close(got, torch.tensor([[9.7093, 3.4679]]), atol=1e-3, rtol=0)
