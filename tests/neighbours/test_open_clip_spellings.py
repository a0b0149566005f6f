"""The open_clip column of docs/migration.md, on a small model of its kind and without a hub."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip_train.params import parse_args
from PIL import Image

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "align_zoo" / "assets" / "samples"
TOWER = {"layers": 2, "width": 64}
SMALL = {
    "embed_dim": 32,
    "vision_cfg": {**TOWER, "image_size": 224, "patch_size": 32},
    "text_cfg": {**TOWER, "context_length": 77, "vocab_size": 49408, "heads": 2},
}


def column() -> dict[str, list[str]]:
    """The column's code, by the row's title; rows without any are left out."""
    text = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w.*?) \|.*?\|(.*?)\|.*\|$", text, re.MULTILINE)
    code = {title: re.findall(r"`(.+?)`", theirs) for title, theirs in rows}
    return {title: lines for title, lines in code.items() if lines}


COMMANDS = {"fine-tune", "evaluate"}


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> dict[str, Any]:
    """What each row's last line answers, or the exception of the first that fails."""
    folder = tmp_path_factory.mktemp("open_clip")
    (folder / "small.json").write_text(json.dumps(SMALL))
    open_clip.add_model_config(folder / "small.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("small").state_dict(), folder / "small.pt")
    here = {"ViT-B-32": "small"}
    here |= dict.fromkeys(("laion2b_s34b_b79k", "/models/weights.pt"), str(folder / "small.pt"))
    names: dict[str, Any] = {
        "open_clip": open_clip,
        "torch": torch,
        "images": [Image.open(SAMPLES / f"{name}.png") for name in ("red-star", "digit-3")],
        "texts": ["a red star", "the digit three"],
    }
    found: dict[str, Any] = {}
    with contextlib.chdir(folder):
        for title, lines in column().items():
            if title in COMMANDS:
                continue
            try:
                for line in lines:
                    for real, small in here.items():
                        line = line.replace(f'"{real}"', f'"{small}"')
                    found[title] = _value(line, names)
            except Exception as error:
                found[title] = error
    return found


def _value(line: str, names: dict[str, Any]) -> Any:
    statement = re.fullmatch(r"([\w, ]+) = (.+)", line)
    if not statement:
        return eval(line, names)
    exec(line, names)
    return names.get(statement[1])


@pytest.mark.parametrize("title", sorted(column().keys() - COMMANDS))
def test_every_spelling_runs(answers, title):
    assert not isinstance(answers[title], Exception), repr(answers[title])


def test_rows_combine_like_the_other_columns(answers):
    """One row's names are the next row's, and what it calls logits are cosines by temperature."""
    images, logits = answers["embed images"], answers["logits, image by text"]
    assert images.shape == answers["embed texts"].shape == (2, 32)
    texts = torch.nn.functional.normalize(answers["embed texts"], dim=-1)
    cosines = torch.nn.functional.normalize(images, dim=-1) @ texts.T
    torch.testing.assert_close(logits, cosines / answers["the temperature"])
    assert answers["tokens to text"][0].startswith("<start_of_text>a red star")
    assert answers["cut at another length"].shape == (2, 4)


def test_open_clips_training_command_reads_our_csv():
    (line,) = column()["fine-tune"]
    given = parse_args(shlex.split(line.removeprefix("python -m open_clip_train.main ")))
    assert (given.train_data, given.csv_separator) == ("captions.csv", ",")
    assert (given.csv_img_key, given.csv_caption_key) == ("image", "caption")
