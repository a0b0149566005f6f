"""Copies of an image are grouped with it, the best first; other images are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_folders import SAMPLES
from PIL import Image
from tries import tries

from align_zoo.collection import duplicates
from align_zoo.collection.duplicates import NEAR, SAME, best_copies, thumbnail
from align_zoo.errors import InvalidInput
from align_zoo.tiny.concepts import ALL_SHAPES, Meaning
from align_zoo.tiny.images import draw_image

COPIES = {
    "other.jpg": lambda image: image,
    "smaller.png": lambda image: image.resize((image.width // 2, image.height // 2)),
    "brighter.png": lambda image: image.point(lambda value: min(255, value * 1.1)),
}


@pytest.fixture
def drawn(tmp_path) -> Path:
    """Two drawings of each shape in one colour, and copies of the first."""
    rng = np.random.default_rng(3)
    folder = tmp_path / "drawn"
    folder.mkdir()
    for shape in ALL_SHAPES:
        for name in ("one", "two"):
            image = draw_image(Meaning(colour="red", shape=shape), rng)
            image.save(folder / f"{shape}-{name}.png")
            if name == "one":
                for copy, change in COPIES.items():
                    change(image).save(folder / f"{shape}-{copy}")
    return folder


def test_copies_are_grouped_the_best_first(collection, drawn):
    collection.add(drawn)
    found = collection.duplicates()
    assert found.unreadable == {}
    names = [[Path(hit.path).name for hit in group] for group in found.groups]
    expected = [{f"{shape}-{name}" for name in ("one.png", *COPIES)} for shape in ALL_SHAPES]
    assert sorted(map(sorted, names)) == sorted(map(sorted, expected))
    for group in found.groups:
        assert group[0].score == 1.0
        assert all(hit.score >= NEAR for hit in group)
        pixels = [hit.columns["width"] * hit.columns["height"] for hit in group]
        assert pixels == sorted(pixels, reverse=True)


def test_a_condition_narrows_the_groups(collection, drawn):
    collection.add(drawn)
    groups = collection.duplicates(where="path like '%star%'").groups
    assert [len(group) for group in groups] == [4]
    with pytest.raises(InvalidInput, match="there are the columns"):
        collection.duplicates(where="colour = 'red'")


def test_images_that_cannot_be_read_are_named(collection, drawn):
    collection.add(drawn)
    (drawn / "star-other.jpg").unlink()
    found = collection.duplicates(where="path like '%star%'")
    assert list(found.unreadable) == [str(drawn / "star-other.jpg")]
    assert [len(group) for group in found.groups] == [3]


def test_an_image_of_one_colour_has_copies(collection, tmp_path):
    for i, size in enumerate((50, 60)):
        Image.new("RGB", (size, size), "white").save(tmp_path / f"{i}.png")
    collection.add(str(tmp_path / "*.png"))
    (group,) = collection.duplicates().groups
    assert [Path(hit.path).name for hit in group] == ["1.png", "0.png"]


def test_folded_hits_stand_for_their_copies(collection, drawn):
    collection.add(drawn)
    plain = collection.search("a red star", k=60, all=True)
    folded = collection.search("a red star", k=60, fold_duplicates=True, all=True)
    assert len(plain) == 5 * len(ALL_SHAPES)
    assert len(folded) == 2 * len(ALL_SHAPES)
    assert sum(hit.columns["duplicates"] for hit in folded) == 3 * len(ALL_SHAPES)
    assert folded[0].path == plain[0].path
    few = collection.search("a red star", k=7, fold_duplicates=True, all=True)
    assert [hit.path for hit in few] == [hit.path for hit in folded[:7]]


def test_similar_images_leave_the_image_out(collection):
    collection.add(SAMPLES)
    path = str(sorted(SAMPLES.glob("*.png"))[0])
    hits = collection.similar(path, k=3)
    nearest = collection.search(path, k=4, all=True)
    assert [hit.path for hit in hits] == [hit.path for hit in nearest[1:]]
    with pytest.raises(InvalidInput, match="no embedding of /gone"):
        collection.similar("/gone.png")


def one_by_one(rows, thumbnails):
    """The same groups, image by image."""
    first = np.full(len(rows), -1)
    for i in range(len(rows)):
        if first[i] < 0:
            near = (rows @ rows[i] >= NEAR) & (thumbnails @ thumbnails[i] >= SAME) & (first < 0)
            first[near & (np.arange(len(rows)) > i)] = i
            first[i] = i
    return first


@settings(max_examples=tries(40), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 90), part=st.sampled_from([1, 7, 100]))
def test_groups_are_those_found_one_by_one(seed, count, part):
    rng = np.random.default_rng(seed)
    rows, thumbnails = (
        centres[rng.integers(0, 5, count)] + 0.08 * rng.normal(size=(count, 8))
        for centres in rng.normal(size=(2, 5, 8))
    )
    rows, thumbnails = (each / np.linalg.norm(each, axis=1)[:, None] for each in (rows, thumbnails))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_ROWS", part)
        patch.setattr(duplicates, "_ROWS_AT_ONCE", 2 * part)
        first, cosines = best_copies(rows, thumbnails)
        near = duplicates._has_near(rows, lambda rows: None)
    assert first.tolist() == one_by_one(rows, thumbnails).tolist()
    np.testing.assert_allclose(cosines, (rows * rows[first]).sum(axis=1), atol=1e-6)
    between = rows @ rows.T
    np.fill_diagonal(between, -1)
    assert near.tolist() == (between.max(axis=1, initial=-1) >= NEAR).tolist()


@settings(max_examples=tries(40), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), side=st.integers(1, 300))
def test_a_thumbnail_is_a_unit_row(seed, side):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, 2 * side, 3), np.uint8)
    row = thumbnail(Image.fromarray(pixels))
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)
