"""Logits become ranked predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from align_client import Prediction
from align_client.scores import ranked, softmax

logits = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
    elements=st.floats(-1e4, 1e4, width=32),
)


@given(logits)
def test_scores_are_probabilities(values):
    scores = softmax(values)
    assert scores.dtype == np.float64
    assert np.all((scores >= 0) & (scores <= 1))
    assert np.allclose(scores.sum(axis=1), 1)
    for row, score in zip(values, scores, strict=True):
        assert np.all(np.diff(score[np.argsort(row)]) >= 0)


@given(logits, st.floats(-100, 100))
def test_softmax_ignores_constant(values, constant):
    assert np.allclose(softmax(values), softmax(values.astype(np.float64) + constant))


def test_softmax_by_hand():
    assert softmax(np.log([1.0, 2.0, 5.0])) == pytest.approx([0.125, 0.25, 0.625])


def test_predictions_come_best_first():
    assert ranked(["a", "b", "c"], np.array([0.2, 0.7, 0.1])) == [
        Prediction("b", 0.7),
        Prediction("a", 0.2),
        Prediction("c", 0.1),
    ]


def test_equal_scores_keep_label_order():
    labels = [f"label {i}" for i in range(100)]
    scores = np.tile([0.005, 0.015], 50)
    best = [prediction.label for prediction in ranked(labels, scores)]
    assert best == labels[1::2] + labels[::2]


@pytest.mark.parametrize("top_k, count", [(1, 1), (2, 2), (3, 3), (99, 3), (None, 3)])
def test_top_k_is_at_most_all(top_k, count):
    assert len(ranked(["a", "b", "c"], np.array([0.2, 0.7, 0.1]), top_k)) == count


def test_a_prediction_can_be_unpacked():
    label, score = ranked(["a"], np.array([1.0]))[0]
    assert (label, score) == ("a", 1.0) and type(score) is float
