"""How items are put together: by length, by shape, with nothing lost and nothing mixed up."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from tries import tries

from align_zoo.errors import InvalidImage
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.runtime.images import ImageBatcher
from align_zoo.runtime.texts import TextBatcher, cheapest_chunks


def words_as_ids() -> Tokenizer:
    """Words are their own ids: "17" is 17."""
    words = {str(i): i for i in range(200)} | {"[UNK]": 200, "[CLS]": 201, "[SEP]": 202}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 202), ("[CLS]", 201))
    return tokenizer


def batcher(tokenizer: Tokenizer | None = None) -> TextBatcher:
    tokenizer = tokenizer or words_as_ids()
    return TextBatcher(tokenizer, 64, pad_token_id=0, at_once=64, padding_a_call=8)


class Tower:
    """Answers with the sum and the length of what is not padding."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []

    def __call__(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        assert ids.dtype == mask.dtype == np.int64
        assert (ids[mask == 0] == 0).all()
        self.shapes.append(ids.shape)
        return np.stack([(ids * mask).sum(1), mask.sum(1)], axis=1).astype(np.float32)


lengths = st.lists(st.integers(1, 80), min_size=1, max_size=200)


@settings(max_examples=tries(100), deadline=None)
@given(lengths=lengths, seed=st.integers(0, 1000))
def test_every_text_gets_its_own_row(lengths, seed):
    rng = np.random.default_rng(seed)
    numbers = [rng.integers(1, 200, length) for length in lengths]
    texts = [" ".join(map(str, each)) for each in numbers]
    tower = Tower()
    rows = batcher().embed(texts, tower)
    for row, each in zip(rows, numbers, strict=True):
        kept = each[:62]  # 64 with [CLS] and [SEP]
        assert row.tolist() == [kept.sum() + 201 + 202, len(kept) + 2]
    assert all(count <= 64 for count, _ in tower.shapes)


def test_short_texts_are_not_padded_to_long_ones():
    tower = Tower()
    batcher().embed([f"1 {i}" for i in range(60)] + ["7 " * 60], tower)
    assert tower.shapes == [(1, 62), (60, 4)]  # into the first's memory the others fit


def test_tokenizers_own_padding_and_truncation_are_off():
    own = words_as_ids()
    own.enable_padding(length=70)
    own.enable_truncation(3)
    tower = Tower()
    (row,) = batcher(own).embed(["1 2"], tower)
    assert row.tolist() == [1 + 2 + 201 + 202, 4]
    assert tower.shapes == [(1, 4)]


def test_tokenizer_gets_a_long_call_in_parts():
    class Counting:
        """A tokenizer that tells how many texts it has in hand."""

        def __init__(self) -> None:
            self.wrapped, self.counts = words_as_ids(), []

        def __getattr__(self, name: str):
            return getattr(self.wrapped, name)

        def encode_batch(self, texts: list[str]) -> list:
            self.counts.append(len(texts))
            return self.wrapped.encode_batch(texts)

    counting = Counting()
    texts = [f"{i % 200} {i // 200}" for i in range(10_000)]
    rows = batcher(counting).embed(texts, Tower())
    assert max(counting.counts) <= 4096
    assert sum(counting.counts) == 10_000
    assert rows[:, 0].tolist() == [i % 200 + i // 200 + 201 + 202 for i in range(10_000)]


@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=10), call=st.integers(0, 40))
def test_chunks_cost_the_least_possible(lengths, call):
    chunks = cheapest_chunks(lengths, at_once=64, padding_a_call=call)
    assert sorted(chain(*chunks)) == list(range(len(lengths)))
    ordered = sorted(lengths)

    def ways(rest):
        for end in range(1, len(rest) + 1):
            own = call + end * rest[end - 1]
            yield from (own + others for others in (ways(rest[end:]) if rest[end:] else [0]))

    cost = sum(call + len(chunk) * max(lengths[i] for i in chunk) for chunk in chunks)
    assert cost == min(ways(ordered))


def test_chunks_pad_nothing_without_saving_a_call():
    chunks = cheapest_chunks([2, 2, 2, 2, 1, 1], at_once=4, padding_a_call=8)
    assert chunks == [[4, 5], [0, 1, 2, 3]]


@given(lengths=lengths, at_once=st.integers(1, 64))
def test_no_chunk_exceeds_the_towers_batch(lengths, at_once):
    chunks = cheapest_chunks(lengths, at_once=at_once, padding_a_call=8)
    assert sorted(chain(*chunks)) == list(range(len(lengths)))
    assert all(len(chunk) <= at_once for chunk in chunks)


def test_equal_texts_are_computed_once():
    tower = Tower()
    rows = batcher().embed(["1 2", "3", "1 2"], tower)
    assert sum(count for count, _ in tower.shapes) == 2
    assert rows[0].tolist() == rows[2].tolist() != rows[1].tolist()


def means(pixels: np.ndarray) -> np.ndarray:
    return pixels.mean((2, 3))


@pytest.mark.parametrize("resizes", [True, False], ids=["one shape", "many shapes"])
@settings(max_examples=tries(50), deadline=None)
@given(kinds=st.lists(st.sampled_from(["small", "large", "broken"]), min_size=1, max_size=20))
def test_every_image_gets_its_own_answer(resizes, kinds):
    transform = AlignTransform.from_dict({"do_resize": resizes, "size": 32})
    items = []
    for i, kind in enumerate(kinds):
        size = (20, 20) if kind == "small" else (30, 25)
        items.append(b"broken" if kind == "broken" else Image.new("RGB", size, (i, 2 * i, 3 * i)))
    sizes = []

    def tower(pixels: np.ndarray) -> np.ndarray:
        sizes.append(len(pixels))
        return means(pixels)

    answers = list(ImageBatcher(transform, at_once=4).embed(items, tower))
    assert len(answers) == len(items)
    for item, answer in zip(items, answers, strict=True):
        if isinstance(item, bytes):
            assert isinstance(answer, InvalidImage)
        else:
            expected = means(transform.to_array(item)[None])[0]
            np.testing.assert_allclose(answer, expected, atol=1e-6)
    assert all(1 <= size <= 4 for size in sizes)
    assert sum(sizes) == sum(kind != "broken" for kind in kinds)


@settings(max_examples=tries(30), deadline=None)
@given(count=st.integers(1, 20), at_once=st.integers(1, 5))
def test_remainder_goes_first_and_portions_are_full(count, at_once):
    batcher = ImageBatcher(AlignTransform.from_dict({"size": 32}), at_once=at_once)
    items = [Image.new("RGB", (32, 32), (i, 0, 0)) for i in range(count)]
    computed = 0

    def tower(pixels: np.ndarray) -> np.ndarray:
        nonlocal computed
        computed += len(pixels)
        return means(pixels)

    sizes, answered = [], 0
    for portion in batcher.portions(items, tower):
        sizes.append(len(portion))
        answered += len(portion)
        assert answered == computed
    rest = count % at_once
    assert sizes == [rest] * bool(rest) + [at_once] * (count // at_once)
