"""What training sees, and what it must never see."""

from collections import Counter

import numpy as np
import pytest

from align_zoo.tiny.architecture import IMAGE_SIZE
from align_zoo.tiny.captions import write_caption, write_unrelated
from align_zoo.tiny.concepts import COLOURS, DIGIT_WORDS, HELD_OUT, SHAPES, Meaning
from align_zoo.tiny.digits import load_digits
from align_zoo.tiny.images import draw_image
from align_zoo.tiny.sampler import (
    CAPTIONS_EACH,
    EVALUATION,
    SAMPLES,
    TRAIN_BATCHES,
    TRAIN_IMAGES,
    ImagePool,
    draw_pool,
    sample_batch,
    sample_meaning,
)


def meanings(count, seed=0):
    return [
        sample_meaning(np.random.default_rng([seed, TRAIN_IMAGES, index]))[0]
        for index in range(count)
    ]


def pool(count=80, easy=40, workers=1):
    drawn = list(draw_pool(0, count, easy, workers))
    return ImagePool(np.stack([p for p, _ in drawn]), [m for _, m in drawn], easy)


def test_held_out_combinations_cover_colours_and_shapes():
    assert len(HELD_OUT) >= 6
    assert Counter(colour for colour, _ in HELD_OUT) == Counter(COLOURS)
    assert Counter(shape for _, shape in HELD_OUT) == Counter(SHAPES)


def test_training_never_draws_a_held_out_combination():
    seen = Counter((m.colour, m.shape) for m in meanings(20_000))
    assert not any(seen[pair] for pair in HELD_OUT)
    others = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    assert all(seen[pair] > 80 for pair in others if pair not in HELD_OUT)


def test_training_never_writes_a_held_out_combination():
    for index, shown in enumerate(meanings(4000)):
        rng = np.random.default_rng(index)
        words = set(write_caption(shown, rng, plain=bool(index % 2))[0].split())
        assert not any({colour, shape} <= words for colour, shape in HELD_OUT)


def test_the_streams_of_random_numbers_are_disjoint():
    assert len({TRAIN_IMAGES, TRAIN_BATCHES, EVALUATION, SAMPLES}) == 4


def test_the_digit_splits_share_no_digit():
    train, held_out = load_digits("train"), load_digits("held_out")
    assert len(train.labels) + len(held_out.labels) == 1797
    known = {ink.tobytes() for ink in train.ink}
    assert not any(ink.tobytes() in known for ink in held_out.ink)
    assert set(held_out.labels) == set(range(10))


@pytest.mark.parametrize(
    ("said", "fair"),
    [
        (Meaning("red", "circle"), False),  # true
        (Meaning("red"), False),  # true
        (Meaning("blue", "circle"), True),
        (Meaning("red", "cross"), True),
        (Meaning(digit=3), True),
        (Meaning(shape="star"), False),  # red stars are held out: false of everything red
        (Meaning("blue", "star"), False),
        (Meaning("orange", "ring"), False),  # and orange circles: false of every circle
    ],
)
def test_only_fair_captions_are_negatives(said, fair):
    assert said.rivals(Meaning("red", "circle", size="big")) is fair


def test_an_unknown_split_is_refused_by_name():
    with pytest.raises(ValueError, match="'test'"):
        load_digits("test")


def test_training_digits_come_from_the_training_split():
    for index in range(500):
        rng = np.random.default_rng([0, TRAIN_IMAGES, index])
        meaning, digit = sample_meaning(rng)
        assert digit is None or load_digits("train").labels[digit] == meaning.digit


@pytest.mark.parametrize("shown", [Meaning("red", "circle", size="big"), Meaning("blue", digit=3)])
def test_captions_vary_and_are_true(shown):
    written = [write_caption(shown, np.random.default_rng(seed)) for seed in range(300)]
    assert len({caption for caption, _ in written}) > 200
    assert all(stated.holds_for(shown) for _, stated in written)
    for caption, stated in written:
        words = caption.split()
        assert stated.colour is None or any(stated.colour in word for word in words)
        assert stated.digit is None or {str(stated.digit), DIGIT_WORDS[stated.digit]} & {
            word.strip(".") for word in words
        }


def test_size_words_are_true():
    for seed in range(300):
        caption, _ = write_caption(Meaning("red", "square"), np.random.default_rng(seed))
        assert not {"big", "large", "huge", "small", "little", "tiny"} & set(caption.split())


def test_unrelated_captions_name_nothing_that_is_drawn():
    known = {*COLOURS, *SHAPES, *DIGIT_WORDS}
    written = [write_unrelated(np.random.default_rng(seed)) for seed in range(300)]
    assert not any(known & set(caption.split()) for caption in written)


def test_images_of_one_meaning_differ():
    shown = Meaning("green", "star")
    drawn = [draw_image(shown, np.random.default_rng(seed)) for seed in range(20)]
    assert len({image.size for image in drawn}) > 10
    assert len({image.tobytes() for image in drawn}) == 20


def test_seed_determines_the_image():
    one, two = (draw_image(Meaning("red", "ring"), np.random.default_rng(7)) for _ in range(2))
    assert one.tobytes() == two.tobytes()


def test_undrawable_meaning_is_refused():
    with pytest.raises(ValueError, match="not enough to draw"):
        draw_image(Meaning("red", digit=3), np.random.default_rng(0))


def test_pool_is_independent_of_the_process_count():
    one, two = pool(workers=1), pool(workers=2)
    assert (one.pixels == two.pixels).all()
    assert one.meanings == two.meanings


def test_batch_depends_on_its_step_alone():
    images = pool()
    sample_batch(images, 0, 4, 16, 4)
    one, two = (sample_batch(images, 0, 5, 16, 4, 0.5) for _ in range(2))
    assert (one.pixels == two.pixels).all()
    assert one.captions == two.captions
    assert one.pixels.shape == (16, 3, IMAGE_SIZE, IMAGE_SIZE)
    assert one.rivals.shape == (16, len(one.captions)) == (16, 16 * CAPTIONS_EACH + 4)
    assert not one.rivals[:, :16].diagonal().any()
    assert not one.rivals[:, 16:32].diagonal().any()
    assert one.rivals[:, -4:].all()
