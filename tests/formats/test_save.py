"""What is written opens elsewhere with equal answers: in transformers, in timm, here."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import timm
import torch
from checkpoints import lively_model, save_checkpoint, small_config
from transformers import AlignModel, AlignProcessor
from typer.testing import CliRunner

import align_zoo
from align_zoo import CheckpointError
from align_zoo.checkpoint.config import AlignConfig
from align_zoo.checkpoint.folder import EMBEDDED
from align_zoo.cli import app
from align_zoo.formats.convert import convert, load_timm
from align_zoo.formats.save import save_hf, save_timm
from align_zoo.inputs.preprocess import AlignTransform

TEXTS = ["a photo of a cat", "the big red bus and a dog"]


def images(channels: int = 3) -> torch.Tensor:
    return torch.randn(2, channels, 75, 91, generator=torch.Generator().manual_seed(8))


@torch.inference_mode()
def answers(model, tokens, channels: int = 3) -> tuple[torch.Tensor, ...]:
    if isinstance(model, AlignModel):
        out = model.eval()(pixel_values=images(channels), **tokens)
    else:
        out = model(images(channels), tokens)
    return out.image_embeds, out.text_embeds, out.logits_per_image


def same(ours, theirs) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-5)


def test_transformers_opens_save_hfs_folder_with_equal_answers(opened, tmp_path, caplog):
    model, transform, tokenizer = opened
    save_hf(model, tmp_path / "new", transform=transform, tokenizer=tokenizer)
    theirs, report = AlignModel.from_pretrained(tmp_path / "new", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    same(answers(model, tokenizer(TEXTS)), answers(theirs, tokenizer(TEXTS)))


def test_the_written_processor_answers_as_the_sources(opened, source, tmp_path):
    model, transform, tokenizer = opened
    save_hf(model, tmp_path, transform=transform, tokenizer=tokenizer)
    one, other = (AlignProcessor.from_pretrained(folder) for folder in (source, tmp_path))
    assert one.image_processor.to_dict() == other.image_processor.to_dict()
    assert one.tokenizer(TEXTS) == other.tokenizer(TEXTS)


def test_an_older_processor_in_the_folder_is_replaced(opened, tmp_path):
    """transformers 5 believes processor_config.json before preprocessor_config.json."""
    model, transform, tokenizer = opened
    older = {"image_processor": transform.config, "processor_class": "AlignProcessor"}
    (tmp_path / "processor_config.json").write_text(json.dumps(older))
    other = transform.with_options(size=80, crop_size=75)
    save_hf(model, tmp_path, transform=other, tokenizer=tokenizer)
    assert align_zoo.create_align(tmp_path)[1] == other
    crop = AlignProcessor.from_pretrained(tmp_path).image_processor.crop_size
    assert (crop["height"], crop["width"]) == (75, 75)


@pytest.mark.parametrize("save", [save_hf, save_timm])
def test_saving_without_a_transform_keeps_the_processor(opened, tmp_path, save):
    (tmp_path / "processor_config.json").write_text("{}")
    save(opened[0], tmp_path)
    assert (tmp_path / "processor_config.json").read_text() == "{}"


@pytest.mark.parametrize("backend", ["", "Fast", "Pil"])
def test_the_written_processor_names_no_backend(opened, tmp_path, backend):
    """transformers 4 knows fewer of them, or none."""
    model, transform, tokenizer = opened
    name = "EfficientNetImageProcessor"
    config = {**transform.config, "image_processor_type": name + backend}
    save_hf(model, tmp_path, transform=AlignTransform.from_dict(config), tokenizer=tokenizer)
    written = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert written["image_processor_type"] == name


def test_every_field_of_the_config_is_written_back(opened, source, tmp_path):
    model, *_ = opened
    save_hf(model, tmp_path)
    old, new = (json.loads((f / "config.json").read_text()) for f in (source, tmp_path))
    for section in ("vision_config", "text_config"):
        ours = AlignConfig.from_dict(old)
        theirs = AlignConfig.from_dict(new)
        assert getattr(ours, section) == getattr(theirs, section)
    assert new["temperature_init_value"] == pytest.approx(0.07)
    assert old["projection_dim"] == new["projection_dim"]


def test_half_precision_stays_half(opened, tmp_path):
    model = copy.deepcopy(opened[0]).to(torch.bfloat16)
    save_hf(model, tmp_path)
    assert AlignModel.from_pretrained(tmp_path).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("save", "load"), [(save_hf, align_zoo.create_align), (save_timm, load_timm)]
)
def test_a_model_in_channels_last_is_written(opened, tmp_path, save, load):
    model, transform, tokenizer = copy.deepcopy(opened)
    save(
        model.to(memory_format=torch.channels_last),
        tmp_path,
        transform=transform,
        tokenizer=tokenizer,
    )
    same(answers(load(tmp_path)[0], tokenizer(TEXTS)), answers(opened[0], tokenizer(TEXTS)))


def test_other_input_channels_are_written(tmp_path):
    model, _, tokenizer = align_zoo.create_align("align_tiny")
    cfg = {"file": str(EMBEDDED["align_tiny"] / "model.safetensors")}
    image = timm.create_model(
        "align_tiny_image", pretrained=True, in_chans=1, pretrained_cfg_overlay=cfg
    )
    grey = align_zoo.Align(image, model.text, float(model.temperature.detach())).eval()
    save_hf(grey, tmp_path)
    theirs = AlignModel.from_pretrained(tmp_path)
    tokens = tokenizer(TEXTS)
    same(answers(grey, tokens, channels=1), answers(theirs, tokens, channels=1))


def test_a_batch_norm_eps_of_timms_is_written(opened, tmp_path):
    model = copy.deepcopy(opened[0])
    tower = timm.create_model(
        "align_base_image", bn_eps=0.5, config=dataclasses.asdict(model.image.config)
    )
    tower.load_state_dict(model.image.state_dict())
    model.image = tower.eval()
    save_hf(model, tmp_path)
    tokens = opened[2](TEXTS)
    same(answers(model, tokens), answers(AlignModel.from_pretrained(tmp_path), tokens))


def test_pruned_text_tower_is_saved_and_loaded(opened, tmp_path):
    model, transform, tokenizer = copy.deepcopy(opened)
    model.text.prune_intermediate_layers([0], prune_head=False)
    expected = answers(model, tokenizer(TEXTS))
    save_hf(model, tmp_path / "hf")
    same(expected, answers(AlignModel.from_pretrained(tmp_path / "hf"), tokenizer(TEXTS)))
    save_timm(model, tmp_path / "timm", transform=transform, tokenizer=tokenizer)
    same(expected, answers(load_timm(tmp_path / "timm")[0], tokenizer(TEXTS)))


def test_only_save_hf_refuses_an_output_stride(tmp_path):
    model, transform, tokenizer = align_zoo.create_align("align_tiny")
    model.image = timm.create_model("align_tiny_image", pretrained=True, output_stride=8).eval()
    with pytest.raises(CheckpointError, match="output_stride, which save_timm can write"):
        save_hf(model, tmp_path / "hf")
    save_timm(model, tmp_path / "timm", transform=transform, tokenizer=tokenizer)
    again, *_ = load_timm(tmp_path / "timm")
    same(answers(model, tokenizer(TEXTS)), answers(again, tokenizer(TEXTS)))


def test_pruned_image_tower_is_saved_and_loaded(opened, tmp_path):
    model, transform, tokenizer = copy.deepcopy(opened)
    model.image.prune_intermediate_layers([2])
    save_timm(model, tmp_path / "timm", transform=transform, tokenizer=tokenizer)
    again, *_ = load_timm(tmp_path / "timm")
    with torch.inference_mode():
        assert again.image(images()).ndim == 4  # pruning takes the pooling away
        assert torch.equal(again.image(images()), model.image(images()))
    with pytest.raises(CheckpointError, match="global_pool is ''"):
        save_hf(model, tmp_path / "hf")
    model.image.reset_classifier(0, "max")
    model.text.reset_classifier(model.image.num_features)
    save_hf(model.eval(), tmp_path / "hf", transform=transform, tokenizer=tokenizer)
    expected = answers(model, tokenizer(TEXTS))
    same(expected, answers(align_zoo.create_align(tmp_path / "hf")[0], tokenizer(TEXTS)))
    same(expected, answers(AlignModel.from_pretrained(tmp_path / "hf"), tokenizer(TEXTS)))


@pytest.mark.parametrize("save", [save_hf, save_timm])
def test_weights_are_as_readable_as_the_config(opened, tmp_path, save):
    """A server may run as another user than the one who trained."""
    save(opened[0], tmp_path)
    for config in tmp_path.rglob("config.json"):
        assert config.stat().st_mode == (config.parent / "model.safetensors").stat().st_mode


def test_failed_write_keeps_the_old_files(opened, tmp_path, monkeypatch):
    model, transform, tokenizer = opened
    save_hf(model, tmp_path, transform=transform, tokenizer=tokenizer)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    broken = copy.copy(tokenizer)
    broken.hf = None  # fails after the weights are written
    with pytest.raises(AttributeError):
        save_hf(model, tmp_path, transform=transform, tokenizer=broken)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_timms_folders_give_the_same_answers(opened, tmp_path):
    model, transform, tokenizer = opened
    save_timm(model, tmp_path, transform=transform, tokenizer=tokenizer)
    image = timm.create_model(f"local-dir:{tmp_path / 'image'}", pretrained=True).eval()
    text = timm.create_model(f"local-dir:{tmp_path / 'text'}", pretrained=True).eval()
    ids = tokenizer(TEXTS)["input_ids"]
    with torch.inference_mode():
        assert torch.equal(image(images()), model.encode_image(images()))
        assert torch.equal(text(ids), model.encode_text(ids))
    again, transform_again, tokenizer_again = load_timm(tmp_path)
    assert transform_again == transform
    assert tokenizer_again(TEXTS)["input_ids"].equal(tokenizer(TEXTS)["input_ids"])
    same(answers(again, tokenizer(TEXTS)), answers(model, tokenizer(TEXTS)))


def test_timm_folders_error_names_the_convert_command(opened, tmp_path):
    model, transform, tokenizer = opened
    save_timm(model, tmp_path, transform=transform, tokenizer=tokenizer)
    way = rf"`align-zoo convert {tmp_path} NEW_FOLDER --to hf`"
    with pytest.raises(CheckpointError, match=way):
        align_zoo.create_align(tmp_path)


def test_the_shell_converts_there_and_back(source, tmp_path):
    for args in (
        [str(source), str(tmp_path / "timm"), "--to", "timm"],
        [str(tmp_path / "timm"), str(tmp_path / "hf"), "--to", "hf"],
    ):
        result = CliRunner().invoke(app, ["convert", *args])
        assert result.exit_code == 0, result.output
    old, _, tokenizer = align_zoo.create_align(source)
    new, _, _ = align_zoo.create_align(tmp_path / "hf")
    same(answers(old, tokenizer(TEXTS)), answers(new, tokenizer(TEXTS)))
    same(
        answers(AlignModel.from_pretrained(tmp_path / "hf"), tokenizer(TEXTS)),
        answers(old, tokenizer(TEXTS)),
    )


def test_a_pickle_becomes_safetensors(tmp_path):
    theirs = lively_model(small_config(), seed=6)
    save_checkpoint(theirs, tmp_path / "bin", bin=True)
    convert(tmp_path / "bin", tmp_path / "new", "hf")
    assert (tmp_path / "new" / "model.safetensors").is_file()
    model, _, tokenizer = align_zoo.create_align(tmp_path / "new")
    same(answers(model, tokenizer(TEXTS)), answers(theirs, tokenizer(TEXTS)))
