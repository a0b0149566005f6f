"""docs/migration.md is true: its spellings run, and the two columns answer alike."""

from __future__ import annotations

import contextlib
import csv
import re
import shlex
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import timm
import torch
import transformers
from PIL import Image
from typer.testing import CliRunner

import align_zoo
from align_zoo.checkpoint.fields import ACTIVATIONS
from align_zoo.checkpoint.folder import EMBEDDED
from align_zoo.cli import app
from align_zoo.inputs.processor_options import OPTIONS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
SAMPLES = ROOT / "align_zoo" / "assets" / "samples"


class Line(NamedTuple):
    """A row of the table: code in transformers and here."""

    title: str
    theirs: list[str]
    ours: list[str]


def table() -> list[Line]:
    rows = []
    for row in re.findall(r"^\| (\w.*?) \|(.*?)\|(?:.*?)\|(.*)\|$", TEXT, re.MULTILINE):
        title, theirs, ours = row
        rows.append(Line(title, re.findall(r"`(.+?)`", theirs), re.findall(r"`(.+?)`", ours)))
    return rows


def run(lines: list[str], names: dict[str, Any], folder: Path) -> Any:
    """Run the lines on the checkpoint in ``folder``; the last one's value, or a command's code."""
    value = None
    for line in lines:
        for real in ("kakaobrain/align-base", "/models/align-base"):
            line = line.replace(real, str(folder))
        line = line.replace("align_base_", "align_tiny_")
        if line.startswith("align-zoo "):
            done = CliRunner().invoke(app, shlex.split(line)[1:])
            assert done.exit_code == 0, done.output
            continue
        statement = re.fullmatch(r"([\w, ]+) = (.+)", line)
        if statement:
            exec(line, names)
            value = names.get(statement[1])
        else:
            value = eval(line, names)
    return value


@pytest.fixture(scope="module")
def in_folder(saved):
    with contextlib.chdir(saved):
        yield


THEIRS = ("AlignModel", "AlignProcessor", "pipeline")


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A folder to work in, with the data that the table's commands name."""
    folder = tmp_path_factory.mktemp("saved")
    rows = [["image", "caption"]]
    for path in sorted(SAMPLES.glob("*.png")):
        name = path.stem.replace("-", " ")
        (folder / "images" / name).mkdir(parents=True)
        copy = shutil.copy(path, folder / "images" / name)
        rows += [[copy, f"{form} {name}"] for form in ("a", "the", "my", "one", "some", "this")]
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def answers(saved, in_folder) -> dict[str, tuple[Any, Any]]:
    """What each row's code answers, in transformers and here; an exception where it fails."""
    images = [Image.open(SAMPLES / f"{name}.png") for name in ("red-star", "digit-3")]
    common = {"images": images, "texts": ["a red star", "the digit three"], "torch": torch}
    names = [
        {name: getattr(transformers, name) for name in THEIRS} | common,
        {"align_zoo": align_zoo, "timm": timm} | common,
    ]
    for each, side in zip(names, ("theirs", "ours"), strict=True):
        each["out"] = saved / side
    found = {}
    for row in table():
        values = []
        for lines, each in zip((row.theirs, row.ours), names, strict=True):
            try:
                values.append(run(lines, each, EMBEDDED["align_tiny"]))
            except Exception as error:
                values.append(error)
        found[row.title] = tuple(values)
    return found


TITLES = [row.title for row in table()]


@pytest.mark.parametrize("title", TITLES)
def test_every_spelling_runs(answers, title):
    assert next(row.ours for row in table() if row.title == title)
    for value in answers[title]:
        assert not isinstance(value, Exception), repr(value)


def plain(value: Any) -> Any:
    """A tensor, an array, a list of strings or the pipeline's scores, to compare; else None."""
    if isinstance(value, list) and isinstance(value[0], list):
        by_label = [{each["label"]: each["score"] for each in scores} for scores in value]
        return torch.tensor([[scores["star"], scores["ring"]] for scores in by_label])
    if isinstance(value, transformers.BatchEncoding):
        return value["input_ids"]
    return value if isinstance(value, torch.Tensor | np.ndarray | list) else None


def test_both_columns_answer_alike(answers):
    compared = []
    for title, (theirs, ours) in answers.items():
        theirs, ours = plain(theirs), plain(ours)
        if theirs is None or ours is None:
            continue
        compared.append(title)
        if isinstance(ours, list):
            assert ours == theirs, title
        else:
            torch.testing.assert_close(
                torch.as_tensor(ours).detach(),
                torch.as_tensor(theirs).detach(),
                atol=1e-4,
                rtol=1e-4,
                msg=lambda text, title=title: f"{title}: {text}",
            )
    assert len(compared) >= 20


def test_saved_folders_open_on_the_other_side(answers, saved):
    pixels = torch.randn(2, 3, 49, 49)
    expected = align_zoo.create_align("align_tiny")[0].encode_image(pixels)
    theirs = transformers.AlignModel.from_pretrained(saved / "ours")
    torch.testing.assert_close(theirs.get_image_features(pixels).pooler_output, expected)
    transformers.AlignProcessor.from_pretrained(saved / "ours")
    model, _, _ = align_zoo.create_align(saved / "theirs")
    torch.testing.assert_close(model.encode_image(pixels), expected)


@pytest.mark.parametrize(
    ("kind", "tower", "key"),
    [
        ("AlignVisionModel", "vision_model", "embeddings.convolution.weight"),
        ("AlignTextModel", "text_model", "embeddings.word_embeddings.weight"),
    ],
)
def test_transformers_tower_of_whole_checkpoint_is_random(kind, tower, key):
    """Why the table names AlignModel's tower; where this fails, the page can be simpler."""
    folder = EMBEDDED["align_tiny"]
    alone = getattr(transformers, kind).from_pretrained(folder).state_dict()[key]
    whole = transformers.AlignModel.from_pretrained(folder).state_dict()[f"{tower}.{key}"]
    assert not torch.equal(alone, whole)


def test_page_lists_all_options_and_activations():
    listed = set(
        re.findall(r"`(\w+)`", TEXT[TEXT.index("The rows above") : TEXT.index("Four things")])
    )
    assert listed == {*OPTIONS, "with_options"}
    start = TEXT.index("`hidden_act` is one of")
    assert set(re.findall(r"`(\w+)`", TEXT[start : TEXT.index("`selu`")])) == {
        "hidden_act",
        *ACTIVATIONS,
    }
    assert "selu" not in transformers.activations.ACT2FN
