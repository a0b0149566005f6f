"""Retrieval both ways on images with captions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from align_zoo.errors import AlignZooError
from align_zoo.evaluation.captions import read_captions
from align_zoo.evaluation.run import EvaluateOptions, evaluate


def run(data, out, **changes):
    return evaluate(EvaluateOptions(data=data, model="align_tiny", out=out, **changes))


@pytest.fixture(scope="module")
def report(captions, tmp_path_factory):
    return run(captions, tmp_path_factory.mktemp("out"))


def test_images_and_captions_find_each_other(report):
    assert (report["images"], report["captions"]) == (80, 240)
    for way in ("text_to_image", "image_to_text"):
        first, five, ten = (report[way][f"R@{k}"] for k in (1, 5, 10))
        assert 0.9 <= first <= five <= ten <= 1
        assert five >= 0.98


def test_captions_of_other_images_find_nothing(captions, tmp_path):
    content = json.loads(captions.read_text())
    ids = [image["id"] for image in content["images"]]
    for annotation in content["annotations"]:
        # Nine on: another colour and another shape.
        annotation["image_id"] = ids[(ids.index(annotation["image_id"]) + 9) % len(ids)]
    moved = tmp_path / "moved.json"
    moved.write_text(json.dumps(content))
    report = run(moved, tmp_path / "out", images=captions.parent)
    assert report["text_to_image"]["R@1"] <= 0.05
    assert report["image_to_text"]["R@1"] <= 0.05


def test_csv_and_json_give_the_same_report(captions, report, tmp_path):
    same = run(captions.with_suffix(".csv"), tmp_path)
    for field in ("images", "captions", "text_to_image", "image_to_text"):
        assert same[field] == report[field]


def test_captions_of_broken_images_are_left_out(captions, tmp_path):
    (tmp_path / "images").mkdir()
    for path in captions.parent.rglob("*.png"):
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "images" / "7.png").write_bytes(b"no")
    (tmp_path / "images" / "9.png").unlink()
    report = run(captions, tmp_path / "out", images=tmp_path)
    assert (report["images"], report["captions"]) == (78, 234)
    reasons = {entry["file"]: entry["reason"] for entry in report["broken"]}
    assert set(reasons) == {str(tmp_path / "images" / f"{i}.png") for i in (7, 9)}
    assert reasons[str(tmp_path / "images" / "9.png")] == "No such file or directory"
    assert report["text_to_image"]["R@1"] >= 0.9
    assert report["image_to_text"]["R@1"] >= 0.9


def test_image_without_captions_is_a_candidate_only(captions, tmp_path):
    content = json.loads(captions.read_text())
    silent = content["images"][0]["id"]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != silent]
    fewer = tmp_path / "fewer.json"
    fewer.write_text(json.dumps(content))
    report = run(fewer, tmp_path / "out", images=captions.parent)
    assert (report["images"], report["captions"]) == (80, 237)
    assert report["image_to_text"]["R@10"] >= 0.98


def test_readable_images_without_captions_are_refused(captions, tmp_path):
    content = json.loads(captions.read_text())
    first = content["images"][0]
    content["images"][1:] = [{"id": "x", "file_name": "absent.png"}]
    content["annotations"] = [{"image_id": "x", "caption": "a cat"}]
    path = tmp_path / "one.json"
    path.write_text(json.dumps(content))
    assert (captions.parent / first["file_name"]).exists()
    with pytest.raises(AlignZooError, match="has captions of can be read"):
        run(path, tmp_path / "out", images=captions.parent)


def test_csv_keeps_image_order_and_unusual_captions(tmp_path):
    rows = [("b.png", 'two\nlines, a "quote"'), ("a.png", "café\u2028☕"), ("b.png", "more")]
    path = tmp_path / "captions.CSV"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([("caption", "image"), *(row[::-1] for row in rows)])
    data = read_captions(path)
    assert data.files == [tmp_path / "b.png", tmp_path / "a.png"]
    assert data.texts == [text for _, text in rows]
    assert data.owners == [0, 1, 0]


def test_one_image_spelled_in_two_ways_is_one(tmp_path):
    path = tmp_path / "captions.csv"
    path.write_text("image,caption\na.png,one\n./a.png,two\nb//c.png,three\nb/./c.png,four\n")
    data = read_captions(path)
    assert data.files == [tmp_path / "a.png", tmp_path / "b" / "c.png"]
    assert data.owners == [0, 0, 1, 1]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_links_and_detours_lead_to_one_image(tmp_path, kind):
    (tmp_path / "a.png").touch()
    (tmp_path / "link.png").symlink_to("a.png")
    (tmp_path / "sub").mkdir()
    names = ["a.png", "b.png", "link.png", "sub/../a.png", str(tmp_path / "a.png")]
    path = tmp_path / f"captions.{kind}"
    if kind == "csv":
        path.write_text("\n".join(["image,caption", *(f"{name},one" for name in names)]))
    else:
        images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
        texts = [{"image_id": i, "caption": "one"} for i in range(len(names))]
        path.write_text(json.dumps({"images": images, "annotations": texts}))
    data = read_captions(path)
    assert data.files == [tmp_path / "a.png", tmp_path / "b.png"]
    assert data.owners == [0, 1, 0, 0, 0]
    assert {str(one): other for one, other in data.same.items()} == {
        str(tmp_path / name): tmp_path / "a.png" for name in ("link.png", "sub/../a.png")
    }


def test_whole_numbers_with_a_decimal_point_are_ids(tmp_path):
    path = tmp_path / "captions.json"
    images = [{"id": float(i), "file_name": f"{i}.png"} for i in range(3)]
    texts = [{"image_id": 2, "caption": "two"}, {"image_id": 0.0, "caption": "nought"}]
    path.write_text(json.dumps({"images": images, "annotations": texts}))
    assert read_captions(path).owners == [2, 0]


@pytest.mark.parametrize("idle", [{"templates": "photo"}, {"classnames": Path("names.json")}])
def test_an_option_for_classes_is_refused(captions, tmp_path, idle):
    with pytest.raises(AlignZooError, match=f"--{next(iter(idle))} is for a folder of classes; "):
        run(captions, tmp_path / "out", **idle)
    assert not (tmp_path / "out").exists()


IMAGE, TEXT = {"id": 1, "file_name": "a.png"}, {"image_id": 1, "caption": "a cat"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "a.json: it is neither a .csv nor COCO's JSON: Expecting property"),
        ("a.json", "[]", "no list of objects 'images'"),
        ("a.json", {"images": [IMAGE], "annotations": 3}, "no list of objects 'annotations'"),
        ("a.json", {"images": [IMAGE], "annotations": []}, "a.json holds no captions"),
        ("a.json", {"images": [{"id": 1}], "annotations": [TEXT]}, r"images\[0\]: file_name"),
        ("a.json", {"images": [{**IMAGE, "id": None}], "annotations": [TEXT]}, "id is None"),
        ("a.json", {"images": [IMAGE, IMAGE], "annotations": [TEXT]}, "id 1 is there twice"),
        (
            "a.json",
            {"images": [IMAGE, {**IMAGE, "id": 2}], "annotations": [TEXT]},
            r"images\[1\]: the file_name 'a.png' is there twice",
        ),
        (
            "a.json",
            {"images": [IMAGE], "annotations": [TEXT, {**TEXT, "image_id": 7}]},
            r"annotations\[1\]: there is no image with the id 7",
        ),
        (
            "a.json",
            {"images": [IMAGE], "annotations": [{**TEXT, "caption": "  "}]},
            r"annotations\[0\]: caption is '  '",
        ),
        (
            "a.json",
            {"images": [IMAGE, {"id": 2, "file_name": "./a.png"}], "annotations": [TEXT]},
            r"images\[1\]: the file_name 'a.png' is there twice",
        ),
        (
            "a.json",
            {"images": [{**IMAGE, "file_name": "a\0.png"}], "annotations": [TEXT]},
            r"images\[0\]: file_name is 'a\\x00.png', not the name of a file",
        ),
        (
            "a.json",
            {"images": [{**IMAGE, "file_name": "a\ud800.png"}], "annotations": [TEXT]},
            r"images\[0\]: file_name is 'a\\ud800.png', not the name of a file",
        ),
        (
            "a.json",
            {"images": [IMAGE], "annotations": [{**TEXT, "caption": "a \ud83d"}]},
            r"annotations\[0\]: caption is 'a \\ud83d', not a text",
        ),
        (
            "a.json",
            {"images": [{**IMAGE, "id": 1.5}], "annotations": [TEXT]},
            "1.5, neither a whole",
        ),
        ("a.json", {"images": [{**IMAGE, "id": True}], "annotations": [TEXT]}, "id is True"),
        (
            "a.json",
            {"images": [{**IMAGE, "id": 1e17}], "annotations": [TEXT]},
            r"images\[0\]: id is 1e\+17: so large an id .* is rounded",
        ),
        (
            "a.json",
            {"images": [{**IMAGE, "id": "1"}], "annotations": [TEXT]},
            r"annotations\[0\]: there is no image with the id 1; '1' is there, of another type",
        ),
        ("a.csv", "image,caption\na\0.png,a cat\n", "line 2: image is 'a.x00.png', not the name"),
        (
            "a.txt",
            "a.png a cat\n",
            r"a\.txt: it is neither a \.csv nor COCO's JSON: Expecting value",
        ),
        ("a.png", b"\x89PNG\r\n", r"a\.png: it is neither a \.csv nor COCO's JSON: 'utf-8' codec"),
        ("a.csv", "picture,caption\n", "no column 'image'"),
        ("a.csv", "", "no column 'image'"),
        ("a.csv", "image,caption\n", "a.csv holds no captions"),
        ("a.csv", "image,caption\na.png,a cat\nb.png\n", "line 3: caption is ''"),
        ("a.csv", "image,caption\n,a cat\n", "line 2: image is ''"),
        (
            "a.csv",
            b"image,caption\n\xff\xfe,x\n",
            "a.csv cannot be read as a CSV in UTF-8: .*can't decode",
        ),
    ],
)
def test_fault_of_a_file_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AlignZooError, match=message):
        read_captions(path)
