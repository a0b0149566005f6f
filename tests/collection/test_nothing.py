"""A search for what is not there finds nothing; one for what is there finds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_folders import SAMPLES, CountingEmbedder
from typer.testing import CliRunner

from align_zoo.cli import app
from align_zoo.collection import matching
from align_zoo.collection.collection import Collection
from align_zoo.collection.matching import Background, background_texts
from align_zoo.tiny.concepts import ALL_COLOURS, ALL_SHAPES, Meaning
from align_zoo.tiny.images import draw_image

FRUITLESS = ("a photo of a dog", "the elephant", "a bridge", "a knife")


def render(folder: Path, meaning: Meaning, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        chance = np.random.default_rng([5, i, *str(meaning).encode()])
        draw_image(meaning, chance).save(folder / f"{meaning.colour}-{meaning.shape}-{i}.png")


@pytest.fixture
def rendered(collection, tmp_path):
    """Render images of the given colours and shapes, in unequal numbers, and add them."""

    def add(*shown: tuple[str, str, int]) -> Collection:
        for colour, shape, count in shown:
            render(tmp_path / "rendered", Meaning(colour, shape=shape), count)
        collection.add(tmp_path / "rendered")
        return collection

    return add


def names(hits) -> set[str]:
    return {Path(hit.path).name.rpartition("-")[0] for hit in hits}


def test_what_is_there_is_found_and_nothing_else(rendered):
    collection = rendered(
        ("red", "star", 1), ("green", "ring", 6), ("blue", "square", 25), ("pink", "heart", 2)
    )
    for words in ("a red star", "a photo of a green ring", "blue square", "the pink heart"):
        colour, shape = words.split()[-2:]
        assert names(collection.search(words)) == {f"{colour}-{shape}"}
    for words in (*FRUITLESS, "a yellow moon", "an orange circle", "the number three"):
        assert collection.search(words) == []


def test_most_concepts_are_judged_rightly(rendered):
    present = [(colour, ALL_SHAPES[i % 8]) for i, colour in enumerate(ALL_COLOURS)]
    collection = rendered(*((colour, shape, 1 + i) for i, (colour, shape) in enumerate(present)))
    found = [
        f"{colour}-{shape}" in names(collection.search(f"a {colour} {shape}"))
        for colour, shape in present
    ]
    absent = [(c, s) for c in ALL_COLOURS[::2] for s in ALL_SHAPES if (c, s) not in present]
    nothing = [not collection.search(f"a {colour} {shape}") for colour, shape in absent]
    assert np.mean(found) >= 0.9
    assert np.mean(nothing) >= 0.85


def test_all_of_one_concept_is_found_whole(rendered):
    collection = rendered(("red", "star", 30))
    for words in ("a star", "red star", "something red"):
        assert len(collection.search(words, k=30)) >= 24
    for words in (*FRUITLESS, "a ring", "something blue"):
        assert collection.search(words) == []


@pytest.mark.parametrize("count", [1, 2, 10])
def test_few_images_are_enough(rendered, count):
    collection = rendered(("green", "ring", count))
    assert collection.search("a green ring")
    assert collection.search("a dog") == collection.search("a red star") == []


def test_an_empty_collection_has_nothing(collection):
    assert collection.search("a red star") == collection.search("a red star", all=True) == []


def test_all_shows_the_nearest(rendered):
    collection = rendered(("green", "ring", 3))
    hits = collection.search("a dog", all=True)
    assert len(hits) == 3
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_condition_leaves_what_matches(rendered):
    collection = rendered(("green", "ring", 3), ("red", "star", 3))
    where = "path like '%green%'"
    assert names(collection.search("a green ring", where=where)) == {"green-ring"}
    assert collection.search("a red star", where=where) == []


def test_hits_that_match_are_the_first_of_all(rendered):
    collection = rendered(("green", "ring", 20), ("red", "star", 20))
    matching = [hit.path for hit in collection.search("a green ring", k=5)]
    assert len(matching) == 5
    everything = [hit.path for hit in collection.search("a green ring", k=40, all=True)]
    assert matching == [path for path in everything if path in matching]


def test_each_wanted_text_must_match(rendered):
    collection = rendered(("green", "ring", 3), ("red", "star", 3))
    assert names(collection.search("green + ring")) == {"green-ring"}
    assert collection.search("green + star") == []
    assert collection.search("ring + dog") == []


def test_what_is_not_wanted_orders_the_hits_only(rendered):
    collection = rendered(("green", "ring", 3), ("red", "ring", 3))
    hits = collection.search("ring - red", k=6)
    assert names(hits) == {"green-ring", "red-ring"}
    assert names(hits[:3]) == {"green-ring"}
    assert collection.search("dog - red") == []


def test_an_image_finds_its_like_alone(rendered, tmp_path):
    collection = rendered(("green", "ring", 5), ("blue", "square", 5))
    render(tmp_path / "queries", Meaning("green", shape="ring", size="big"), 1)
    render(tmp_path / "queries", Meaning("yellow", shape="cross"), 1)
    like, unlike = (tmp_path / "queries" / f"{n}-0.png" for n in ("green-ring", "yellow-cross"))
    assert names(collection.search(str(like))) == {"green-ring"}
    assert collection.search(str(unlike)) == []
    # Words judge where there are words: the image orders the hits.
    assert names(collection.search(f"ring + {unlike}")) == {"green-ring"}


def test_a_vector_is_not_judged(rendered, embedder):
    collection = rendered(("green", "ring", 3))
    assert len(collection.search(embedder.texts(["a dog"])[0])) == 3


class Watched(CountingEmbedder):
    texts_given = 0

    def texts(self, texts):
        self.texts_given += len(texts)
        return super().texts(texts)


@pytest.mark.parametrize("damage", [None, b"", b"rubbish"])
def test_the_background_is_computed_once(own_cache, damage):
    embedder = Watched("align_tiny")
    first = Background(embedder).texts
    (kept,) = (own_cache / "background").glob("*.npy")
    if damage is not None:
        kept.write_bytes(damage)
    np.testing.assert_array_equal(Background(embedder).texts, first)
    assert embedder.texts_given == len(background_texts()) * (1 if damage is None else 2)


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, embedder):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(matching, "user_cache", lambda: tmp_path / "file")
    assert Background(embedder).texts.shape == (len(background_texts()), 128)


def test_background_texts_are_everyday_words():
    texts = background_texts()
    assert len(texts) == len(set(texts)) >= 400
    # Colours and shapes as any other words, none of align_tiny's combinations.
    assert {"red", "a star", "three"} < set(texts)
    assert not [t for t in texts for c in ALL_COLOURS for s in ALL_SHAPES if f"{c} {s}" in t]


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_the_command_says_that_nothing_matches(collection):
    collection.add(SAMPLES)
    done = run("search", collection.where, "a", "dog")
    assert (done.exit_code, done.stdout) == (1, "")
    nearest = collection.search("a dog", k=1, all=True)[0]
    assert done.stderr == (
        f"nothing here matches 'a dog'; the nearest is {nearest.path} ({nearest.score:.3f}): "
        "--all shows it\n"
    )
    shown = run("search", collection.where, "a", "dog", "--all", "-n1", "--paths")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, f"{nearest.path}\n", "")
