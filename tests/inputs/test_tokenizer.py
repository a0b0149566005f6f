"""Token ids equal transformers' tokenizer's."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from checkpoints import lively_model, save_checkpoint, small_config
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AlignProcessor, AutoTokenizer
from transformers.models.efficientnet.image_processing_pil_efficientnet import (
    EfficientNetImageProcessorPil,
)
from tries import tries

import align_zoo
from align_zoo import CheckpointError, InvalidText
from align_zoo.checkpoint.config import TextConfig
from align_zoo.checkpoint.folder import EMBEDDED, open_checkpoint
from align_zoo.inputs.tokenizer import AlignTokenizer


@pytest.fixture(scope="module", params=["small", "align_tiny"])
def pair(request, tmp_path_factory):
    folder = EMBEDDED["align_tiny"]
    if request.param == "small":
        folder = save_checkpoint(lively_model(small_config()), tmp_path_factory.mktemp("tok"))
    return align_zoo.create_align(folder)[2], AutoTokenizer.from_pretrained(folder)


@settings(max_examples=tries(200), deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6))
def test_ids_equal_transformers_for_any_text(pair, texts):
    ours, theirs = pair
    expected = theirs(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
    got = ours(texts)
    assert torch.equal(got["input_ids"], expected["input_ids"])
    assert torch.equal(got["attention_mask"], expected["attention_mask"])


TEXTS = ["a photo of a cat", "a photo of two big red buses, running past a dog in the rain!", "cat"]


@pytest.fixture(scope="module")
def processor(pair):
    """transformers' AlignProcessor around the same tokenizer."""
    return AlignProcessor(EfficientNetImageProcessorPil(), pair[1])


@pytest.mark.parametrize("max_length", [None, 2, 7, 64], ids=str)
@pytest.mark.parametrize("padding", ["longest", "max_length", "do_not_pad"])
@pytest.mark.parametrize(("tensors", "kind"), [("pt", torch.Tensor), ("np", np.ndarray)])
def test_the_options_do_what_align_processors_do(
    pair, processor, padding, max_length, tensors, kind
):
    texts = TEXTS[:1] if padding == "do_not_pad" else TEXTS
    expected = processor(
        text=texts,
        text_kwargs={"padding": padding, "max_length": max_length or 64, "truncation": True},
        common_kwargs={"return_tensors": tensors},
    )
    got = pair[0](texts, padding=padding, max_length=max_length, return_tensors=tensors)
    assert set(got) == {"input_ids", "attention_mask"}
    for name, values in got.items():
        assert isinstance(values, kind)
        assert values.dtype == expected[name].dtype
        assert values.tolist() == expected[name].tolist()


def test_texts_may_fill_all_positions_of_the_tower(pair):
    tokenizer = pair[0]
    ids = tokenizer("a cat " * 500, max_length=tokenizer.positions)["input_ids"]
    assert ids.shape == (1, tokenizer.positions)
    with pytest.raises(InvalidText, match=f"max_length .* 2 to {tokenizer.positions}"):
        tokenizer("a cat", max_length=tokenizer.positions + 1)


@pytest.fixture
def folder(tmp_path):
    """align_tiny's tokenizer alone, to change."""
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(EMBEDDED["align_tiny"] / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("own", "positions", "cut"),
    [(None, 512, 64), (16, 512, 16), (1000, 512, 64), (1000, 20, 20), (None, 20, 20)],
)
def test_text_is_cut_at_the_smallest_length_limit(folder, own, positions, cut):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": own}))
    shape = TextConfig(vocab_size=549, max_position_embeddings=positions)
    tokenizer = AlignTokenizer.from_folder(folder, shape)
    assert tokenizer("a cat " * 500)["input_ids"].shape == (1, cut)
    assert tokenizer("a cat " * 500, max_length=positions)["input_ids"].shape == (1, positions)


@pytest.mark.parametrize("absent", ["tokenizer.json", "vocab.txt"])
def test_either_file_of_a_tokenizer_is_enough(folder, absent):
    (folder / absent).unlink()
    tokenizer = AlignTokenizer.from_folder(folder, TextConfig(vocab_size=549))
    expected = AutoTokenizer.from_pretrained(EMBEDDED["align_tiny"])(TEXTS)["input_ids"]
    got = tokenizer(TEXTS, padding="longest")
    assert [
        ids[: len(row)].tolist() for ids, row in zip(got["input_ids"], expected, strict=True)
    ] == expected


def test_align_processors_default_is_padding_to_max_length(pair, processor):
    expected = processor(text=TEXTS, return_tensors="pt")["input_ids"]
    assert torch.equal(pair[0](TEXTS, padding="max_length")["input_ids"], expected)


def test_long_texts_are_cut_without_being_asked(pair, processor):
    long = "a cat " * 100
    assert processor(text=long, return_tensors="pt")["input_ids"].shape[1] > 64
    expected = processor(text=long, truncation=True, return_tensors="pt")["input_ids"]
    assert torch.equal(pair[0](long)["input_ids"], expected)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("padding", "shortest"),
        ("padding", True),
        ("padding", None),
        ("max_length", 1),
        ("max_length", 0),
        ("max_length", -5),
        ("max_length", 100_000),
        ("max_length", 10.0),
        ("max_length", True),
        ("max_length", "all"),
        ("return_tensors", "tf"),
        ("return_tensors", None),
    ],
)
def test_unsupported_option_is_refused_by_name(pair, option, value):
    with pytest.raises(InvalidText, match=f"^{option} is "):
        pair[0](TEXTS, **{option: value})


def test_texts_of_different_lengths_must_be_padded(pair):
    with pytest.raises(InvalidText, match="padding is 'do_not_pad'"):
        pair[0](TEXTS, padding="do_not_pad")


@pytest.mark.parametrize("pad", [1, 4])
def test_tokenizer_with_another_padding_id_is_refused(tmp_path, pad):
    folder = save_checkpoint(lively_model(small_config()), tmp_path)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["text_config"]["pad_token_id"] = pad
    path.write_text(json.dumps(config))
    with pytest.raises(
        CheckpointError, match=f"pads with id 0, but text_config.pad_token_id is {pad}"
    ):
        align_zoo.create_align(folder)


def test_a_long_text_is_cut_at_64_tokens(pair):
    ids = pair[0]("a cat and a dog " * 625)["input_ids"]
    assert ids.shape == (1, 64)
    assert ids[0, -1] == pair[1].sep_token_id


def test_one_string_is_one_text(pair):
    assert torch.equal(pair[0]("a cat")["input_ids"], pair[0](["a cat"])["input_ids"])


@pytest.mark.parametrize("texts", [[], ["a", 3], ["a", None], [b"bytes"]], ids=str)
def test_object_that_is_no_text_is_refused(pair, texts):
    with pytest.raises(InvalidText):
        pair[0](texts)


def test_a_text_that_is_not_unicode_is_named(pair):
    with pytest.raises(InvalidText, match=r"text 1, 'ca\\ud800', cannot be written in UTF-8"):
        pair[0](["cat", "ca\ud800"])


def test_threads_do_not_mix_up_each_others_options(pair):
    ours, _ = pair
    calls: list[dict] = [{}, {"max_length": 4}, {"padding": "max_length"}]
    expected = [ours(TEXTS, **options)["input_ids"] for options in calls]

    def wrong(number: int) -> int:
        options, ids = calls[number % 3], expected[number % 3]
        return sum(not torch.equal(ours(TEXTS, **options)["input_ids"], ids) for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(wrong, range(24))) == 0


def test_copied_tokenizer_answers_alike(pair):
    ours, _ = pair
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert torch.equal(copied(TEXTS)["input_ids"], ours(TEXTS)["input_ids"])


def test_saved_tokenizer_does_not_depend_on_earlier_calls(pair, tmp_path):
    ours, _ = pair
    model, _, _ = align_zoo.create_align("align_tiny")
    prints = []
    for name, options in (("one", {}), ("other", {"max_length": 5, "padding": "max_length"})):
        ours("cat", **options)
        align_zoo.save_hf(model, tmp_path / name, tokenizer=ours)
        prints.append(open_checkpoint(tmp_path / name).fingerprint)
    assert prints[0] == prints[1]
    saved = json.loads((tmp_path / "other" / "tokenizer.json").read_text())
    assert saved["truncation"] is saved["padding"] is None
