"""Models that a format cannot hold, and places where no folder can be, are refused by name."""

from __future__ import annotations

import copy

import pytest

import align_zoo
from align_zoo import CheckpointError
from align_zoo.formats.save import save_hf, save_timm


def test_save_hf_refuses_a_classifier(opened, tmp_path):
    model = copy.deepcopy(opened[0])
    model.image.reset_classifier(7)
    with pytest.raises(CheckpointError, match="classifier of 7 classes"):
        save_hf(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_towers_that_do_not_meet_are_refused(opened, tmp_path):
    model = copy.deepcopy(opened[0])
    model.text.reset_classifier(5)
    with pytest.raises(CheckpointError, match="5 outputs"):
        save_hf(model, tmp_path)


def test_save_hf_refuses_an_unknown_pooling(opened, tmp_path):
    model = copy.deepcopy(opened[0])
    model.image.reset_classifier(0, "avgmax")
    with pytest.raises(CheckpointError, match="avgmax"):
        save_hf(model, tmp_path)


@pytest.mark.parametrize("save", [save_hf, save_timm])
@pytest.mark.parametrize("tower", ["image", "text"])
def test_saving_one_tower_alone_is_refused(opened, tmp_path, save, tower):
    with pytest.raises(align_zoo.InvalidInput, match=r"not both towers.*save_for_hf"):
        save(getattr(opened[0], tower), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_folders_place_is_named(opened, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="file"):
        save_hf(opened[0], tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
