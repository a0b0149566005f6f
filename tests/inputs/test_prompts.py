"""Prompt templates and class names, before any model sees them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_clip import OPENAI_IMAGENET_TEMPLATES

from align_zoo.errors import InvalidText
from align_zoo.inputs.prompts import TEMPLATE_SETS, check_classnames, fill, read_templates


def test_the_imagenet_set_is_clips():
    theirs = [template("tench") for template in OPENAI_IMAGENET_TEMPLATES]
    assert [t.replace("{}", "tench") for t in TEMPLATE_SETS["imagenet"]] == theirs
    assert len(theirs) == 80


@pytest.mark.parametrize(
    ("given_as", "templates"),
    [
        ("none", ("{}",)),
        ("photo", ("a photo of a {}",)),
        ("the {} here", ("the {} here",)),
        (["{}", "no {}"], ("{}", "no {}")),
    ],
    ids=str,
)
def test_templates_are_a_sets_name_one_or_several(given_as, templates):
    assert read_templates(given_as) == templates


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ("foto", "'foto' needs {} exactly once.*none, photo, imagenet"),
        ("{} and {}", "'{} and {}' needs {} exactly once"),
        (["{}", "a photo of a {c}"], "'a photo of a {c}' needs {} exactly once"),
        ([], "no prompt template"),
        ([3], "prompt template 3 is not a string"),
        ("a \udcff {}", r"'a \\udcff {}' cannot be written in UTF-8"),
    ],
    ids=str,
)
def test_a_wrong_template_is_named(templates, message):
    with pytest.raises(InvalidText, match=message):
        read_templates(templates)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no class names"),
        (["ring", ""], "class name 1 is blank"),
        (["ring", "star", " \n"], "class name 2 is blank"),
        ([None], "class name 0 is a NoneType"),
        ("ring", "one string, 'ring'"),
        (["ring", "st\ud800r"], r"class name 1, 'st\\ud800r', cannot be written in UTF-8"),
    ],
    ids=str,
)
def test_a_wrong_class_name_is_named(names, message):
    with pytest.raises(InvalidText, match=message):
        check_classnames(names)


@given(st.text())
def test_class_name_goes_into_the_prompt_unchanged(name):
    assert fill("a photo of a {}, {here}", name) == "a photo of a " + name + ", {here}"
