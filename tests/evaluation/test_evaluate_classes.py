"""Zero-shot accuracy on a folder with one folder a class."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from align_zoo.errors import AlignZooError
from align_zoo.evaluation.run import EvaluateOptions, evaluate
from align_zoo.towers.dual_encoder import Align


def run(data, out, **changes):
    return evaluate(EvaluateOptions(data=data, model="align_tiny", out=out, **changes))


@pytest.fixture(scope="module")
def whole(shapes, tmp_path_factory):
    """The report on all shapes, and the folder it was written to."""
    out = tmp_path_factory.mktemp("whole")
    return run(shapes, out, templates="a {}"), out


def test_the_shapes_are_found(whole):
    report, _ = whole
    assert report["images"] == 360
    assert report["top1"] >= 0.9
    assert report["top5"] >= 0.99
    assert report["mean_class_recall"] == pytest.approx(report["top1"])  # as many of each


@pytest.mark.parametrize("templates", ["none", "photo", "imagenet"])
def test_every_set_of_templates_finds_them(shapes, whole, templates):
    _, out = whole
    assert run(shapes, out.with_name(out.name + templates), templates=templates)["top1"] >= 0.9


def test_names_that_belong_to_other_folders_find_nothing(shapes, whole, tmp_path):
    """The control: an accuracy that survived this would not come from the images."""
    folders = [entry["folder"] for entry in whole[0]["classes"]]
    names = [folder.replace("_", " ") for folder in folders]
    # Seven on, so that neither colour nor shape stays.
    moved = dict(zip(folders, names[7:] + names[:7], strict=True))
    assert not any(set(f.split("_")) & set(n.split()) for f, n in moved.items())
    mapping = tmp_path / "names.json"
    mapping.write_text(json.dumps(moved))
    report = run(shapes, tmp_path, templates="a {}", classnames=mapping)
    assert report["top1"] <= 0.05
    assert [entry["name"] for entry in report["classes"]] == list(moved.values())


def test_the_report_is_the_file(whole):
    report, out = whole
    assert json.loads((out / "report.json").read_text()) == report
    assert report["task"] == "zero-shot classification"
    assert report["model"] == "align_tiny"
    assert report["templates"] == ["a {}"]
    assert len(report["classes"]) == 36
    assert report["classes"][0]["folder"] == "blue_circle"
    assert report["classes"][0]["name"] == "blue circle"
    assert report["classes"][0]["images"] == 10
    assert not report["broken"]
    assert not list(out.rglob("*.unfinished"))


def test_the_confusion_matrix_is_drawn(whole):
    with Image.open(whole[1] / "confusion.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 500


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_batch_size_changes_no_number(shapes, whole, tmp_path, batch_size):
    report = run(shapes, tmp_path, templates="a {}", batch_size=batch_size)
    assert report == whole[0]


@pytest.fixture
def two(shapes, tmp_path):
    """Two of the folders, to be changed."""
    root = tmp_path / "two"
    for name in ("red_star", "blue_ring"):
        shutil.copytree(shapes / name, root / name)
    return root


def test_broken_images_are_named_and_left_out(two, tmp_path):
    # In front of the others: what is left out must not move their classes.
    (two / "blue_ring" / "00.jpg").write_bytes(b"no image at all")
    (two / "red_star" / "zz.PNG").write_bytes(b"")
    (two / "red_star" / "gone.png").symlink_to(two / "nowhere.png")
    (two / "red_star" / "notes.txt").write_text("no image and not meant to be")
    report = run(two, tmp_path / "out")
    assert report["images"] == 20
    broken = {entry["file"]: entry["reason"] for entry in report["broken"]}
    assert list(broken) == [str(two / "blue_ring" / "00.jpg"), str(two / "red_star" / "zz.PNG")]
    assert "accepted format" in broken[str(two / "blue_ring" / "00.jpg")]
    left_out = {Path(entry["file"]).name: entry["reason"] for entry in report["left_out"]}
    assert list(left_out) == ["gone.png", "notes.txt"]
    assert left_out["gone.png"] == "a link that leads nowhere"
    assert left_out["notes.txt"].startswith("no image in an accepted format (JPEG, ")
    assert report["top1"] == 1
    assert report["top5"] is None  # of two classes


def test_class_without_readable_images_is_a_candidate(two, tmp_path):
    (two / "green_cross").mkdir()
    report = run(two, tmp_path / "out")
    entry = report["classes"][1]
    assert entry == {"folder": "green_cross", "name": "green cross", "images": 0, "top1": None}
    assert report["mean_class_recall"] == 1


def test_images_in_folders_below_a_class_count(two, tmp_path):
    (two / "red_star" / "more").mkdir()
    next((two / "blue_ring").iterdir()).rename(two / "red_star" / "more" / "ring.png")
    report = run(two, tmp_path / "out")
    assert [entry["images"] for entry in report["classes"]] == [9, 11]
    # The ring among the stars is the one that is not found: each class counts alike.
    assert report["top1"] == pytest.approx(19 / 20)
    assert report["mean_class_recall"] == pytest.approx((1 + 10 / 11) / 2)


def test_linked_folders_are_counted_once(two, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (two / "red_star").rename(elsewhere)
    (two / "red_star").mkdir()
    (two / "red_star" / "part").symlink_to(elsewhere)
    (two / "red_star" / "same").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(two / "red_star")
    report = run(two, tmp_path / "out")
    assert [entry["images"] for entry in report["classes"]] == [10, 10]
    assert report["top1"] == 1


def test_names_with_a_byte_order_mark_are_read(two, tmp_path):
    options = names('\ufeff{"red_star": "red star", "blue_ring": "blue ring"}')(two)
    assert run(two, tmp_path / "out", **options)["top1"] == 1


def test_names_that_are_not_utf_8_are_escaped(two, tmp_path):
    folder = os.fsdecode(b"st\xffr")
    (two / "red_star").rename(two / folder)
    (two / folder / os.fsdecode(b"br\xffken.png")).write_bytes(b"no image")
    options = names(json.dumps({folder: "red star", "blue_ring": "blue ring"}))(two)
    report = run(two, tmp_path / "out", **options)
    assert report["top1"] == 1
    written = (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
    assert r"br\udcffken.png" in written
    assert json.loads(written) == report


def test_undecodable_class_folder_needs_a_name(two, tmp_path):
    (two / "red_star").rename(two / os.fsdecode(b"st\xffr"))
    with pytest.raises(AlignZooError, match=r"class name 1, 'st\\udcffr', cannot be written"):
        run(two, tmp_path / "out")
    assert not (tmp_path / "out" / "embeddings").exists()


def names(content):
    def write(root):
        path = root.with_name("names.json")
        path.write_text(content, encoding="utf-8")
        return {"classnames": path}

    return write


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (names('{"red_star": "red star"}'), "names 1 of 2 folders.*'blue_ring'"),
        (names('["red star"]'), "must be a JSON object"),
        (names("red star"), "names.json cannot be read as JSON"),
        (names('{"red_star": "red star", "blue_ring": " "}'), "class name 0 is blank"),
        (names(r'{"red_star": "\ud800", "blue_ring": "ring"}'), "class name 1, .* UTF-8"),
        (lambda root: {"classnames": root / "absent.json"}, "absent.json cannot be read"),
        (lambda root: {"images": root}, "--images is for a file of captions; .*two is a folder of"),
        (lambda root: {"templates": "a photo"}, "'a photo' needs {} exactly once"),
        (lambda root: {"device": "nonsense"}, "device 'nonsense' cannot be used"),
        (lambda root: {"device": "meta"}, "device 'meta' cannot be used"),
        (lambda root: {"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
        (lambda root: {"batch_size": 0}, "batch_size is 0"),
        (lambda root: {"data": root / "absent"}, "absent does not exist"),
        (lambda root: {"data": root / "red_star"}, "a folder for each class.*it holds 0"),
        (lambda root: {"out": next(root.rglob("*.png"))}, r"\.png is a file; results go to"),
        (lambda root: {"out": Path("/dev/null/out")}, "cannot go on: .*Not a dir"),
        (lambda root: {"model": str(root)}, "is no ALIGN checkpoint"),
    ],
)
def test_unusable_data_is_named(two, tmp_path, changes, message):
    options = {"data": two, "model": "align_tiny", "out": tmp_path / "out", **changes(two)}
    with pytest.raises(AlignZooError, match=message):
        evaluate(EvaluateOptions(**options))
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize("out", [".", "evaluation", "red_star/results", "../link/evaluation"])
def test_output_folder_among_the_classes_is_refused(two, tmp_path, monkeypatch, out):
    (tmp_path / "link").symlink_to(two)
    before = sorted(two.rglob("*"))
    monkeypatch.chdir(two)
    with pytest.raises(AlignZooError, match=r"lies in \., where every folder is a class, .* --out"):
        run(Path(), Path(out))
    assert sorted(two.rglob("*")) == before


def test_unreadable_folder_is_an_error(two, tmp_path, monkeypatch):
    locked = two / "red_star" / "locked"
    locked.mkdir()
    scan = os.scandir

    def refuse(path):
        if Path(path) == locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(AlignZooError, match=r"cannot go on: .*Permission denied: '.*/locked'"):
        run(two, tmp_path / "out")


def test_device_out_of_memory_names_the_way_out(two, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(Align, "encode_image", full)
    with pytest.raises(AlignZooError, match=r"no room for --batch-size 64; .* 20\.00 GiB"):
        run(two, tmp_path / "out", batch_size=64)


def test_images_that_are_all_broken_fail(two, tmp_path):
    for path in two.rglob("*.png"):
        path.write_bytes(b"no")
    with pytest.raises(AlignZooError, match=r"none of the 20 images can be read.*blue_ring"):
        run(two, tmp_path / "out")


def test_folders_without_images_fail(two, tmp_path):
    for path in two.rglob("*.png"):
        path.unlink()
    with pytest.raises(AlignZooError, match="hold no images"):
        run(two, tmp_path / "out")


def test_without_matplotlib_nothing_is_begun(two, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "align_zoo.evaluation.confusion_chart", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # as if it were not installed
    with pytest.raises(AlignZooError, match=r"pip install '\.\[evaluate\]'"):
        run(two, tmp_path / "out")
    assert not (tmp_path / "out" / "embeddings").exists()
