"""What training sees, and what it must never see."""

import numpy as np
import pytest
import torch

from align_zoo.emoji.architecture import IMAGE_SIZE, build_config
from align_zoo.emoji.augment import augment, can_mirror, draw_nothing, place_on_white
from align_zoo.emoji.captions import NEW_WORDINGS, WORDINGS, Attributes, Fillers, write
from align_zoo.emoji.concepts import Concept
from align_zoo.emoji.packages import HELD_OUT_STYLE
from align_zoo.emoji.trainer import EmojiBatches, Plan
from align_zoo.emoji.vocabulary import train_vocabulary
from align_zoo.tiny.vocabulary import COMMON, make_tokenizer

PLAN = Plan(steps=10, concepts=4, names=10, attributes=8, nothing=3)


def known(drawings):
    return [each for each, gone in zip(drawings.concepts, drawings.held_out) if not gone]


@pytest.fixture(scope="module")
def tokenizer(drawings):
    tokens = train_vocabulary(known(drawings))
    return make_tokenizer(tokens, build_config(len(tokens)).text_config)


@pytest.fixture(scope="module")
def batches(drawings, tokenizer):
    return EmojiBatches(PLAN, drawings, tokenizer)


def test_the_held_out_style_is_not_trained_on(drawings, batches):
    rows = [row for styles in batches.rows for each in styles for row in each]
    assert len(rows) == 12 * 7
    assert HELD_OUT_STYLE not in {drawings.style[row] for row in rows}


def test_no_held_out_concept_is_trained_on(drawings, batches):
    rows = [row for styles in batches.rows for each in styles for row in each]
    assert not drawings.held_out[drawings.concept[rows]].any()
    assert [each.name for each in batches.concepts] == [each.name for each in known(drawings)]


def test_a_style_can_be_left_out(drawings, tokenizer):
    plan = Plan(steps=4, concepts=4, attributes=8, without=("noto",))
    rows = EmojiBatches(plan, drawings, tokenizer).rows
    styles = {drawings.style[row] for styles in rows for each in styles for row in each}
    assert len(styles) == 6
    assert "noto" not in styles


def test_each_concept_is_shown_twice(batches):
    batch = batches[0]
    assert len(batch.pixels) == 2 * len(batches._shown(0)) + 3
    assert batch.target.name.tolist() == [
        each for each in range(len(batches._shown(0))) for _ in "ab"
    ]


def test_small_images_come_first(batches):
    sides = [batches[step].pixels.shape[-1] for step in (3, 4, 6, 7, 9)]
    assert sides == [41, 49, 49, IMAGE_SIZE, IMAGE_SIZE]


def test_names_attributes_nothing_and_groups_are_asked(batches, tokenizer):
    batch, groups = batches[0], len(batches.groups)
    drawings = 2 * len(batches._shown(0))
    assert len(batch.tokens["input_ids"]) == 10 + 8 + 3 + groups
    assert batch.target.fits.shape == (drawings + 3, 8 + 3)
    assert batch.target.fits.any(dim=0).all()  # each is true of an image that is shown
    assert not batch.target.fits[:drawings, 8:].any()
    assert not batch.target.fits[drawings:, :8].any()
    assert batch.target.group.shape == (drawings, groups)
    texts = tokenizer.hf.batch_decode(batch.tokens["input_ids"], skip_special_tokens=True)
    names = [concept.name for concept in batches.concepts]
    found = [[name for name in names if name in text] for text in texts[:10]]
    assert all(len(each) <= 1 for each in found)  # none where a text is cut
    assert len({each[0] for each in found if each}) >= 6
    assert not [name for text in texts[18:] for name in names if name in text]


def test_a_batch_depends_on_its_step_alone(batches):
    one, again, other = batches[1], batches[1], batches[2]
    torch.testing.assert_close(one.pixels, again.pixels, rtol=0, atol=0)
    assert not torch.equal(one.pixels, other.pixels)


def test_an_epoch_shows_every_concept(batches):
    shown = np.concatenate([batches._shown(step) for step in range(6)])
    assert set(shown) == set(range(12))


def test_concepts_of_a_subgroup_stand_together(drawings, tokenizer):
    batches = EmojiBatches(Plan(concepts=6), drawings, tokenizer)
    batches.subgroup = tuple(index % 4 for index in range(12))
    shown = [batches._shown(step) for step in range(4)]
    subgroups = [[batches.subgroup[each] for each in step] for step in shown]
    assert all(max(map(step.count, step)) >= 3 for step in subgroups)


def test_held_out_wordings_are_not_trained_on():
    assert not set(NEW_WORDINGS) & set(WORDINGS)
    assert write("a drawing of {a}", "owl") == "a drawing of an owl"


def test_words_between_say_nothing():
    owl = Concept("1", "night owl", ("bird", "wise"), "animals", "animal bird")
    words = Fillers.of([owl]).choose(np.random.default_rng(0), 300)
    said = {"night", "owl", "bird", "wise", "animals", "animal"}
    held_out = {"a", "drawing", "this", "emoji", "shows", "graphic", "depicting", "find", "me"}
    assert not (said | held_out) & set(words)
    assert "nigmal" in words  # of "night" and "animal"
    assert len(set(words) & set(COMMON)) > 50


def test_a_pair_is_true_of_concepts_with_both():
    cats = [
        Concept("1", "crying cat", ("pet",), "faces", "cat face"),
        Concept("2", "crying face", (), "faces", "face"),
        Concept("3", "cat", ("pet",), "animals", "mammal"),
    ]
    attributes = Attributes.of(cats)
    texts, fits = attributes.sample(300, np.array([0]), Fillers.of(cats), np.random.default_rng(0))
    right = [fit.tolist() for text, fit in zip(texts, fits) if text in ("crying cat", "cat crying")]
    assert right
    assert all(each == [True, False, False] for each in right)
    assert fits[:, 0].all()


def test_unknown_words_are_spelled(tokenizer):
    tokens = tokenizer.hf.tokenize("Xylophones, 42 zebras & déjà-vu!")
    assert "[UNK]" not in tokens
    assert "".join(tokens).replace("##", "") == "xylophones,42zebras&deja-vu!"


def test_a_vocabulary_is_always_the_same(drawings):
    assert train_vocabulary(known(drawings)) == train_vocabulary(known(drawings))


def test_images_are_in_range_and_differ(drawings):
    pixels = torch.from_numpy(drawings.pixels[:1]).repeat(60, 1, 1, 1)
    images = augment(pixels, torch.ones(60, dtype=torch.bool), 33, seed=1)
    assert images.shape == (60, 3, 33, 33)
    assert -1 <= images.min() < images.max() <= 1
    assert images.flatten(1).std(dim=0).min() > 0


def test_images_without_emoji_are_in_range_and_differ():
    images = draw_nothing(40, ["some", "words"], 33, seed=1)
    assert images.shape == (40, 3, 33, 33)
    assert -1 <= images.min() < images.max() <= 1
    assert images.flatten(1).std(dim=0).min() > 0
    torch.testing.assert_close(images, draw_nothing(40, ["some", "words"], 33, seed=1))


def test_transparent_parts_are_white(drawings):
    images = place_on_white(torch.from_numpy(drawings.pixels[:2]), 24)
    assert images[:, :, 0].min() > 0.999


@pytest.mark.parametrize(
    ("name", "group", "expected"),
    [
        ("cat face", "animals & nature", True),
        ("backhand index pointing left", "people & body", False),
        ("right-facing fist", "people & body", False),
        ("abcd", "symbols", False),
        ("pirate flag", "flags", False),
    ],
)
def test_only_drawings_without_a_direction_are_mirrored(name, group, expected):
    assert can_mirror(Concept("1", name, (), group, "some")) is expected
