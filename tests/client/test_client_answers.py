"""Valid outputs of a model become rows; impossible outputs break the contract."""

import re

import numpy as np
import pytest
from PIL import Image

from align_client.addresses import addresses
from align_client.answers import Broken, rows_of
from align_client.replicas import Replica
from align_client.shrink import NO_RESIZE, Resize

REPLICA = Replica(addresses("h:1")[0])
UNIT = np.array([[1, 0], [0.6, 0.8]], np.float32)


class Outputs(dict):
    """Return a response to two items with the arrays as outputs."""

    as_numpy = dict.get


def texts(**others):
    sound = {
        "EMBEDDING": UNIT,
        "CHECKPOINT": np.array([[b"a"]] * 2, np.object_),
        "TEMPERATURE": np.full((2, 1), 0.5, np.float32),
    }
    return rows_of(Outputs(sound | others), 2, of_texts=True, replica=REPLICA)


def image(**others):
    sound = {"EMBEDDING": UNIT[:1], "CHECKPOINT": np.array([[b"a"]], np.object_)}
    (row,) = rows_of(Outputs(sound | others), 1, of_texts=False, replica=REPLICA)
    return row


def test_each_item_has_its_own_row():
    rows = texts()
    assert [row.vector.tolist() for row in rows] == UNIT.tolist()
    assert {row[1:] for row in rows} == {("a", 0.5, None, REPLICA)}


@pytest.mark.parametrize("name", ["EMBEDDING", "CHECKPOINT", "TEMPERATURE"])
@pytest.mark.parametrize("array", [None, np.empty((2, 0), np.float32)], ids=["none", "empty"])
def test_every_output_is_there(name, array):
    with pytest.raises(Broken, match=f"there is no output {name}"):
        texts(**{name: array})


@pytest.mark.parametrize(
    "vectors, words",
    [
        (UNIT.astype(np.float64), "EMBEDDING is float64 [2, 2] for 2 items"),
        (UNIT[:1], "EMBEDDING is float32 [1, 2] for 2 items"),
        (UNIT[:, None], "EMBEDDING is float32 [2, 1, 2] for 2 items"),
        (UNIT * np.float32(0.98), "rows that are no unit vectors"),
        (UNIT * np.float32(1.02), "rows that are no unit vectors"),
        (UNIT * np.array([[1], [np.nan]], np.float32), "rows that are no unit vectors"),
    ],
)
def test_an_embedding_is_a_unit_vector_an_item(vectors, words):
    with pytest.raises(Broken, match=re.escape(words)):
        texts(EMBEDDING=vectors)


def test_half_precision_lengths_are_accepted():
    assert len(texts(EMBEDDING=UNIT * np.float32(1.002))) == 2


@pytest.mark.parametrize(
    "name, values",
    [("CHECKPOINT", np.array([[b"a"], [b"b"]], np.object_)), ("TEMPERATURE", UNIT[:, 1:])],
)
def test_all_of_a_request_are_of_one_checkpoint(name, values):
    with pytest.raises(Broken, match=f"{name} has 2 values in one answer"):
        texts(**{name: values})


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan, 1])
def test_a_temperature_is_a_number_to_divide_by(value):
    with pytest.raises(Broken, match="TEMPERATURE"):
        texts(TEMPERATURE=np.full((2, 1), value))


@pytest.mark.parametrize("name, told", [(b"a\xff", "a\ufffd"), ("a", "a")])
def test_a_checkpoint_may_be_called_anything(name, told):
    assert image(CHECKPOINT=np.array([[name]], np.object_)).checkpoint == told


def resize(*numbers):
    return np.array([numbers], np.int32)


def test_resize_has_a_check_if_sent():
    told = image(RESIZE=resize(58, 61, 2), RESIZE_CHECK=np.array([[7]], np.uint32))
    assert told.resize == Resize(58, 61, 2, 7)
    assert image(RESIZE=resize(58, 61, 2)).resize == Resize(58, 61, 2, None)


@pytest.mark.parametrize(
    "array", [None, resize(0, 0, 0), resize(58, 61, max(Image.Resampling) + 1)]
)
def test_unknown_filter_means_no_resize(array):
    assert image(RESIZE=array).resize == NO_RESIZE


@pytest.mark.parametrize(
    "array", [resize(0, 61, 2), resize(58, 0, 2), resize(58, 61), np.array([58, 61, 2], np.int32)]
)
def test_impossible_resize_breaks_the_contract(array):
    with pytest.raises(Broken, match=r"RESIZE is \["):
        image(RESIZE=array)
