"""Captioned images are read from a CSV, and each fault is named with its line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from captioned import write_csv
from PIL import Image

from align_zoo.training.errors import TrainingError
from align_zoo.training.finetune import open_pairs


def image(colour="red", format="PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, format)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        (tmp_path / "images" / f"{name}.png").write_bytes(image())
    return tmp_path


def test_a_csvs_paths_are_relative_to_its_folder(folder):
    rows = [("images/a.png", "a cat"), ("images/b.png", " a dog, barking ")]
    pairs = open_pairs(write_csv(folder / "pairs.csv", rows))
    assert [pairs.read(i).caption for i in range(len(pairs))] == ["a cat", "a dog, barking"]
    assert pairs.read(0).image == image()


def test_byte_order_mark_and_further_columns_are_ignored(folder):
    path = folder / "pairs.csv"
    path.write_bytes("\ufeffcaption,source,image\nä cat,web,images/a.png\n".encode())
    assert open_pairs(path).read(0).caption == "ä cat"


def test_blank_lines_and_trailing_values_are_ignored(folder):
    path = folder / "pairs.csv"
    path.write_text("image,caption\n\nimages/a.png,a cat,,\n\n")
    assert open_pairs(path).read(0).caption == "a cat"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("image,text\nimages/a.png,a cat\n", "no column 'caption'"),
        ("picture,caption\nimages/a.png,a cat\n", "no column 'image'"),
        ("", "no column 'image'"),
        ("image,caption\n", "holds no captions"),
        ("image,caption\nimages/a.png,a cat\nimages/b.png,  \n", "line 3 has no caption"),
        ("image,caption\nimages/a.png\n", "line 2 has no caption"),
        ("image,caption\nimages/a.png,a cat\n ,a dog\n", "line 3 has no image"),
        ("image,caption\nimages/a.png,a cat\nz.png,a dog\n", "line 3: z.png does not exist"),
        # A caption may hold a line break: what counts is the line in the file.
        ('image,caption\nimages/a.png,"a\ncat"\nz.png,a dog\n', "line 4: z.png"),
        ("image,caption\nimages,a cat\n", "line 2: images does not exist"),
        (
            "image,caption\nimages/a.png,a cat\nimages/b.png,a dog, barking\n",
            "line 3 has more values than .* comma in double quotes",
        ),
        (
            'image,caption\nimages/a.png,"a cat\nimages/b.png,a dog\n',
            "row that begins at line 2 is no CSV: unexpected end of data",
        ),
        (
            'image,caption\n\nimages/a.png,"a cat\nimages/b.png,"a dog"\n',
            "row that begins at line 3 is no CSV: .* Double quotes enclose the whole value",
        ),
        ('"image,caption\nimages/a.png,a cat\n', "row that begins at line 1 is no CSV"),
    ],
)
def test_csv_error_names_its_line(folder, content, named):
    path = folder / "pairs.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TrainingError, match=named) as refused:
        open_pairs(path)
    assert str(path) in str(refused.value)


def test_many_faults_are_counted_and_the_first_named(folder):
    rows = [(f"{i}.png", "a cat") for i in range(20)]
    with pytest.raises(TrainingError, match=r"line 2: 0\.png.*and 15 more"):
        open_pairs(write_csv(folder / "pairs.csv", rows))


def test_a_csv_in_another_encoding_is_refused(folder):
    (folder / "pairs.csv").write_bytes("image,caption\nimages/a.png,é\n".encode("latin-1"))
    with pytest.raises(TrainingError, match="UTF-8"):
        open_pairs(folder / "pairs.csv")


def test_fingerprint_covers_captions_and_order(folder):
    rows = [("images/a.png", "a cat"), ("images/b.png", "a dog")]
    other = [("images/a.png", "a cat"), ("images/b.png", "a log")]
    found = {
        open_pairs(write_csv(folder / f"{i}.csv", some)).fingerprint
        for i, some in enumerate((rows, rows, other, rows[::-1]))
    }
    assert len(found) == 3
