"""A CSV of captions is read as its author meant it, or refused with a true reason."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align_zoo.errors import InvalidInput
from align_zoo.inputs.caption_csv import read_caption_csv, real_paths


def rows_of(folder: Path, content: str) -> list[tuple[str, str]]:
    path = folder / "captions.csv"
    path.write_text(content, encoding="utf-8", newline="")
    return [(row.image, row.caption) for row in read_caption_csv(path)]


@pytest.mark.parametrize(
    "content",
    [
        "image, caption\na.png, a star\n",
        ' image ," caption "\n a.png , a star \n',
        'image,caption\na.png, "a star"\n',
        'image,  caption\n"a.png",   "a star"\n',
        ' "image", "caption"\n "a.png", "a star"\n',
        "image,caption,source,source\na.png,a star,web,print\n",
        "image,caption\n\na.png,a star,,\n\n",
    ],
    ids="header all-around quoted-value both quoted-header other-column-twice blank-lines".split(),
)
def test_blanks_and_other_columns_do_not_count(tmp_path, content):
    assert rows_of(tmp_path, content) == [("a.png", "a star")]


def test_comma_in_quotes_after_a_blank_separates_nothing(tmp_path):
    assert rows_of(tmp_path, 'image,caption\na.png, "a star, red"\n') == [("a.png", "a star, red")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,caption,caption\na,b,c\n", "has 2 columns 'caption': .* 'image,caption,caption'"),
        ("image,caption, image\na,b,c\n", "has 2 columns 'image'"),
        ("image;caption\na;b\n", "no column 'image'.*; semicolons stand between its names"),
        ("image\tcaption\na\tb\n", "no column 'image'.*; tabs stand between its names"),
        ('image,caption\na.png,\t"a star"\n', "line 2 has white space other than blanks before a"),
        ('image,caption\na.png,\xa0"a star"\n', "line 2 has white space other than blanks"),
        ("image,caption\na.png,a star, red\n", "line 2 has more values than .* double quotes"),
        ('image,caption\na,"b\n', "the row that begins at line 2 is no CSV"),
        ('image,caption\na,"b\nc"\nd,"e\n', "the row that begins at line 4 is no CSV"),
        ("image,caption\n", "holds no captions"),
        ("", "no column 'image'"),
    ],
    ids="twice twice-with-a-blank semicolons tabs tab-quote hard-space-quote comma "
    "open-quote later-open-quote no-rows empty".split(),
)
def test_a_doubtful_file_is_refused_by_its_fault(tmp_path, content, message):
    with pytest.raises(InvalidInput, match=message):
        rows_of(tmp_path, content)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, r"captions\.csv does not exist$"),
        (Path.mkdir, r"captions\.csv cannot be read as a CSV in UTF-8: .*Is a directory"),
        (lambda path: path.write_bytes(b"image,\xff"), "cannot be read as .* can't decode"),
    ],
    ids=["absent", "folder", "latin-1"],
)
def test_text_that_is_no_csv_is_refused(tmp_path, make, message):
    make(tmp_path / "captions.csv")
    with pytest.raises(InvalidInput, match=message):
        read_caption_csv(tmp_path / "captions.csv")


@pytest.mark.parametrize(
    ("value", "caption"),
    [
        ('"""a"" star"', '"a" star'),
        ('" ""a"" star"', '"a" star'),
        ("\ta star", "a star"),
        ("", ""),
    ],
    ids=["quoted-quote", "blank-before-it", "tab", "none"],
)
def test_quotes_within_a_value_are_part_of_it(tmp_path, value, caption):
    assert rows_of(tmp_path, f"image,caption\na.png,{value}\n") == [("a.png", caption)]


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=20)
blanks = st.text(st.just(" "), max_size=2)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4), blanks, st.booleans())
def test_any_caption_survives_writing_and_reading(rows, blank, quoted):
    wanted = [(image.strip(), caption.strip()) for image, caption in rows]
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows([("image", "caption"), *wanted])
    content = buffer.getvalue()
    content = content.replace("caption", f"{blank}caption{blank}", 1)
    with tempfile.TemporaryDirectory() as folder:
        assert rows_of(Path(folder), content) == wanted


def test_file_has_one_real_path_for_all_spellings(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.png").touch()
    (tmp_path / "link.png").symlink_to("a.png")
    (tmp_path / "folder").symlink_to("sub")
    spellings = ["a.png", "./a.png", "sub/../a.png", "folder/../a.png", "link.png", "absent.png"]
    *same, absent = real_paths(tmp_path / name for name in spellings)
    assert set(same) == {os.path.realpath(tmp_path / "a.png")}
    assert absent == os.path.realpath(tmp_path / "absent.png")


@pytest.mark.parametrize("name", ["", "..", "sub/..", "folder/.."])
def test_folder_has_one_real_path_for_all_spellings(tmp_path, monkeypatch, name):
    (tmp_path / "sub").mkdir()
    (tmp_path / "folder").symlink_to("sub")
    monkeypatch.chdir(tmp_path)
    assert real_paths([Path(name)]) == [os.path.realpath(tmp_path / name)]
