"""Token ids equal transformers' tokenizer's."""

from __future__ import annotations

import pytest
import torch
from checkpoints import lively_model, save_checkpoint, small_config
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

import align_zoo
from align_zoo import InvalidText


@pytest.fixture(scope="module", params=["small", "align_tiny"])
def pair(request, tmp_path_factory):
    folder = align_zoo.checkpoint.EMBEDDED["align_tiny"]
    if request.param == "small":
        folder = save_checkpoint(lively_model(small_config()), tmp_path_factory.mktemp("tok"))
    return align_zoo.create_align(folder)[2], AutoTokenizer.from_pretrained(folder)


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6))
def test_ids_equal_transformers_for_any_text(pair, texts):
    ours, theirs = pair
    expected = theirs(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
    got = ours(texts)
    assert torch.equal(got["input_ids"], expected["input_ids"])
    assert torch.equal(got["attention_mask"], expected["attention_mask"])


def test_a_long_text_is_cut_at_64_tokens(pair):
    ids = pair[0]("a cat and a dog " * 625)["input_ids"]
    assert ids.shape == (1, 64)
    assert ids[0, -1] == pair[1].sep_token_id


def test_one_string_is_one_text(pair):
    assert torch.equal(pair[0]("a cat")["input_ids"], pair[0](["a cat"])["input_ids"])


@pytest.mark.parametrize("texts", [[], ["a", 3], ["a", None], [b"bytes"]], ids=str)
def test_what_is_no_text_is_refused(pair, texts):
    with pytest.raises(InvalidText):
        pair[0](texts)
