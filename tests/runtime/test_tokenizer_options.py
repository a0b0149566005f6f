"""Options of a tokenizer that the runtimes do not know are refused, not ignored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

import align_zoo
from align_zoo.runtime.load import export_checkpoint

LONG = ["a photo of a cat " * 40 + "and a dog"]


def edited(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.fixture
def own(checkpoint, tmp_path) -> Path:
    """The checkpoint in a folder that a test may change."""
    return shutil.copytree(checkpoint, tmp_path / "own")


@pytest.mark.parametrize("runtime", ["auto", "onnx", "torch"])
@pytest.mark.parametrize(
    ("option", "value"),
    [("truncation_side", "left"), ("padding_side", "left"), ("split_special_tokens", True)],
)
def test_option_that_changes_answers_is_refused_by_name(own, option, value, runtime):
    edited(own / "tokenizer_config.json", **{option: value})
    with pytest.raises(align_zoo.CheckpointError, match=f"{option} is {value!r}.* create_align"):
        align_zoo.load_encoder(own, runtime=runtime, device="cpu")
    with pytest.raises(align_zoo.CheckpointError, match=option):
        export_checkpoint(own)


CUT = {"direction": "Left", "max_length": 64, "strategy": "LongestFirst", "stride": 0}


def test_truncation_side_in_tokenizer_json_is_found(own):
    edited(own / "tokenizer.json", truncation=CUT)
    with pytest.raises(align_zoo.CheckpointError, match="truncation_side is 'left'"):
        align_zoo.load_encoder(own, device="cpu")
    edited(own / "tokenizer_config.json", truncation_side="right")
    align_zoo.load_encoder(own, device="cpu", runtime="torch")


def test_old_tokenizer_without_side_cuts_at_the_end(own):
    edited(own / "tokenizer.json", truncation={k: v for k, v in CUT.items() if k != "direction"})
    encoder = align_zoo.load_encoder(own, device="cpu", runtime="torch")
    model, _, tokenizer = align_zoo.create_align(own)
    with torch.inference_mode():
        expected = model.encode_text(tokenizer(LONG), normalize=True).numpy()
    np.testing.assert_allclose(encoder.embed_texts(LONG), expected, atol=1e-5)


def test_create_align_cuts_where_transformers_cuts(own):
    edited(own / "tokenizer_config.json", truncation_side="left")
    theirs = AutoTokenizer.from_pretrained(own)
    expected = theirs(LONG, truncation=True, max_length=64, return_tensors="pt")["input_ids"]
    _, _, ours = align_zoo.create_align(own)
    assert torch.equal(ours(LONG)["input_ids"], expected)
