"""Which drawings belong to which concept, and what is said of it."""

import numpy as np
import pytest

from align_zoo.emoji.concepts import HELD_OUT, Concept, find_icons, held_out_concepts, slug

CAPTIONS = [
    Concept("1F431", "cat face", ("cat", "pet"), "animals & nature", "animal mammal"),
    Concept("2764-FE0F", "red heart", ("love",), "smileys & emotion", "heart"),
    Concept("1F6A5", "horizontal traffic light", (), "travel & places", "transport ground"),
    Concept("1F1EA-1F1F8", "flag: spain", (), "flags", "country flag"),
    Concept("0031-FE0F-20E3", "keycap: 1", (), "symbols", "keycap"),
]
KNOWN = {"icons": {"kitty": {"body": "<a/>"}}, "aliases": {"old-kitty": {"parent": "kitty"}}}


def found(name, **more):
    files = {"known": KNOWN, "new": {"icons": {name: {"body": "<b/>"}}, **more}}
    icons = find_icons(files, {"known": {"1f431": "kitty"}, "new": {}}, CAPTIONS)
    return [icon.hexcode for icon in icons if icon.style == "new"]


@pytest.mark.parametrize(
    ("name", "hexcode"),
    [
        pytest.param("cat-face", "1F431", id="its own name"),
        pytest.param("kitty", "1F431", id="another package's name"),
        pytest.param("old-kitty", "1F431", id="another package's alias"),
        pytest.param("cat-face-2", "1F431", id="a second drawing"),
        pytest.param("catface", "1F431", id="without hyphens"),
        pytest.param("red-heart", "2764-FE0F", id="a code with a selector"),
        pytest.param("horizontal-traffic-light", "1F6A5", id="light is no skin tone"),
        pytest.param("flag-for-flag-spain", "1F1EA-1F1F8", id="a flag"),
        pytest.param("keycap-1", "0031-FE0F-20E3", id="a number in the name"),
    ],
)
def test_a_drawing_finds_its_concept(name, hexcode):
    assert found(name) == [hexcode]


@pytest.mark.parametrize("name", ["cat-face-light", "cat-face-medium-dark-skin-tone", "dog-face"])
def test_other_drawings_are_left_out(name):
    assert found(name) == []


def test_a_drawing_becomes_a_whole_svg():
    files = {"a": {"icons": {"cat-face": {"body": "<b/>", "width": 8}}, "height": 32}}
    (icon,) = find_icons(files, {"a": {}}, CAPTIONS)
    assert 'viewBox="0 0 8 32"><b/></svg>' in icon.svg


@pytest.mark.parametrize(
    ("name", "file"),
    [("piñata", "pinata"), ("woman\u2019s hat", "womans-hat"), ("keycap: #", "keycap-hash")],
)
def test_names_become_file_names(name, file):
    assert slug(name) == file


def test_the_held_out_concepts_are_always_the_same():
    assert held_out_concepts(1600).sum() == HELD_OUT
    np.testing.assert_array_equal(held_out_concepts(1600), held_out_concepts(1600))
