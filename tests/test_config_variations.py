"""Every field of transformers' ALIGN configs is honoured, touches no answer, or is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import transformers
from checkpoints import lively_model, save_checkpoint, small_config
from hypothesis import given, settings
from hypothesis import strategies as st
from variations import HONOURED, REFUSED, UNUSED, Row, compare

import align_zoo
from align_zoo import CheckpointError
from align_zoo.config import AlignConfig
from align_zoo.image_tower import AlignImage
from align_zoo.text_tower import AlignText


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
def test_a_field_that_moves_the_answer_moves_ours_alike(row, tmp_path):
    got = compare(row, tmp_path)
    assert got.moved > 1e-4
    assert max(got.image, got.text) < 1e-5


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return save_checkpoint(lively_model(small_config()), tmp_path_factory.mktemp("plain"))


@torch.inference_mode()
def answers(folder) -> list[torch.Tensor]:
    """The logits of transformers' model and of ours."""
    pictures = torch.randn(2, 3, 75, 75, generator=torch.Generator().manual_seed(0))
    model, _, tokenizer = align_zoo.create_align(folder)
    tokens = tokenizer(["a cat", "a big red dog"])
    theirs = transformers.AlignModel.from_pretrained(folder).eval()
    return [
        theirs(pixel_values=pictures, **tokens).logits_per_image,
        model(pictures, tokens).logits_per_image,
    ]


@pytest.fixture(scope="module")
def plain_answers(plain):
    return answers(plain)


@rows(UNUSED)
def test_a_field_that_is_not_used_touches_no_answer(row, plain, plain_answers, tmp_path):
    folder = shutil.copytree(plain, tmp_path / "edited")
    path = folder / "config.json"
    path.write_text(json.dumps(edited(row, json.loads(path.read_text()))))
    assert all(map(torch.equal, answers(folder), plain_answers))


@rows(REFUSED)
def test_a_value_that_is_not_supported_is_refused_by_name(row):
    with pytest.raises(CheckpointError) as caught:
        AlignConfig.from_dict(edited(row, small_config().to_dict()), source="the file")
    assert str(caught.value).startswith("the file: ")
    assert row.name in str(caught.value)


def test_a_pooling_window_below_the_feature_map_fails_in_transformers_too():
    config = small_config({"hidden_dim": 1}).vision_config
    assert config.image_size == 75  # at 64 and above the last map has more than one pixel
    with pytest.raises(RuntimeError, match="shape"):
        transformers.AlignVisionModel(config)(torch.randn(1, 3, 75, 75))


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


def test_every_field_that_transformers_declares_is_in_a_table():
    assert len(DECLARED) > 30
    known = {(row.section, row.field) for row in [*HONOURED, *UNUSED, *REFUSED]}
    assert known >= DECLARED | OF_OLDER_VERSIONS


def test_every_field_is_honoured_or_unused_and_refused_in_part_only():
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


@settings(max_examples=300, deadline=None)
@given(changes=st.lists(st.tuples(st.sampled_from(FIELDS), VALUES), min_size=1, max_size=3))
def test_any_values_make_towers_or_are_refused_by_a_fields_name(changes):
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
