"""Of a folder's files none is lost: each is an image, or left out by name and with a reason."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from align_zoo.errors import AlignZooError
from align_zoo.evaluation.image_folder import read_image_folder
from align_zoo.evaluation.run import EvaluateOptions, evaluate


def image(format="PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(buffer, format)
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path):
    """Two classes of one image each."""
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "a.png").write_bytes(image())
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("b.jfif", "JPEG"),
        ("b.JPE", "JPEG"),
        ("b.jif", "JPEG"),
        ("b.TIFF", "TIFF"),
        ("b.dib", "BMP"),
        ("b", "WEBP"),
        ("b.jpg_large", "JPEG"),
        ("b.jpg.1", "JPEG"),
        ("b.txt", "GIF"),
    ],
)
def test_images_are_recognised_by_name_or_content(root, name, format):
    (root / "cat" / name).write_bytes(image(format))
    data = read_image_folder(root)
    assert root / "cat" / name in data.files
    assert not data.left_out


@pytest.mark.parametrize(
    ("name", "files", "reason"),
    [
        ("cat/.ipynb_checkpoints/a-checkpoint.png", 1, "a hidden folder, or one that tools make"),
        ("cat/__MACOSX/deep/a.png", 1, "a hidden folder, or one that tools make"),
        ("cat/@eaDir/a.png/thumb.jpg", 1, "a hidden folder, or one that tools make"),
        ("__MACOSX/cat/a.png", 1, "a hidden folder, or one that tools make"),
        (".git/objects/a", 1, "a hidden folder, or one that tools make"),
        ("cat/._a.png", 1, "a hidden file"),
        ("cat/Thumbs.db", 1, "no image in an accepted format"),
        ("cat/a.jp2", 1, "no image in an accepted format"),
        ("beside.png", 1, "not in the folder of a class"),
    ],
)
def test_other_files_are_left_out_with_reasons(root, name, files, reason):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(b"\0\0\0\x0cjP  " if name.endswith((".db", ".jp2")) else image())
    data = read_image_folder(root)
    assert data.folders == ["cat", "dog"]
    assert data.files == [root / "cat" / "a.png", root / "dog" / "a.png"]
    (left,) = data.left_out
    assert (left.files, left.reason.partition(" (")[0]) == (files, reason)
    assert (root / name).is_relative_to(left.path)


def test_file_under_two_names_is_counted_once(root):
    (root / "cat" / "link.png").symlink_to("a.png")
    (root / "dog" / "link.png").symlink_to(root / "cat" / "a.png")
    data = read_image_folder(root)
    assert Counter(data.targets) == {0: 1, 1: 2}  # two classes may share an image
    assert [(each.path.name, each.reason) for each in data.left_out] == [
        ("link.png", f"the same file as {root / 'cat' / 'a.png'}")
    ]


def test_folder_under_two_names_is_read_once(root):
    (root / "cat" / "link").symlink_to(root / "dog")
    (root / "cat" / "same").symlink_to(root / "dog")
    (root / "dog" / "back").symlink_to(root / "cat")
    data = read_image_folder(root)
    assert data.files == [root / name for name in ("cat/a.png", "cat/link/a.png", "dog/a.png")] + [
        root / "dog" / "back" / "a.png"
    ]
    assert not data.left_out


@pytest.mark.parametrize("name", ["cat", "cat/deep"])
def test_folder_that_cannot_be_listed_is_an_error(root, monkeypatch, name):
    (root / "cat" / "deep").mkdir()
    scan = os.scandir

    def refuse(path):
        if Path(path) == root / name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match=f"{name}'$"):
        read_image_folder(root)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(PermissionError, None), (FileNotFoundError, "gone")],
    ids=["locked", "removed-meanwhile"],
)
def test_locked_file_is_kept_and_removed_file_omitted(root, monkeypatch, error, reason):
    (root / "cat" / "b").write_bytes(image())

    def fail(path, mode):
        raise error(path)

    monkeypatch.setattr(Path, "open", fail)
    data = read_image_folder(root)
    assert (root / "cat" / "b" in data.files) == (reason is None)
    assert [each.reason for each in data.left_out] == ([reason] if reason else [])


def test_a_link_that_leads_nowhere_is_left_out(root):
    (root / "cat" / "b.png").symlink_to("absent.png")
    (left,) = read_image_folder(root).left_out
    assert (left.path, left.reason) == (root / "cat" / "b.png", "a link that leads nowhere")


@pytest.mark.parametrize("classes", [0, 1])
def test_fewer_than_two_classes_are_refused(root, classes):
    for name in ["cat", "dog"][classes:]:
        shutil.rmtree(root / name)
    with pytest.raises(AlignZooError, match=f"each class, at least two; it holds {classes}$"):
        read_image_folder(root)


def test_pipe_is_left_out_without_waiting(root):
    os.mkfifo(root / "cat" / "pipe.png")
    (left,) = read_image_folder(root).left_out
    assert left.reason == "a pipe, a socket or a device"


def test_a_folder_without_images_says_what_it_holds(root):
    for path in root.rglob("*.png"):
        path.rename(path.with_suffix(".txt")).write_text("a cat")
    with pytest.raises(AlignZooError, match=r"no images .*; 2 files are left out, .*a\.txt: no"):
        read_image_folder(root)


folders = st.sampled_from(["", "deep", ".hidden", "__MACOSX", "deep/@eaDir", "deep/deeper"])
names = st.sampled_from(["a", "b.c", ".a", "é"])
suffixes = st.sampled_from(["", ".png", ".JPE", ".txt", ".json", ".jpg.part"])
contents = st.sampled_from([b"", b"text", image(), image("JPEG"), image()[:50], None])
classes = st.sampled_from(["cat", "dog", ".cache", "__MACOSX", "."])
entries = st.tuples(classes, folders, names, suffixes, contents)


@given(st.lists(entries, max_size=12))
def test_images_and_omissions_cover_all_files(entries):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for kind in ("cat", "dog"):
            (root / kind).mkdir()
            (root / kind / "sound.png").write_bytes(image())
        for kind, folder, stem, suffix, content in entries:
            path = root / kind / (folder if kind != "." else "") / f"{stem}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() or path.is_symlink():
                continue
            if content is None:
                path.symlink_to(root / "cat" / "sound.png")
            else:
                path.write_bytes(content)
        there = sum(len(names) for _, _, names in os.walk(root))
        data = read_image_folder(root)
        assert len(data.files) + sum(each.files for each in data.left_out) == there
        assert len({*data.files, *(each.path for each in data.left_out)}) == len(
            [*data.files, *data.left_out]
        )


def test_read_left_out_and_failed_are_all_files(root, tmp_path):
    (root / "cat" / "broken.jpg").write_bytes(b"no")
    (root / "cat" / "empty.JFIF").touch()
    (root / "cat" / "notes.txt").write_text("no")
    (root / "dog" / ".cache").mkdir()
    (root / "dog" / ".cache" / "a.png").write_bytes(image())
    report = evaluate(EvaluateOptions(data=root, model="align_tiny", out=tmp_path / "out"))
    left_out = sum(entry["files"] for entry in report["left_out"])
    assert (report["images"], len(report["broken"]), left_out) == (2, 2, 2)
    assert sum(len(names) for _, _, names in os.walk(root)) == 6
