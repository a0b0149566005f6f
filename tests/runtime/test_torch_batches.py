"""Fixed batch sizes answer as the function does, for every batch; the way of a GPU, on the CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from tries import tries

import align_zoo
from align_zoo.runtime.torch.graphs import FixedBatches, pad_texts, split
from align_zoo.runtime.torch.towers import TorchImage, TorchText, fold_batch_norm

SIZES, LENGTHS = (1, 4, 16, 64), (8, 16, 32, 64)


@pytest.fixture(scope="module")
def model(checkpoint) -> align_zoo.Align:
    return align_zoo.create_align(checkpoint)[0]


@settings(max_examples=tries(300), deadline=None)
@given(count=st.integers(1, 500), sizes=st.sets(st.integers(1, 100), min_size=1))
def test_pieces_hold_every_row_once(count, sizes):
    pieces = split(count, sorted(sizes))
    assert sum(rows for rows, _ in pieces) == count
    assert all(0 < rows <= size and size in sizes for rows, size in pieces)
    assert all(rows == size for rows, size in pieces[:-1])


@given(count=st.integers(1, 500))
def test_no_more_than_twice_the_rows_are_computed(count):
    assert sum(size for _, size in split(count, SIZES)) <= 2 * count


@pytest.mark.parametrize(
    ("count", "pieces"),
    [
        (1, [(1, 1)]),
        (3, [(3, 4)]),
        (9, [(9, 16)]),
        (16, [(16, 16)]),
        (17, [(16, 16), (1, 1)]),
        (40, [(40, 64)]),
        (130, [(64, 64), (64, 64), (2, 4)]),
    ],
)
def test_the_pieces_of_some_batches(count, pieces):
    assert split(count, SIZES) == pieces


def test_remainder_takes_the_smallest_size_that_fits():
    assert split(8, (8, 10, 12)) == [(8, 8)]
    assert split(9, (8, 10, 12)) == [(9, 10)]
    assert split(3, (8, 10, 12)) == [(3, 8)]


@given(rows=st.integers(1, 5), length=st.integers(1, 80))
def test_texts_are_padded_to_the_next_length(rows, length):
    ids, mask = np.full((rows, length), 7), np.ones((rows, length), dtype=np.int64)
    wide, wide_mask = pad_texts(ids, mask, LENGTHS)
    assert wide.shape == wide_mask.shape
    assert wide.shape[1] == (next(x for x in LENGTHS if x >= length) if length <= 64 else length)
    assert (wide[:, :length] == 7).all()
    assert (wide_mask.sum(1) == length).all()
    assert (wide_mask[:, :length] == 1).all()


class Doubled:
    """Rows times two, and the shapes that were computed."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(x.shape))
        return 2 * x


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape, dtype=np.float32)


@settings(max_examples=tries(100), deadline=None)
@given(count=st.integers(1, 200), width=st.sampled_from([2, 3, 5]))
def test_every_row_gets_its_own_answer(count, width):
    function = Doubled()
    run = FixedBatches(function, "cpu", [(numbers(1, 2),), (numbers(1, 3),)], SIZES)
    # Into the memory of the largest the others fit.
    assert function.shapes == [(size, w) for w in (2, 3) for size in reversed(SIZES)]
    function.shapes.clear()
    x = numbers(count, width)
    np.testing.assert_array_equal(run(x), 2 * x)
    captured = [(size, width) for _, size in split(count, SIZES)]
    assert function.shapes == (captured if width != 5 else [(count, 5)])


def test_without_sizes_nothing_is_captured():
    function = Doubled()
    run = FixedBatches(function, "cpu")
    assert function.shapes == []
    np.testing.assert_array_equal(run(numbers(7, 2)), 2 * numbers(7, 2))
    assert function.shapes == [(7, 2)]


def test_nothing_is_kept_for_gradients():
    inferring = []

    def function(x: torch.Tensor) -> torch.Tensor:
        inferring.append(torch.is_inference_mode_enabled())
        return 2 * x

    FixedBatches(function, "cpu", [(numbers(1, 2),)], (4,))(numbers(3, 2))
    assert inferring == [True, True]


def test_an_answer_outlives_the_next_call():
    run = FixedBatches(Doubled(), "cpu", [(numbers(1, 2),)], (4,))
    first = run(np.ones((3, 2), np.float32))
    run(np.zeros((3, 2), np.float32))
    assert (first == 2).all()


def test_nothing_of_an_earlier_batch_is_computed_again():
    seen = []

    def function(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.clone())
        return x.clone()

    run = FixedBatches(function, "cpu", [(numbers(1, 2),)], (4,))
    run(np.full((4, 2), 5, np.float32))
    run(np.ones((3, 2), np.float32))
    assert (seen[-1] == 1).all()


def test_threads_get_their_own_answers():
    run = FixedBatches(Doubled(), "cpu", [(numbers(1, 64),)], (1, 4))
    inputs = [np.full((1 + i % 6, 64), i, np.float32) for i in range(400)]
    with ThreadPoolExecutor(8) as pool:
        for x, answer in zip(inputs, pool.map(run, inputs), strict=True):
            np.testing.assert_array_equal(answer, 2 * x)


def test_uncaptured_answers_equal_the_towers_bit_for_bit(model):
    pixels, ids = torch.from_numpy(numbers(5, 3, 75, 75)), torch.arange(24).reshape(3, 8)
    folded = deepcopy(model.image).to(memory_format=torch.channels_last)
    fold_batch_norm(folded)
    with torch.inference_mode():
        images = F.normalize(folded(pixels.to(memory_format=torch.channels_last)), dim=-1)
        texts = F.normalize(model.text(ids, torch.ones_like(ids)), dim=-1)
    np.testing.assert_array_equal(TorchImage(deepcopy(model.image))(pixels.numpy()), images.numpy())
    ones = np.ones((3, 8), dtype=np.int64)
    np.testing.assert_array_equal(TorchText(deepcopy(model.text))(ids.numpy(), ones), texts.numpy())


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9])
@pytest.mark.parametrize("size", [(75, 75), (64, 90)], ids=["captured", "another size"])
def test_captured_images_get_the_towers_embeddings(model, count, size):
    tower = TorchImage(deepcopy(model.image), sizes=(1, 4), image_size=(75, 75))
    pixels = numbers(count, 3, *size)
    np.testing.assert_allclose(tower(pixels), TorchImage(deepcopy(model.image))(pixels), atol=1e-5)


@pytest.fixture(scope="module")
def texts(model) -> tuple[TorchText, TorchText]:
    """Captured, and as they come."""
    captured = TorchText(deepcopy(model.text), sizes=(1, 4, 16), lengths=(8, 16, 64))
    return captured, TorchText(deepcopy(model.text))


@settings(max_examples=tries(60), deadline=None)
@given(count=st.integers(1, 40), length=st.integers(1, 80), seed=st.integers(0, 100))
def test_captured_texts_get_the_towers_embeddings(texts, count, length, seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 200, (count, length))
    mask = (np.arange(length) < rng.integers(1, length + 1, (count, 1))).astype(np.int64)
    captured, plain = texts
    np.testing.assert_allclose(captured(ids, mask), plain(ids, mask), atol=1e-5)


def test_captured_tower_names_an_unknown_token(texts):
    ids = np.full((1, 3), 200)
    for tower in texts:
        with pytest.raises(align_zoo.InvalidText, match="token id 200 is not in the vocabulary"):
            tower(ids, np.ones_like(ids))


# Tensors on "meta" have shapes alone: whoever asks for a value fails, as a capture does.
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_capture_never_asks_for_values(model, dtype):
    TorchImage(deepcopy(model.image), "meta", dtype, sizes=(1, 4), image_size=(75, 75))
    TorchText(deepcopy(model.text), "meta", dtype, sizes=(1, 4), lengths=(8, 16))
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        FixedBatches(lambda x: x if x.all() else -x, "meta", [(numbers(1, 2),)], (4,))


class Devices(TorchDispatchMode):
    """Where the operators' tensors are."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        answer = func(*args, **(kwargs or {}))
        leaves = tree_leaves((args, kwargs, answer))
        self.seen |= {x.device.type for x in leaves if torch.is_tensor(x)}
        return answer


# A copy from the host, too, would end a capture.
def test_a_capture_makes_nothing_on_the_host(model):
    pixels, ids = torch.empty(2, 3, 75, 75), torch.ones(2, 8, dtype=torch.int64)
    image = TorchImage(deepcopy(model.image), "meta", sizes=(2,), image_size=(75, 75))
    text = TorchText(deepcopy(model.text), "meta", sizes=(2,), lengths=(8,))
    for tower, inputs in ((image, [pixels]), (text, [ids, ids])):
        there = [x.to("meta") for x in inputs]
        with torch.inference_mode(), Devices() as devices:
            tower.batches.function(*there)
        assert devices.seen == {"meta"}
    with Devices() as devices:
        torch.empty(2, device="meta") + torch.tensor(1.0)
    assert devices.seen == {"meta", "cpu"}
