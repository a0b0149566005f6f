"""What is wrong with a checkpoint is said by name and file, and nothing is half-loaded."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import timm
import torch
from checkpoints import PREPROCESSOR, lively_model, save_checkpoint, small_config
from safetensors.torch import load_file, save_file
from transformers import AlignModel, AlignProcessor, BertTokenizerFast
from transformers.models.efficientnet.image_processing_pil_efficientnet import (
    EfficientNetImageProcessorPil,
)

import align_zoo
from align_zoo import CheckpointError
from align_zoo.checkpoint.folder import EMBEDDED, Checkpoint


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    return save_checkpoint(lively_model(small_config()), tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(sound, tmp_path) -> Path:
    """A sound checkpoint of the test's own, to damage."""
    return Path(shutil.copytree(sound, tmp_path / "checkpoint"))


def edit_weights(folder: Path, change) -> str:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)
    return str(path)


def edit_json(path: Path, **values) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refused(folder, *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        align_zoo.create_align(folder)
    for word in words:
        assert word in str(caught.value)


KEYS = [
    "vision_model.embeddings.convolution.weight",
    "vision_model.encoder.blocks.3.projection.project_bn.running_var",
    "vision_model.encoder.blocks.0.squeeze_excite.reduce.bias",
    "text_model.encoder.layer.1.output.dense.weight",
    "text_model.embeddings.LayerNorm.bias",
    "text_projection.weight",
    "temperature",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_weight_is_named(folder, key):
    path = edit_weights(folder, lambda weights: weights.pop(key))
    refused(folder, key, path, "missing")


@pytest.mark.parametrize("key", KEYS[:-1])
def test_a_renamed_weight_is_named_on_both_sides(folder, key):
    wrong = key.replace("_model", "_model.other") if "_model" in key else key + ".other"
    path = edit_weights(folder, lambda weights: weights.update({wrong: weights.pop(key)}))
    refused(folder, key, wrong, path, "missing", "left over")


@pytest.mark.parametrize("key", KEYS[:-1])
def test_weight_of_another_shape_names_both_shapes(folder, key):
    path = edit_weights(
        folder, lambda w: w.update({key: torch.zeros(*w[key].shape[:-1], w[key].shape[-1] + 1)})
    )
    refused(folder, key, path, "not [")


@pytest.mark.parametrize("key", ["vision_model.head.weight", "text_model.encoder.layer.9.new.bias"])
def test_a_left_over_weight_is_named(folder, key):
    path = edit_weights(folder, lambda weights: weights.update({key: torch.zeros(1)}))
    refused(folder, key, path, "left over")


@pytest.mark.parametrize("kind", ["image", "text"])
@pytest.mark.parametrize("classes", [None, 42])
def test_timms_loading_names_the_key_too(kind, classes, tmp_path):
    """timm stops checking as soon as num_classes differs; the filter does not."""
    tiny = load_file(EMBEDDED["align_tiny"] / "model.safetensors")
    key = {
        "image": "vision_model.encoder.blocks.1.expansion.expand_bn.weight",
        "text": "text_model.encoder.layer.0.intermediate.dense.bias",
    }[kind]
    del tiny[key]
    path = tmp_path / "model.safetensors"
    save_file(tiny, path)
    kwargs = {} if classes is None else {"num_classes": classes}
    with pytest.raises(CheckpointError, match=re.escape(key)) as caught:
        timm.create_model(
            f"align_tiny_{kind}",
            pretrained=True,
            pretrained_cfg_overlay={"file": str(path)},
            **kwargs,
        )
    assert str(path) in str(caught.value)


def test_head_of_another_width_keeps_backbone_weights():
    for kind, x in (("image", torch.randn(1, 3, 49, 49)), ("text", torch.tensor([[2, 8, 3]]))):
        whole = timm.create_model(f"align_tiny_{kind}", pretrained=True).eval()
        other = timm.create_model(f"align_tiny_{kind}", pretrained=True, num_classes=7).eval()
        with torch.inference_mode():
            assert other(x).shape == (1, 7)
            assert torch.equal(whole.forward_features(x), other.forward_features(x))


# Every other field: test_config_variations.py.
@pytest.mark.parametrize(("field", "value"), [("projection_dim", 97), ("vision_config", 3)])
def test_unsupported_config_value_is_named_with_its_file(folder, field, value):
    path = folder / "config.json"
    edit_json(path, **{field: value})
    refused(folder, field, repr(value), str(path))


@pytest.mark.parametrize("model_type", ["clip", "bert", "align_vision_model", None])
def test_a_config_of_another_architecture_is_no_align(folder, model_type):
    path = folder / "config.json"
    edit_json(path, model_type=model_type)
    refused(folder, "model_type", repr(model_type), "'align'", str(path))


@pytest.mark.parametrize(
    "values",
    [
        {"size": {"shortest_edge": 346}},
        {"size": "large"},
        {"crop_size": {"height": 0, "width": 289}},
        {"crop_size": {"height": 500, "width": 500}},
        {"resample": 99},
        {"image_std": [0.5, 0.5], "do_normalize": True},
    ],
    ids=str,
)
def test_unsupported_preprocessor_value_is_named_with_its_file(folder, values):
    path = folder / "preprocessor_config.json"
    edit_json(path, **values)
    refused(folder, next(iter(values)), str(path))


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(tmp_path):
    config = small_config(text={"vocab_size": 40})
    folder = save_checkpoint(lively_model(config), tmp_path)
    refused(folder, "text_config.vocab_size is 40", str(folder))


def test_processor_config_takes_precedence_over_preprocessor_config(folder):
    options = {**PREPROCESSOR, "crop_size": {"height": 90, "width": 80}}
    image_processor = EfficientNetImageProcessorPil(**options)
    AlignProcessor(image_processor, BertTokenizerFast.from_pretrained(folder)).save_pretrained(
        folder
    )
    for _ in range(2):  # with and without the older file beside it
        assert align_zoo.create_align(folder)[1].crop == (90, 80)
        (folder / "preprocessor_config.json").unlink(missing_ok=True)


@pytest.mark.parametrize("content", ["rubbish", {"image_processor": [1]}, {"image_processor": 3}])
def test_a_damaged_processor_config_is_named(folder, content):
    path = folder / "processor_config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    refused(folder, str(path))


def test_processor_config_without_image_processor_is_ignored(folder):
    (folder / "processor_config.json").write_text('{"processor_class": "AlignProcessor"}')
    assert align_zoo.create_align(folder)[1].config == PREPROCESSOR


@pytest.mark.parametrize(
    "absent", ["config.json", "preprocessor_config.json", "model.safetensors", "tokenizer"]
)
def test_an_absent_file_is_named(folder, absent):
    for path in folder.glob(f"{absent}*") if absent == "tokenizer" else [folder / absent]:
        path.unlink()
    (folder / "vocab.txt").unlink() if absent == "tokenizer" else None
    refused(folder, absent, str(folder))


def test_missing_processor_error_says_where_to_get_one(folder, tmp_path):
    """As transformers' Trainer saves one that it was given no processor of."""
    bare = tmp_path / "bare"
    AlignModel.from_pretrained(folder).save_pretrained(bare)
    for files in ("preprocessor_config.json", "tokenizer*"):
        refused(bare, files.rstrip("*"), "copy", "the checkpoint that the model was trained from")
        for path in folder.glob(files):
            shutil.copy(path, bare)
    align_zoo.create_align(bare)


@pytest.mark.parametrize(
    "damaged", ["config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors"]
)
@pytest.mark.parametrize("content", [b"", b"rubbish \x00\xff", b"[]"])
def test_a_damaged_file_is_named(folder, damaged, content):
    (folder / damaged).write_bytes(content)
    refused(folder, str(folder) if damaged == "tokenizer.json" else str(folder / damaged))


def test_a_truncated_safetensors_file_is_named(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refused(folder, str(path))


def test_a_pickle_cannot_run_code(tmp_path):
    folder = save_checkpoint(lively_model(small_config()), tmp_path / "bin", bin=True)
    align_zoo.create_align(folder)
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (ran,))

    torch.save({"temperature": Evil()}, folder / "pytorch_model.bin")
    refused(folder, str(folder / "pytorch_model.bin"))
    assert not ran.exists()


def test_safetensors_come_before_a_pickle(folder):
    (folder / "pytorch_model.bin").write_bytes(b"rubbish")
    align_zoo.create_align(folder)


@pytest.mark.parametrize("name", ["no/such/folder/here", "./nowhere", "/nowhere", "", "a b"])
def test_a_folder_that_does_not_exist_is_named(name):
    refused(name, name)


def test_a_file_is_no_checkpoint(folder):
    refused(folder / "config.json", "is a file", "folder")


def test_a_folder_of_something_else_is_no_checkpoint(tmp_path):
    refused(tmp_path, str(tmp_path), "config.json")


def test_fingerprint_ignores_folders_and_dangling_links(folder):
    expected = Checkpoint("before", folder).fingerprint
    (folder / "notes.json").mkdir()
    (folder / "gone.json").symlink_to("nowhere")
    assert Checkpoint("after", folder).fingerprint == expected
    align_zoo.create_align(folder)
