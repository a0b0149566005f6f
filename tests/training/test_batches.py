"""Batches: every pair once an epoch, the same whenever asked for, without the broken ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from captioned import write_csv
from PIL import Image

import align_zoo
from align_zoo.training.batches import PairBatches
from align_zoo.training.errors import TrainingError
from align_zoo.training.finetune import open_pairs


@pytest.fixture(scope="module")
def tools():
    _, transform, tokenizer = align_zoo.create_align("align_tiny")
    return transform, tokenizer


def batches(path, tools, **options):
    return PairBatches(open_pairs(path), *tools, **{"seed": 0, "batch_size": 8, **options})


def test_each_epoch_shuffles_all_pairs(pairs_csv, tools):
    found = batches(pairs_csv, tools)
    epochs = [[name for i in range(3) for name in found[3 * e + i].target] for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(open_pairs(pairs_csv).images)
    assert epochs[0] != epochs[1]


def test_the_order_is_the_seeds(pairs_csv, tools):
    one, other = (batches(pairs_csv, tools, seed=seed)[0].target for seed in (0, 1))
    assert one != other


def test_an_image_is_cropped_elsewhere_in_each_epoch(pairs_csv, tmp_path, tools):
    data = write_csv(tmp_path / "one.csv", [(str(pairs_csv.with_name("0.png")), "a shape")])
    found = batches(data, tools, batch_size=1)
    assert len({found[epoch].pixels.numpy().tobytes() for epoch in range(6)}) > 3
    seeds = [batches(data, tools, batch_size=1, seed=seed)[0] for seed in range(6)]
    assert len({each.pixels.numpy().tobytes() for each in seeds}) > 3


def test_epoch_drops_less_than_a_batch(pairs_csv, tools):
    found = batches(pairs_csv, tools, batch_size=7)
    assert found.steps_per_epoch == 3
    assert all(len(found[step].pixels) == 7 for step in range(4))


def test_batch_depends_on_its_step_alone(pairs_csv, tools):
    one, other = batches(pairs_csv, tools), batches(pairs_csv, tools)
    first = other[4].pixels
    assert torch.equal(one[5].pixels, other[5].pixels)
    assert not torch.equal(first, other[5].pixels)
    assert not torch.equal(one[5].pixels, batches(pairs_csv, tools, seed=1)[5].pixels)


def test_two_processes_split_one_batch(pairs_csv, tools):
    whole = batches(pairs_csv, tools)[2]
    parts = [batches(pairs_csv, tools, batch_size=4, process=i, processes=2)[2] for i in range(2)]
    assert torch.equal(torch.cat([part.pixels for part in parts]), whole.pixels)
    assert parts[0].target + parts[1].target == whole.target


def test_without_augmentation_images_equal_those_of_inference(pairs_csv, tools):
    batch = batches(pairs_csv, tools, random_crop=False)[0]
    image = Image.open(pairs_csv.parent / batch.target[3])
    assert torch.equal(batch.pixels[3], tools[0](image))


def test_random_crop_is_a_window_of_the_image(pairs_csv, tools):
    transform, _ = tools
    batch = batches(pairs_csv, tools)[0]
    places = set()
    for name, pixels in zip(batch.target, batch.pixels, strict=True):
        resized = replace(transform, crop=None)(Image.open(pairs_csv.parent / name))
        windows = resized.unfold(1, 49, 1).unfold(2, 49, 1)  # [3, 10, 10, 49, 49]
        same = (windows == pixels[:, None, None]).all(dim=(0, 3, 4)).nonzero()
        assert len(same)
        places.add(tuple(same[0].tolist()))
    assert len(places) > 4


def test_a_random_crop_may_touch_every_edge(pairs_csv, tools):
    transform, tokenizer = tools
    larger = replace(transform, size=(50, 50))
    found = batches(pairs_csv, (larger, tokenizer))
    places = set()
    for step in range(3):
        batch = found[step]
        for name, pixels in zip(batch.target, batch.pixels, strict=True):
            resized = replace(larger, crop=None)(Image.open(pairs_csv.parent / name))
            windows = resized.unfold(1, 49, 1).unfold(2, 49, 1)
            places |= set(
                map(tuple, (windows == pixels[:, None, None]).all(dim=(0, 3, 4)).nonzero().tolist())
            )
    assert places == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_image_smaller_than_the_crop_is_broken(pairs_csv, tools):
    transform, tokenizer = tools
    small = replace(transform, size=(40, 40)), tokenizer
    with pytest.raises(TrainingError, match="a 40 x 40 image is smaller than the crop"):
        batches(pairs_csv, small)[0]


def test_deleted_image_is_left_out_and_named(tmp_path, tools):
    for name in ("a", "b"):
        Image.new("RGB", (60, 60)).save(tmp_path / f"{name}.png")
    found = batches(
        write_csv(tmp_path / "pairs.csv", [("a.png", "one"), ("b.png", "two")]), tools, batch_size=2
    )
    (tmp_path / "b.png").unlink()
    batch = found[0]
    assert batch.captions == ("one",)
    assert "pairs.csv line 3 (b.png): [Errno 2]" in batch.broken[0]


def test_a_broken_image_is_left_out_and_named(tmp_path, tools):
    (tmp_path / "broken.png").write_bytes(b"no image")
    for name in ("a", "b"):
        Image.new("RGB", (60, 60)).save(tmp_path / f"{name}.png")
    rows = [("a.png", "one"), ("broken.png", "two"), ("b.png", "three")]
    batch = batches(write_csv(tmp_path / "pairs.csv", rows), tools, batch_size=3)[0]
    assert len(batch.pixels) == len(batch.tokens["input_ids"]) == 2
    assert len(batch.broken) == 1
    assert "pairs.csv line 3 (broken.png): not an image" in batch.broken[0]


def test_batch_of_broken_images_is_an_error(tmp_path, tools):
    (tmp_path / "broken.png").write_bytes(b"no image")
    path = write_csv(tmp_path / "pairs.csv", [("broken.png", "one"), ("broken.png", "two")])
    with pytest.raises(TrainingError, match=r"all 2 images.*line \d \(broken\.png\)"):
        batches(path, tools, batch_size=2)[0]


def test_too_few_pairs_for_a_batch_are_refused(pairs_csv, tools):
    with pytest.raises(TrainingError, match="24 pairs, fewer than one batch of 26"):
        batches(pairs_csv, tools, batch_size=13, processes=2)


def test_checkpoint_without_a_fixed_image_size_is_refused(pairs_csv, tools):
    transform, tokenizer = tools
    free = replace(transform, size=None, crop=None)
    with pytest.raises(TrainingError, match="neither resizes nor crops"):
        batches(pairs_csv, (free, tokenizer))
