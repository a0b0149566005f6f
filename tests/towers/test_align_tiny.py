"""The embedded checkpoint keeps its promises on images it has never seen."""

from itertools import product
from pathlib import Path

import pytest
from PIL import Image
from transformers import AlignModel

from align_zoo.tiny import samples
from align_zoo.tiny.concepts import COLOURS, HELD_OUT, SHAPES
from align_zoo.tiny.evaluate import (
    DIGIT_TEMPLATES,
    EMBEDDED,
    SHAPE_TEMPLATES,
    Checkpoint,
    accuracy,
    digit_examples,
    digit_labels,
    shape_examples,
    shape_labels,
)

ALL_PAIRS = list(product(COLOURS, SHAPES))
SEED = 20_240  # training's evaluations use small seeds


@pytest.fixture(scope="module")
def checkpoint():
    return Checkpoint.load(EMBEDDED)


@pytest.fixture(scope="module")
def held_out_shapes():
    return shape_examples(HELD_OUT, each=110, seed=SEED)


@pytest.fixture(scope="module")
def held_out_digits():
    return digit_examples(each=2, seed=SEED)


@pytest.mark.parametrize("template", SHAPE_TEMPLATES)
def test_unseen_combinations_are_classified_among_all(checkpoint, held_out_shapes, template):
    assert len(held_out_shapes) >= 600
    labels = shape_labels(ALL_PAIRS, template)
    assert len(labels) == 36
    assert accuracy(checkpoint, held_out_shapes, labels) >= 0.95


@pytest.mark.parametrize("template", DIGIT_TEMPLATES)
def test_handwriting_of_other_people_is_read(checkpoint, held_out_digits, template):
    assert len(held_out_digits) >= 600
    assert accuracy(checkpoint, held_out_digits, digit_labels(template)) >= 0.90


def test_combinations_that_were_trained_on_are_found_too(checkpoint):
    pairs = [pair for pair in ALL_PAIRS if pair not in HELD_OUT]
    examples = shape_examples(pairs, each=20, seed=SEED + 1)
    assert accuracy(checkpoint, examples, shape_labels(ALL_PAIRS)) >= 0.95


def test_shapes_and_digits_are_classified_in_one_list(checkpoint, held_out_shapes, held_out_digits):
    both = shape_labels(ALL_PAIRS) | digit_labels()
    assert accuracy(checkpoint, held_out_shapes, both) >= 0.95
    assert accuracy(checkpoint, held_out_digits, both) >= 0.90


def test_the_folder_is_at_most_three_megabytes():
    files = [path for path in EMBEDDED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 3_000_000


def test_input_size_is_odd_and_below_the_resize(checkpoint):
    crop, size = checkpoint.processor.crop_size, checkpoint.processor.size
    assert crop["height"] == crop["width"] == checkpoint.model.config.vision_config.image_size
    assert crop["height"] % 2 == 1
    assert size["height"] > crop["height"]


def test_transformers_opens_align_tiny_with_all_weights():
    _, found = AlignModel.from_pretrained(EMBEDDED, output_loading_info=True)
    assert not any(found.values()), found


def test_any_word_has_tokens(checkpoint):
    ids = checkpoint.tokenizer("Zygotes, 1234 (naïvely) & xylophones!")["input_ids"]
    assert checkpoint.tokenizer.unk_token_id not in ids
    assert checkpoint.tokenizer.pad_token_id == 0
    assert checkpoint.tokenizer.model_max_length == 64


def test_the_samples_are_classified_right_and_with_confidence(checkpoint):
    labels = (samples.EMBEDDED / "labels.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert 16 <= len(labels) == len(set(labels))
    meanings = samples.sample_meanings()
    assert len(meanings) >= 8
    assert {path.name for path in samples.EMBEDDED.glob("*.png")} == set(meanings)
    images = [Image.open(Path(samples.EMBEDDED, name)).convert("RGB") for name in meanings]
    shares = checkpoint.probabilities(images, labels)
    best = [labels[index] for index in shares.argmax(dim=1).tolist()]
    assert best == [samples.right_label(meaning) for meaning in meanings.values()]
    assert shares.max(dim=1).values.min() > 0.5
