"""The dual encoder: what Align.forward takes and returns, against transformers' AlignModel."""

from __future__ import annotations

import pytest
import torch
from checkpoints import lively_model, save_checkpoint, small_config

import align_zoo

TEXTS = ["a photo of a cat", "dog", "the big red bus, of the cat"]


@pytest.fixture(scope="module", params=["default", "other"])
def pair(request, tmp_path_factory):
    """transformers' model and ours, on the same small folder."""
    config = small_config()
    if request.param == "other":
        config = small_config({"depthwise_padding": [1]}, {"type_vocab_size": 3})
    theirs = lively_model(config, seed=11)
    folder = save_checkpoint(theirs, tmp_path_factory.mktemp("model"))
    theirs.set_attn_implementation("eager")  # transformers' way to get attentions
    model, _, tokenizer = align_zoo.create_align(folder)
    return theirs, model, tokenizer


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 75, 64, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1]], ids=["padded", "unpadded"])
def test_hidden_states_and_attentions_are_transformers(pair, texts):
    theirs, model, tokenizer = pair
    tokens = tokenizer(texts)
    asked = {"output_hidden_states": True, "output_attentions": True}
    with torch.inference_mode():
        expected = theirs(pixel_values=images(), **tokens, **asked)
        got = model(images(), tokens, **asked)
    vision, text = expected.vision_model_output, expected.text_model_output
    for ours, others in (
        (got.vision_hidden_states, vision.hidden_states),
        (got.text_hidden_states, text.hidden_states),
        (got.text_attentions, text.attentions),
    ):
        assert len(ours) == len(others) > 1
        for one, other in zip(ours, others, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))
    weights = got.text_attentions[0]
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_asking_for_states_changes_no_answer(pair):
    _, model, tokenizer = pair
    tokens = tokenizer(TEXTS)
    with torch.inference_mode():
        plain = model(images(), tokens)
        asked = model(images(), tokens, output_hidden_states=True, output_attentions=True)
    torch.testing.assert_close(asked.logits_per_image, plain.logits_per_image)
    assert plain.vision_hidden_states is plain.text_hidden_states is plain.text_attentions is None


def test_only_what_was_asked_for_is_returned(pair):
    _, model, tokenizer = pair
    with torch.inference_mode():
        states = model(images(), tokenizer(TEXTS), output_hidden_states=True)
        attentions = model(images(), tokenizer(TEXTS), output_attentions=True)
    assert states.text_attentions is None
    assert states.text_hidden_states and states.vision_hidden_states
    assert attentions.text_attentions
    assert attentions.text_hidden_states is attentions.vision_hidden_states is None


def test_either_input_alone_is_embedded(pair):
    _, model, tokenizer = pair
    with torch.inference_mode():
        both = model(images(), tokenizer(TEXTS))
        image, text = model(image=images()), model(text=tokenizer(TEXTS))
    assert torch.equal(image.image_embeds, both.image_embeds)
    assert torch.equal(text.text_embeds, both.text_embeds)
    for alone in (image, text):
        assert alone.logits_per_image is alone.logits_per_text is alone.loss is None
    assert image.text_embeds is text.image_embeds is None
    for embeds in (both.image_embeds, both.text_embeds):
        torch.testing.assert_close(embeds.norm(dim=1), torch.ones(3))
    assert torch.equal(both.logits_per_text, both.logits_per_image.t())


def test_the_loss_and_its_gradients_are_transformers(pair):
    theirs, model, tokenizer = pair
    tokens = tokenizer(TEXTS)
    expected = theirs(pixel_values=images(), return_loss=True, **tokens).loss
    got = model(images(), tokens, return_loss=True).loss
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    expected.backward()
    got.backward()
    for one, other in (
        (model.temperature, theirs.temperature),
        (model.text.head.weight, theirs.text_projection.weight),
        (model.image.conv_stem.weight, theirs.vision_model.embeddings.convolution.weight),
    ):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)
    model.zero_grad()
    theirs.zero_grad()


def test_token_types_are_honoured(pair):
    theirs, model, tokenizer = pair
    tokens = tokenizer(TEXTS)
    types = torch.arange(tokens["input_ids"].numel()).view_as(tokens["input_ids"]) % 2
    with torch.inference_mode():
        expected = theirs.get_text_features(**tokens, token_type_ids=types).pooler_output
        got = model.encode_text({**tokens, "token_type_ids": types})
        without = model.encode_text(tokens)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-4)
    assert not torch.allclose(got, without, rtol=1e-3)


def test_neither_input_is_refused(pair):
    with pytest.raises(align_zoo.InvalidInput, match="an image, a text or both"):
        pair[1]()


@pytest.mark.parametrize("given", ["image alone", "three images, one text"])
def test_a_loss_without_pairs_is_refused(pair, given):
    _, model, tokenizer = pair
    text = None if given == "image alone" else tokenizer(TEXTS[:1])
    with pytest.raises(align_zoo.InvalidInput, match="as many texts as images"):
        model(images(), text, return_loss=True)


def test_gradient_checkpointing_reaches_both_towers(pair):
    model = pair[1]
    model.set_grad_checkpointing()
    assert model.image.grad_checkpointing
    assert all(layer.gradient_checkpointing for layer in model.text.bert.encoder.layer)
    model.set_grad_checkpointing(False)
    assert not model.image.grad_checkpointing
    assert not any(layer.gradient_checkpointing for layer in model.text.bert.encoder.layer)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a photo", "the text is a str"),
        (["a photo"], "the text is a list"),
        ({"attention_mask": torch.ones(1, 3)}, "neither a tensor of token ids"),
        ({"input_ids": [[2, 8, 3]]}, "the token ids are a list"),
        ({"input_ids": torch.tensor([[2, 8, 3]]), "position_ids": 1}, "position_ids is not"),
    ],
    ids=["a string", "strings", "no ids", "ids that are no tensor", "positions"],
)
def test_a_text_that_is_no_tokens_is_refused(pair, text, words):
    for asked in (False, True):
        with pytest.raises(align_zoo.InvalidText, match=words):
            pair[1](text=text, output_hidden_states=asked)


def test_tokens_in_the_images_place_are_refused(pair):
    _, model, tokenizer = pair
    with pytest.raises(align_zoo.InvalidImage, match="the image is a BatchEncoding"):
        model(tokenizer(TEXTS))
