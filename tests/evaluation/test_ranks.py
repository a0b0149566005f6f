"""Ranks and what is counted from them equal a naive count, ties and all."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from align_zoo.evaluation.classification import classify
from align_zoo.evaluation.ranks import rank_of_best, recall
from align_zoo.evaluation.retrieval import retrieve


@st.composite
def judged_scores(draw):
    """Scores [N, C], with ties more often than not, and what is right."""
    rows, columns = draw(st.integers(1, 8)), draw(st.integers(1, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    levels = draw(st.sampled_from([2, 5, 1000]))
    scores = torch.randint(levels, (rows, columns), generator=generator).float()
    return scores, torch.rand(rows, columns, generator=generator) < draw(st.floats(0.1, 0.9))


def naive_in_top(scores, right, k):
    """Whether a right answer is among the k best, if among equals the wrong ones come first."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], right[i]))
    return any(right[i] for i in order[:k])


@given(judged_scores(), st.data())
def test_recall_is_the_share_of_rows_answered(judged, data):
    scores, right = judged
    candidates = scores.shape[1]
    k = data.draw(st.integers(1, candidates))
    rows = zip(scores.tolist(), right.tolist(), strict=True)
    expected = sum(naive_in_top(row, mask, k) for row, mask in rows) / len(scores)
    got = recall(rank_of_best(scores, right), k, candidates)
    assert got == pytest.approx(expected)


def test_constant_model_is_never_right():
    right = torch.eye(6).bool()
    assert recall(rank_of_best(torch.zeros(6, 6), right), 5, 6) == 0
    assert recall(rank_of_best(torch.full((6, 6), float("nan")), right), 5, 6) == 0


def test_more_places_than_candidates_mean_nothing():
    assert recall(torch.tensor([0, 1]), 5, candidates=4) is None
    assert recall(torch.tensor([0, 1]), 4, candidates=4) == 1


def test_row_without_right_answers_ranks_last():
    scores = torch.tensor([[0.5, -0.5], [float("nan"), float("-inf")]])
    assert rank_of_best(scores, torch.zeros(2, 2, dtype=torch.bool)).tolist() == [2, 2]


def test_a_share_has_all_its_digits():
    assert recall(torch.tensor([0, 0, 7]), 1, candidates=9) == 2 / 3


def exact_rows(count, seed, width=6):
    """Small whole numbers, whose products are exact: equal scores are equal to the last bit."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-2, 3, (count, width), generator=generator).float()


@given(st.integers(1, 12), st.integers(1, 20), st.integers(0, 10_000), st.sampled_from([1, 5, 10]))
def test_retrieval_equals_a_naive_search_both_ways(image_count, captions, seed, k):
    images, texts = exact_rows(image_count, seed), exact_rows(captions, seed + 1)
    generator = torch.Generator().manual_seed(seed)
    owners = torch.randint(image_count, (captions,), generator=generator).tolist()
    got = retrieve(images, texts, owners)
    scores = images @ texts.t()
    assert (got.images < k).tolist() == [
        naive_in_top(scores[:, t].tolist(), [i == owner for i in range(image_count)], k)
        for t, owner in enumerate(owners)
    ]
    assert (got.texts < k).tolist() == [
        naive_in_top(scores[i].tolist(), [owner == i for owner in owners], k)
        for i in sorted(set(owners))
    ]


@given(st.integers(1, 30), st.integers(2, 9), st.integers(0, 10_000))
def test_classification_equals_a_naive_count(image_count, classes, seed):
    images, weights = exact_rows(image_count, seed), exact_rows(classes, seed + 1).t()
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (image_count,), generator=generator).tolist()
    result = classify(images, weights, targets)
    scores = (images @ weights).tolist()
    for k in (1, 5):
        assert (result.ranks < k).tolist() == [
            naive_in_top(row, [c == target for c in range(classes)], k)
            for row, target in zip(scores, targets, strict=True)
        ]
    # The image is of the same counts.
    assert result.confusion.trace() == (result.ranks == 0).sum()
    assert result.confusion.sum(1).tolist() == [targets.count(c) for c in range(classes)]
    # Where the right class lost, the one found is the best of the others.
    for row, target, image in zip(scores, targets, images, strict=True):
        (found,) = classify(image[None], weights, [target]).confusion[target].nonzero()
        if found != target:
            assert row[found] == max(row)


def test_chunked_comparison_gives_equal_ranks():
    images, texts = exact_rows(1500, 1), exact_rows(2500, 2)
    owners = (torch.arange(2500) % 1300).tolist()
    got = retrieve(images, texts, owners)
    scores = images @ texts.t()
    own = F.one_hot(torch.tensor(owners), 1500).bool()
    assert torch.equal(got.images, rank_of_best(scores.t(), own))
    assert torch.equal(got.texts, rank_of_best(scores, own.t())[:1300])
    targets = (torch.arange(1500) % 7).tolist()
    whole = classify(images, texts[:7].t(), targets)
    parts = [classify(images[i : i + 1], texts[:7].t(), targets[i : i + 1]) for i in range(1500)]
    assert torch.equal(whole.ranks, torch.cat([part.ranks for part in parts]))
    assert torch.equal(whole.confusion, sum(part.confusion for part in parts))


@pytest.mark.parametrize("copies", [5, 7, 9, 101])
def test_answers_that_are_equal_tie_wherever_they_stand(copies):
    generator = torch.Generator().manual_seed(copies)
    one, rows = (
        F.normalize(torch.randn(count, 64, generator=generator), dim=1) for count in (1, copies)
    )
    same = one.repeat(copies, 1)
    assert retrieve(rows, same, range(copies)).texts.tolist() == [copies - 1] * copies
    assert retrieve(same, rows, range(copies)).images.tolist() == [copies - 1] * copies
    assert classify(rows, same.t(), range(copies)).ranks.tolist() == [copies - 1] * copies
