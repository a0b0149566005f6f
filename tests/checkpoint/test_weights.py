"""Weight files: whole or in shards, safetensors or pickles, and nothing that is no weight."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from checkpoints import lively_model, save_checkpoint, small_config
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import relative_error
from safetensors.torch import load_file, save_file
from transformers import AlignModel
from tries import tries

import align_zoo
from align_zoo import CheckpointError
from align_zoo.checkpoint.folder import Checkpoint, open_checkpoint
from align_zoo.checkpoint.weights import read_weights


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    return save_checkpoint(lively_model(small_config()), tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def whole(sound) -> dict[str, torch.Tensor]:
    return load_file(sound / "model.safetensors")


@pytest.fixture(params=["safetensors", "bin"])
def sharded(request, sound, whole, tmp_path) -> Path:
    """The sound checkpoint in shards."""
    folder = Path(shutil.copytree(sound, tmp_path / "shards"))
    (folder / "model.safetensors").unlink()
    if request.param == "safetensors":
        AlignModel.from_pretrained(sound).save_pretrained(folder, max_shard_size="100KB")
    else:
        names = sorted(whole)
        weight_map = {}
        for shard in (1, 2):
            part = {name: whole[name] for name in names[shard - 1 :: 2]}
            weight_map |= dict.fromkeys(part, f"pytorch_model-{shard:05}-of-00002.bin")
            torch.save(part, folder / weight_map[names[shard - 1]])
        index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert len(a_shard(folder)) > 1
    return folder


def a_shard(folder: Path) -> list[Path]:
    return sorted(folder.glob("*-of-*"))


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        align_zoo.create_align(folder)
    for word in words:
        assert word in str(caught.value)


def test_shards_hold_what_one_file_holds(sharded, whole):
    weights = open_checkpoint(sharded).weights("vision_model.", "text_", "temperature")
    assert weights.keys() == whole.keys()
    assert all(torch.equal(weights[name], whole[name]) for name in whole)
    align_zoo.create_align(sharded)


def test_the_fingerprint_covers_every_shard(sharded):
    seen = {open_checkpoint(sharded).fingerprint}
    for shard in a_shard(sharded):
        shard.write_bytes(shard.read_bytes() + b"\0")
        seen.add(Checkpoint(str(sharded), sharded).fingerprint)
    assert len(seen) == len(a_shard(sharded)) + 1


def test_a_missing_shard_is_named(sharded):
    shard = a_shard(sharded)[1]
    shard.unlink()
    refused(sharded, str(shard), "index.json")


def test_a_damaged_shard_is_named(sharded):
    shard = a_shard(sharded)[1]
    shard.write_bytes(shard.read_bytes()[:-50])
    refused(sharded, str(shard))


@pytest.mark.parametrize(
    "content",
    [
        "rubbish",
        {},
        {"weight_map": {}},
        {"weight_map": ["a"]},
        {"weight_map": {"temperature": 3}},
        {"weight_map": {"temperature": "../elsewhere.safetensors"}},
        {"weight_map": {"temperature": "/elsewhere.safetensors"}},
        {"weight_map": {"temperature": "inside/../../elsewhere.safetensors"}},
        {"weight_map": {"temperature": "inside/shard.safetensors"}},
        {"weight_map": {"temperature": ".."}},
        {"weight_map": {"temperature": "."}},
        {"weight_map": {"temperature": ""}},
        {"weight_map": {"temperature": "a\0.safetensors"}},
    ],
    ids=str,
)
def test_index_without_shards_of_its_folder_is_refused(sharded, content):
    (index,) = sharded.glob("*.index.json")
    index.write_text(content if isinstance(content, str) else json.dumps(content))
    refused(sharded, str(index))


def test_shard_outside_the_folder_is_not_opened(sharded, whole):
    """Sound weights that an index reaches by a path are refused as any other name is."""
    outside = sharded.parent / "outside.safetensors"
    save_file(whole, outside)
    (index,) = sharded.glob("*.index.json")
    for name in ("../outside.safetensors", str(outside)):
        index.write_text(json.dumps({"weight_map": dict.fromkeys(whole, name)}))
        refused(sharded, str(index), repr(name), "no file of its folder")


def test_pickle_named_by_an_index_runs_no_code(sharded, tmp_path):
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (ran,))

    torch.save({"temperature": Evil()}, sharded / "shard.bin")
    (index,) = sharded.glob("*.index.json")
    index.write_text(json.dumps({"weight_map": {"temperature": "shard.bin"}}))
    refused(sharded, str(sharded / "shard.bin"))
    assert not ran.exists()


def test_links_to_weight_files_are_followed(sharded, whole, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in sharded.iterdir():
        (linked / path.name).symlink_to(path)
    weights = open_checkpoint(linked).weights("vision_model.", "text_", "temperature")
    assert weights.keys() == whole.keys()
    assert open_checkpoint(linked).fingerprint == open_checkpoint(sharded).fingerprint


def test_weight_missing_in_all_shards_is_named(sharded):
    for shard in a_shard(sharded):
        if shard.suffix == ".bin":
            part = torch.load(shard)
            part.pop("text_projection.bias", None)
            torch.save(part, shard)
        else:
            part = load_file(shard)
            part.pop("text_projection.bias", None)
            save_file(part, shard)
    (index,) = sharded.glob("*.index.json")
    refused(sharded, "text_projection.bias", "missing", str(index))


@pytest.mark.parametrize("kind", ["whole", "shards", "bin"])
def test_hub_id_is_found_in_the_cache(kind, sound, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "hub" / "models--some--align"
    folder = Path(shutil.copytree(sound, repository / "snapshots" / "0123abc"))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    if kind != "whole":
        (folder / "model.safetensors").unlink()
    if kind == "shards":
        AlignModel.from_pretrained(sound).save_pretrained(folder, max_shard_size="100KB")
    elif kind == "bin":
        torch.save(whole, folder / "pytorch_model.bin")
    model, _, _ = align_zoo.create_align("some/align", cache_dir=tmp_path / "hub")
    assert model.temperature == whole["temperature"]


@pytest.fixture
def folder(sound, tmp_path) -> Path:
    """A sound checkpoint of the test's own, to damage."""
    return Path(shutil.copytree(sound, tmp_path / "checkpoint"))


def test_a_whole_file_comes_before_an_index(folder):
    (folder / "model.safetensors.index.json").write_text("rubbish")
    align_zoo.create_align(folder)


SOME = [
    "vision_model.embeddings.convolution.weight",
    "vision_model.encoder.blocks.3.projection.project_bn.running_var",
    "text_model.encoder.layer.1.output.dense.weight",
    "text_projection.bias",
    "temperature",
]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")], ids=str)
@pytest.mark.parametrize("name", SOME)
def test_a_weight_that_is_no_number_is_named(folder, whole, name, value):
    spoilt = whole[name].clone()
    spoilt.view(-1)[-1] = value
    save_file({**whole, name: spoilt}, folder / "model.safetensors")
    refused(folder, name, "NaN or infinite", str(folder / "model.safetensors"))


def test_values_whose_sum_overflows_are_accepted(tmp_path):
    weights = {"text_projection.bias": torch.full((100,), 60_000, dtype=torch.float16)}
    save_file(weights, tmp_path / "model.safetensors")
    read = read_weights(tmp_path / "model.safetensors", "text_")
    assert torch.equal(read["text_projection.bias"], weights["text_projection.bias"])


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.uint8, torch.int64, torch.float8_e4m3fn, torch.float8_e5m2], ids=str
)
@pytest.mark.parametrize("name", SOME)
def test_quantised_weights_are_refused(folder, whole, name, dtype):
    save_file({**whole, name: whole[name].to(dtype)}, folder / "model.safetensors")
    refused(folder, name, str(dtype), "quantised", str(folder / "model.safetensors"))


@pytest.mark.parametrize("value", [0.0, -0.07, [0.07, 0.07], []], ids=str)
def test_unusable_temperature_is_refused(folder, whole, value):
    save_file({**whole, "temperature": torch.tensor(value)}, folder / "model.safetensors")
    refused(folder, "temperature", str(folder / "model.safetensors"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@torch.inference_mode()
def test_stored_precision_answers_as_transformers_in_float32(folder, whole, dtype):
    stored = {k: v.to(dtype) if v.is_floating_point() else v for k, v in whole.items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    model, _, tokenizer = align_zoo.create_align(folder, dtype=torch.float32)
    theirs = AlignModel.from_pretrained(folder, dtype=torch.float32).eval()
    images, tokens = torch.randn(2, 3, 75, 75), tokenizer(["a cat", "a dog"])
    expected = theirs(pixel_values=images, **tokens)
    got = model(images, tokens)
    assert relative_error(got.image_embeds, expected.image_embeds) < 1e-5
    assert relative_error(got.text_embeds, expected.text_embeds) < 1e-5


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "list"),
        ("weights", "str"),
        (torch.zeros(3), "Tensor"),
        ({"vision_model.embeddings": 0.07}, "float"),
        ({"vision_model.embeddings": "0.07"}, "str"),
        ({"state_dict": {"temperature": torch.tensor(0.07)}}, "missing"),
        ({3: torch.zeros(1)}, "missing"),
        ({}, "missing"),
    ],
    ids=str,
)
def test_a_pickle_of_something_else_is_refused(folder, content, reason):
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")
    refused(folder, reason, str(folder / "pytorch_model.bin"))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """A small file of each format, as bytes."""
    folder = tmp_path_factory.mktemp("files")
    weights = {"temperature": torch.tensor(0.07), "text_projection.bias": torch.ones(3)}
    save_file(weights, folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    torch.save(weights, folder / "old.bin", _use_new_zipfile_serialization=False)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=tries(300), deadline=None)
@given(
    name=st.sampled_from(["model.safetensors", "pytorch_model.bin", "old.bin"]),
    edits=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 5_000),
)
def test_damaged_bytes_give_weights_or_our_error(files, tmp_path_factory, name, edits, cut):
    data = bytearray(files[name])
    for position, value in edits:
        data[position % len(data)] = value
    path = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    path.write_bytes(bytes(data[:cut] if cut < len(data) else data))
    try:
        weights = read_weights(path, "temperature", "text_")
    except CheckpointError as error:
        assert str(path) in str(error)
    else:
        assert all(tensor.isfinite().all() for tensor in weights.values())
