"""Queries that mix images and texts find what they ask for."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

import align_zoo
from align_zoo.errors import InvalidInput
from align_zoo.tiny.concepts import COLOURS, SHAPES, Meaning
from align_zoo.tiny.images import draw_image
from align_zoo.zero_shot.compose import compose

PAIRS = list(product(COLOURS, SHAPES))


def units(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture(scope="module")
def tiny():
    return align_zoo.create_align("align_tiny")


def embedded_images(tiny, seed):
    """Unit embeddings of an image of each colour and shape, in the order of PAIRS."""
    model, transform, _ = tiny
    rng = np.random.default_rng(seed)
    images = [transform(draw_image(Meaning(c, shape=s), rng)) for c, s in PAIRS]
    with torch.inference_mode():
        return model.encode_image(torch.stack(images), normalize=True)


def embedded_words(tiny, words):
    model, _, tokenizer = tiny
    with torch.inference_mode():
        return dict(zip(words, model.encode_text(tokenizer(words), normalize=True), strict=True))


def changed(tiny, words, position):
    """Of all queries "this image, but NEW instead of OLD": the share of best answers that are
    right, and the share in which the right image lies before one like the query's own."""
    queries = embedded_images(tiny, seed=2)
    galleries = [embedded_images(tiny, seed) for seed in (3, 4)]
    word = embedded_words(tiny, words)
    best, before = [], []
    for i, pair in enumerate(PAIRS):
        for old, new in permutations(words, 2):
            if pair[position] != old:
                continue
            wanted = PAIRS.index((new, pair[1]) if position == 0 else (pair[0], new))
            query = compose(queries[i], word[new], minus=word[old])
            for gallery in galleries:
                scores = gallery @ query
                best.append(int(scores.argmax()) == wanted)
                before.append(bool(scores[wanted] > scores[i]))
    assert len(best) == 36 * 5 * 2
    return np.mean(best), np.mean(before)


def test_image_in_another_colour_is_found(tiny):
    best, before = changed(tiny, list(COLOURS), position=0)
    assert best >= 0.9
    assert before >= 0.98


def test_image_of_another_shape_is_found(tiny):
    best, before = changed(tiny, list(SHAPES), position=1)
    assert best >= 0.9
    assert before >= 0.98


def test_two_texts_together_find_what_both_say(tiny):
    gallery = embedded_images(tiny, seed=5)
    colour, shape = embedded_words(tiny, list(COLOURS)), embedded_words(tiny, list(SHAPES))
    queries = torch.stack([compose(colour[c], shape[s]) for c, s in PAIRS])
    right = (queries @ gallery.t()).argmax(1) == torch.arange(len(PAIRS))
    assert right.float().mean() >= 0.8


@given(st.integers(1, 3), st.integers(0, 3), st.integers(0, 1000))
def test_composition_is_the_unit_vector_of_the_sum(added, subtracted, seed):
    vectors = units(added + subtracted, 16, seed=seed)
    total = vectors[:added].sum(0) - vectors[added:].sum(0)
    query = compose(*vectors[:added], minus=list(vectors[added:]))
    torch.testing.assert_close(query, total / total.norm())


def test_one_vector_joins_every_row():
    rows, vector = units(5, 8), units(8, seed=1)
    expected = torch.stack([compose(row, minus=vector) for row in rows])
    for joining in (vector, vector[None]):
        torch.testing.assert_close(compose(rows, minus=joining), expected)
    assert compose(units(8)).shape == (8,)


def test_gradients_pass_through_the_composition():
    vector = units(8).requires_grad_()
    compose(vector, units(8, seed=1))[0].backward()
    assert vector.grad is not None and vector.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("plus", "minus", "message"),
    [
        ([], [units(8)], "at least one vector"),
        ([units(8) * 3], [], "vector 0 is not of unit length"),
        ([units(8)], [units(8) * 3], "vector 1 is not of unit length"),
        ([units(8) * float("nan")], [], "vector 0 is not of unit length"),
        ([units(8)], [units(8)], "is zero"),
        ([units(8)], [units(9)], r"\[8\], \[9\] cannot be added"),
        ([units(8), units(1)], [], r"\[8\], \[1\] cannot be added"),
        ([units(2, 8), units(3, 8)], [], r"\[2, 8\], \[3, 8\] cannot be added"),
        ([units(2, 2, 8)], [], r"\[2, 2, 8\] cannot be added"),
        ([[units(8), units(8)]], [], "vector 0 is a list, not a tensor"),
        ([torch.tensor(1.0)], [], r"\[\] cannot be added"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_vectors_that_make_no_query_are_refused(plus, minus, message):
    with pytest.raises(InvalidInput, match=message):
        compose(*plus, minus=minus)
