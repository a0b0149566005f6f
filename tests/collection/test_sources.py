"""What a source lists, and what is read of it."""

from __future__ import annotations

import io
import os
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_folders import SAMPLES, draw

from align_zoo.collection.sources import Input, list_source, read_bytes
from align_zoo.errors import AlignZooError, InvalidImage


def names(source, root):
    return [os.path.relpath(item.path, root) for item in list_source(source)]


def test_a_folder_is_listed_whatever_the_case(images):
    draw(images / "z.PNG", 50).rename(images / "z.PnG")
    assert len(names(images, images)) == 13


@pytest.mark.parametrize(
    "name",
    [".hidden.png", ".tools/a.png", "@eaDir/a.png", "a.txt", "__MACOSX/a.png"],
)
def test_other_files_are_left_out(images, name):
    draw(images / "c.png", 50)
    (images / name).parent.mkdir(exist_ok=True)
    (images / "c.png").rename(images / name)
    assert len(names(images, images)) == 12


@pytest.mark.parametrize(
    "name",
    [
        b"new\nline.png",
        b"quote'\".png",
        b"bytes\xff\xfe.png",
        ("写" * 60 + ".png").encode(),
        b" .png",
    ],
    ids=["newline", "quotes", "not-utf8", "chinese", "space"],
)
def test_odd_names_are_listed_and_read(tmp_path, name):
    data = (SAMPLES / "red-star.png").read_bytes()
    (tmp_path / os.fsdecode(name)).write_bytes(data)
    (item,) = list_source(tmp_path)
    assert os.fsencode(item.path) == os.fsencode(tmp_path) + b"/" + name
    assert read_bytes(item) == data


def test_a_pattern_lists_its_matches(images):
    assert sorted(names(str(images / "**/0*.png"), images)) == sorted(
        name for name in names(images, images) if name.rpartition("/")[2].startswith("0")
    )


def test_a_table_keeps_its_further_columns(images):
    (images / "t.csv").write_text("title,path,year\nOne,00.png,1999\nTwo,a/01.png,2000\n")
    first, second = list_source(images / "t.csv")
    assert first.path == str(images / "00.png")
    assert dict(second.columns) == {"title": "Two", "year": "2000"}
    pq.write_table(pa.table({"image": ["00.png"], "year": [7]}), images / "t.parquet")
    (only,) = list_source(images / "t.parquet")
    assert (only.path, dict(only.columns)) == (first.path, {"year": 7})


def test_an_archive_gives_each_member_with_its_caption(tmp_path):
    data = [(SAMPLES / name).read_bytes() for name in ("red-star.png", "digit-3.png")]
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        for i, content in enumerate(data):
            for name, part in ((f"{i}.txt", f"caption {i}\n".encode()), (f"{i}.png", content)):
                info = tarfile.TarInfo(name)
                info.size = len(part)
                archive.addfile(info, io.BytesIO(part))
    items = list(list_source(tmp_path / "s.tar"))
    assert [read_bytes(item) for item in items] == data
    assert [item.columns["caption"] for item in items] == ["caption 0", "caption 1"]
    assert [item.path for item in items] == [f"{tmp_path}/s.tar/{i}.png" for i in (0, 1)]


def test_an_object_store_is_listed_by_its_url(images):
    import fsspec

    store = fsspec.filesystem("memory")
    data = (images / "00.png").read_bytes()
    store.pipe({"/photos/a.png": data, "/photos/b/c.JPG": data, "/photos/.d.png": data})
    items = list(list_source("memory://photos"))
    assert [item.path for item in items] == ["memory:///photos/a.png", "memory:///photos/b/c.JPG"]
    assert read_bytes(items[0]) == data


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone", None, "there is no"),
        ("*.gif", None, "no image matches"),
        ("t.csv", b"title,year\na,b\n", "has no column of paths"),
        ("t.csv", b"path,year\na\n", "line 2: not as many columns"),
        ("t.csv", b"path\n\xff\n", "is no CSV file in UTF-8"),
        ("t.parquet", b"rubbish", "is no Parquet file"),
        ("t.tar", b"rubbish" * 1000, "is damaged"),
    ],
)
def test_a_source_that_cannot_be_listed_is_named(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AlignZooError, match=words):
        list(list_source(str(tmp_path / name)))


def test_unreadable_file_is_an_error_of_its_image(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(InvalidImage, match="the file cannot be read"):
            read_bytes(Input(str(path), 0, 0))
    assert read_bytes(Input(str(tmp_path / "pipe.png"), 0, 0)) == b""
