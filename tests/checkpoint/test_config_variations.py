"""Every field of transformers' ALIGN configs is honoured, touches no answer, or is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import transformers
from checkpoints import PREPROCESSOR, lively_model, save_checkpoint, small_config
from hypothesis import given, settings
from hypothesis import strategies as st
from tries import tries
from variations import HONOURED, REFUSED, UNUSED, Row, compare

import align_zoo
from align_zoo import CheckpointError
from align_zoo.checkpoint.config import AlignConfig
from align_zoo.runtime.load import export_checkpoint
from align_zoo.towers.image_tower import AlignImage
from align_zoo.towers.text_tower import AlignText


def rows(table: list[Row]):
    return pytest.mark.parametrize("row", table, ids=lambda row: f"{row.name}={row.value}"[:80])


def edited(row: Row, config: dict) -> dict:
    """A parsed config.json with the row's value."""
    values = {**(row.also if row.section else {}), row.field: row.value}
    if row.section:
        section = f"{row.section}_config"
        return {**config, section: {**config[section], **values}}
    return {**config, **values}


@rows(HONOURED)
def test_honoured_field_changes_answers_as_in_transformers(row, tmp_path):
    got = compare(row, tmp_path)
    assert got.moved > 1e-4
    assert max(got.image, got.text) < 1e-5


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return save_checkpoint(lively_model(small_config()), tmp_path_factory.mktemp("plain"))


@torch.inference_mode()
def answers(folder) -> list[torch.Tensor]:
    """The logits of transformers' model and of ours."""
    images = torch.randn(2, 3, 75, 75, generator=torch.Generator().manual_seed(0))
    model, _, tokenizer = align_zoo.create_align(folder)
    tokens = tokenizer(["a cat", "a big red dog"])
    theirs = transformers.AlignModel.from_pretrained(folder).eval()
    return [
        theirs(pixel_values=images, **tokens).logits_per_image,
        model(images, tokens).logits_per_image,
    ]


@pytest.fixture(scope="module")
def plain_answers(plain):
    return answers(plain)


@rows(UNUSED)
def test_unused_field_changes_no_answer(row, plain, plain_answers, tmp_path):
    folder = shutil.copytree(plain, tmp_path / "edited")
    path = folder / "config.json"
    path.write_text(json.dumps(edited(row, json.loads(path.read_text()))))
    assert all(map(torch.equal, answers(folder), plain_answers))


@rows(REFUSED)
def test_unsupported_value_is_refused_by_name(row):
    with pytest.raises(CheckpointError) as caught:
        AlignConfig.from_dict(edited(row, small_config().to_dict()), source="the file")
    assert str(caught.value).startswith("the file: ")
    assert row.name in str(caught.value)


PIXELS = torch.zeros(1, 3, 75, 75)


def sized(side: int) -> dict:
    return {**PREPROCESSOR, "size": side, "crop_size": side}


@pytest.mark.parametrize(("window", "fits"), [(1, False), (2, True)])
def test_pooling_window_is_checked_against_the_preprocessors_size(window, fits, tmp_path):
    """At 75 the last feature map is 2 x 2; transformers fails where the window is smaller."""
    model = lively_model(small_config({"image_size": 600}))
    model.config.vision_config.hidden_dim = window
    folder = save_checkpoint(model, tmp_path, preprocessor=sized(75))
    theirs = transformers.AlignModel.from_pretrained(folder).vision_model.eval()
    if fits:
        torch.testing.assert_close(
            align_zoo.create_align(folder)[0].image(PIXELS), theirs(PIXELS).pooler_output
        )
        return
    with pytest.raises(RuntimeError, match="shape"):
        theirs(PIXELS)
    with pytest.raises(CheckpointError, match=r"hidden_dim is 1; .* images of 75 x 75"):
        align_zoo.create_align(folder)


TESTERS = {
    "kernel_sizes": [3, 3, 5],
    "in_channels": [32, 16, 24],
    "out_channels": [16, 24, 30],
    "hidden_dim": 64,
    "strides": [1, 1, 2],
    "num_block_repeats": [1, 1, 2],
    "expand_ratios": [1, 6, 6],
    "hidden_act": "gelu",
}
"""Of transformers' AlignVisionModelTester: images of 32 x 32, and image_size left at 600."""


def checkpoint_of_the_testers(folder, side: int):
    vision = transformers.AlignVisionConfig(num_channels=3, **TESTERS).to_dict()
    config = small_config(vision, projection_dim=64)
    return save_checkpoint(lively_model(config, size=32), folder, preprocessor=sized(side))


def test_the_checkpoints_of_transformers_own_tests_are_opened(tmp_path):
    folder = checkpoint_of_the_testers(tmp_path, 32)
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    theirs = transformers.AlignModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        expected = theirs.vision_model(pixels).pooler_output
        torch.testing.assert_close(align_zoo.create_align(folder)[0].image(pixels), expected)


@pytest.mark.parametrize(
    ("side", "named"), [(289, "hidden_dim is 64"), (3, "the preprocessor's size")]
)
def test_unfitting_image_size_is_refused_before_export(side, named, tmp_path, caplog):
    folder = checkpoint_of_the_testers(tmp_path, side)
    (folder / "model.safetensors").unlink()  # so little is read
    with pytest.raises(CheckpointError, match=named):
        align_zoo.load_encoder(folder)
    with pytest.raises(CheckpointError, match=named):
        export_checkpoint(folder)
    assert "exporting" not in caplog.text


# In transformers' documents, no longer in its classes.
OF_OLDER_VERSIONS = {("text", "position_embedding_type"), ("text", "use_cache")}
DECLARED = {
    (section, field)
    for section, kind in (
        ("vision", transformers.AlignVisionConfig),
        ("text", transformers.AlignTextConfig),
        ("", transformers.AlignConfig),
    )
    for field in vars(kind)["__annotations__"]
}


def test_every_field_of_transformers_is_in_a_table():
    assert len(DECLARED) > 30
    known = {(row.section, row.field) for row in [*HONOURED, *UNUSED, *REFUSED]}
    assert known >= DECLARED | OF_OLDER_VERSIONS


def test_no_field_is_only_refused():
    """But for what is one value and no other: refusing alone would honour nothing."""
    supported = {(row.section, row.field) for row in [*HONOURED, *UNUSED]}
    whole = {("", "vision_config"), ("", "text_config"), ("text", "position_embedding_type")}
    assert supported | whole >= DECLARED | OF_OLDER_VERSIONS


NUMBERS = st.one_of(
    st.integers(-(10**12), 10**12),
    st.integers(-8, 2000),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 0, 1, 2**31, 2**63]),
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.text(max_size=5),
    st.lists(NUMBERS, max_size=9),
    st.lists(st.integers(0, 12), min_size=7, max_size=7),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
FIELDS = sorted(DECLARED | OF_OLDER_VERSIONS | {("", "model_type"), ("", "quantization_config")})


@settings(max_examples=tries(300), deadline=None)
@given(changes=st.lists(st.tuples(st.sampled_from(FIELDS), VALUES), min_size=1, max_size=3))
def test_any_values_make_towers_or_name_a_field(changes):
    config = small_config().to_dict()
    for (section, field), value in changes:
        if section and isinstance(config[f"{section}_config"], dict):
            config[f"{section}_config"][field] = value
        elif not section:
            config[field] = value
    try:
        read = AlignConfig.from_dict(config)
    except CheckpointError as error:
        assert any(field in str(error) for _, field in FIELDS)
    else:
        with torch.device("meta"):
            AlignImage(config=read.vision_config, num_classes=0)
            AlignText(config=read.text_config, num_classes=read.projection_dim)
