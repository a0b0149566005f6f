"""A folder of timm's two towers: what stands in it is used as it is, or refused by its name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from align_zoo import CheckpointError, InvalidInput, create_align, save_hf, save_timm
from align_zoo.cli import app
from align_zoo.formats.convert import convert, load_timm


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    convert("align_tiny", folder, "timm")
    return folder


@pytest.fixture
def folder(sound, tmp_path) -> Path:
    """A sound folder of the test's own, to damage."""
    return Path(shutil.copytree(sound, tmp_path / "timm"))


def test_tilde_is_the_home_folder_in_every_path(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    convert("~/timm", "~/hf", "hf")
    assert {path.name for path in tmp_path.iterdir()} == {"timm", "hf"}
    model, transform, tokenizer = create_align("~/hf")
    save_timm(model, "~/again", transform=transform, tokenizer=tokenizer)
    assert load_timm("~/again")[0].temperature == model.temperature


def test_a_folder_may_hold_both_formats(folder):
    model, transform, tokenizer = load_timm(folder)
    save_hf(model, folder, transform=transform, tokenizer=tokenizer)
    for opened in (create_align(folder), load_timm(folder)):
        assert opened[0].temperature == model.temperature


def test_existing_file_as_target_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(CheckpointError, match="name a new folder"):
        convert("align_tiny", tmp_path / "mine", "hf")
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    "value", [0, -0.03, float("nan"), float("inf"), True, "0.03", None, [0.03]], ids=str
)
def test_unusable_temperature_is_refused(folder, value):
    (folder / "align.json").write_text(json.dumps({"temperature": value}))
    with pytest.raises(CheckpointError, match=r"align\.json: temperature is .* above 0"):
        load_timm(folder)


def test_a_temperature_may_be_a_whole_number(folder):
    (folder / "align.json").write_text('{"temperature": 2}')
    model, _, _ = load_timm(folder)
    assert model.temperature == 2
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize(
    "architecture", ["resnet50", "align_tiny_text", "vit_image", "align_image_text", None, 3]
)
def test_other_architecture_as_image_tower_is_refused(folder, architecture):
    path = folder / "image" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architecture": architecture}))
    with pytest.raises(CheckpointError) as caught:
        load_timm(folder)
    assert str(caught.value) == f"{path}: '{architecture}' is no image tower of ALIGN"


def test_towers_in_each_others_place_are_refused(folder):
    (folder / "image").rename(folder / "other")
    (folder / "text").rename(folder / "image")
    (folder / "other").rename(folder / "text")
    with pytest.raises(CheckpointError, match="'align_base_text' is no image tower of ALIGN"):
        load_timm(folder)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"architecture": "align_huge_text"}, "align_huge_text"),
        ({"model_args": [1]}, "list"),
        ({"model_args": {"config": 3}}, "int"),
        ({"model_args": {"config": {"vocab_size": "all"}}}, "text_config.vocab_size is 'all'"),
        ({"pretrained_cfg": 3}, "int"),
        ({"pretrained_cfg": {"colour": "red"}}, "colour"),
    ],
    ids=str,
)
def test_tower_that_timm_cannot_build_names_its_folder(folder, values, word):
    path = folder / "text" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises(CheckpointError) as caught:
        load_timm(folder)
    assert str(caught.value).startswith(f"{folder / 'text'} cannot be read as a timm model: ")
    assert word in str(caught.value)


def test_non_empty_target_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    result = CliRunner().invoke(app, ["convert", "align_tiny", str(tmp_path), "--to", "hf"])
    assert result.exit_code == 1
    assert "not empty" in result.output
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_another_format_is_refused_by_name(tmp_path):
    with pytest.raises(InvalidInput, match="'onnx'; there are hf, timm"):
        convert("align_tiny", tmp_path / "new", "onnx")


@pytest.mark.parametrize(
    ("file", "content", "word"),
    [
        ("align.json", "{}", "temperature"),
        ("image/config.json", '{"architecture": "resnet50"}', "resnet50"),
        ("image/model.safetensors", "rubbish", "image"),
        ("text/model.safetensors", None, "text"),
        ("text/config.json", None, "text/config.json"),
        ("vocab.txt", None, "tokenizer"),
    ],
)
def test_a_damaged_timm_folder_is_named(folder, file, content, word):
    if word == "tokenizer":
        (folder / "tokenizer.json").unlink()
        (folder / file).unlink(missing_ok=True)
    elif content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(CheckpointError, match=word):
        load_timm(folder)
