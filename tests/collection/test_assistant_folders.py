"""An assistant reads within its folders alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_folders import SAMPLES
from tries import tries

from align_zoo.collection.assistant import Folders
from align_zoo.errors import InvalidImage, InvalidInput


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder of images, beside images that nobody may read; links lead to and fro."""
    place = tmp_path_factory.mktemp("place").resolve()
    shutil.copytree(SAMPLES, place / "images")
    shutil.copytree(SAMPLES, place / "private")
    (place / "images" / "deep").mkdir()
    (place / "images" / "deep" / "inside.png").symlink_to("../red-star.png")
    (place / "images" / "link.png").symlink_to("../private/red-star.png")
    (place / "images" / "out").symlink_to("../private")
    (place / "private" / "in").symlink_to("../images")
    (place / "images-too").symlink_to("private")
    (place / "images" / "note.txt").write_text("no image")
    (place / "images" / "round").symlink_to("round")
    return place


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("red-star.png", "red-star.png"),
        ("deep/inside.png", "red-star.png"),
        ("deep/../red-star.png", "red-star.png"),
        ("out/in/red-star.png", "red-star.png"),
        ("{place}/images/red-star.png", "red-star.png"),
        ("{place}/private/in/red-star.png", "red-star.png"),
    ],
)
def test_path_inside_is_found(name, target, place):
    found = Folders([place / "images"]).find(name.format(place=place))
    assert found == place / "images" / target


@pytest.mark.parametrize(
    "name",
    [
        "../private/red-star.png",
        "link.png",
        "out/red-star.png",
        "deep/../../private/red-star.png",
        "{place}/private/red-star.png",
        "{place}/images/../private/red-star.png",
        "{place}/images-too/red-star.png",
        "{place}/not-there.png",
        "/etc/passwd",
        "/proc/self/root/etc/passwd",
        "..",
        "/",
    ],
)
def test_path_outside_is_refused(name, place):
    with pytest.raises(InvalidImage, match=r"outside of the folders .* with a further --folder"):
        Folders([place / "images"]).find(name.format(place=place))


@pytest.mark.parametrize("name", ["no.png", "", ".", "deep", "round", "a\0b", "~", "note.txt/x"])
def test_path_without_an_image_is_refused(name, place):
    with pytest.raises(InvalidImage, match=r"does not exist, or is no file|is no path"):
        Folders([place / "images"]).find(name)


@given(
    parts=st.lists(
        st.sampled_from(
            (
                ".. . out in deep images private images-too link.png red-star.png inside.png round"
                " {place} /"
            ).split()
        ),
        max_size=7,
    )
)
@settings(max_examples=tries(300))
def test_no_path_leads_out(parts, place):
    try:
        found = Folders([place / "images"]).find("/".join(parts).replace("{place}", str(place)))
    except InvalidImage:
        return
    assert Path(os.path.realpath(found)).is_relative_to(place / "images")


def test_several_folders_are_looked_through(place):
    folders = Folders([place / "images" / "deep", place / "private"])
    assert folders.find("red-star.png") == place / "private" / "red-star.png"


def test_folders_must_be_named():
    with pytest.raises(InvalidInput, match="name at least one folder by --folder"):
        Folders([])
