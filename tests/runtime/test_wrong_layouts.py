"""A layout in blocks that answers otherwise than its checkpoint is neither kept nor opened."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from checkpoints import FEW_BLOCKS, save_checkpoint, small_config
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from makers import MAKERS, photographs
from onnx import numpy_helper
from tries import tries

from align_zoo.errors import CheckpointError
from align_zoo.runtime.load import export_checkpoint
from align_zoo.runtime.onnx import nchwc
from align_zoo.runtime.onnx.comparison import check, read_references
from align_zoo.runtime.onnx.manifest import IMAGE, REFERENCES
from align_zoo.runtime.onnx.nchwc_rewrite import lay_out

PIXELS = photographs(4, 75).numpy()
OFF = 5e-4
"""An error of the unit embeddings of photographs that is no rounding."""


class Sound(NamedTuple):
    """The layout of a sound checkpoint."""

    graph: onnx.ModelProto
    export: Path
    layout: Path
    rows: np.ndarray
    """The unit embeddings of PIXELS."""


@pytest.fixture(scope="module", params=["Kaiming", "torch's start"])
def sound(request, tmp_path_factory) -> Sound:
    model = MAKERS[request.param](small_config(FEW_BLOCKS), 75)
    shared = export_checkpoint(save_checkpoint(model, tmp_path_factory.mktemp("sound")))
    # Exports are kept between tests, and may hold the layouts of other processors, too.
    others = nchwc.layout_folder(shared, "*").name
    export = tmp_path_factory.mktemp("own") / "export"
    shutil.copytree(shared, export, ignore=shutil.ignore_patterns(others))
    layout = lay_out(export / IMAGE)
    graph = onnx.load(layout / nchwc.GRAPH)
    return Sound(graph, export, layout, nchwc.BlockedImage(layout, 1)(PIXELS))


def weights(model: onnx.ModelProto, dims: int) -> list[onnx.TensorProto]:
    return [
        each
        for each in model.graph.initializer
        if len(each.dims) == dims and each.data_type == each.FLOAT
    ]


def convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [each for each in model.graph.node if each.op_type == "Conv"]


def change_weights(weight: onnx.TensorProto, draw) -> None:
    array = numpy_helper.to_array(weight).copy()
    flat = array.reshape(-1)
    flat[draw(st.integers(0, flat.size - 1))] += draw(st.sampled_from([-1.0, 0.1, 10.0]))
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))


def change_a_weight(model: onnx.ModelProto, draw) -> None:
    change_weights(draw(st.sampled_from(weights(model, 4))), draw)


def change_a_bias(model: onnx.ModelProto, draw) -> None:
    change_weights(draw(st.sampled_from(weights(model, 1))), draw)


def scale_all_weights(model: onnx.ModelProto, draw) -> None:
    weight = draw(st.sampled_from(weights(model, 4)))
    array = numpy_helper.to_array(weight) * np.float32(draw(st.sampled_from([-1.0, 0.9, 1.1])))
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))


def move_a_pad(model: onnx.ModelProto, draw) -> None:
    found = [(each, a) for each in convolutions(model) for a in each.attribute if a.name == "pads"]
    _, pads = draw(st.sampled_from([each for each in found if any(each[1].ints)]))
    top, left, bottom, right = pads.ints
    moved = draw(
        st.sampled_from([(top - 1, left, bottom + 1, right), (top, left - 1, bottom, right + 1)])
    )
    assume(min(moved) >= 0)
    pads.ints[:] = moved


def change_an_activation(model: onnx.ModelProto, draw) -> None:
    found = [each for each in model.graph.node if each.op_type in ("Sigmoid", "QuickGelu")]
    node = draw(st.sampled_from(found))
    del node.attribute[:]
    node.op_type, node.domain = draw(st.sampled_from(["Relu", "Tanh"])), ""


def exchange_biases(model: onnx.ModelProto, draw) -> None:
    biased = [each for each in convolutions(model) if len(each.input) > 2 and each.input[2]]
    sizes = {each.name: tuple(each.dims) for each in model.graph.initializer}
    one, other = draw(st.sampled_from(biased)), draw(st.sampled_from(biased))
    assume(sizes[one.input[2]] == sizes[other.input[2]])
    one.input[2], other.input[2] = other.input[2], one.input[2]


CHANGES = [
    change_a_weight,
    change_a_bias,
    scale_all_weights,
    move_a_pad,
    change_an_activation,
    exchange_biases,
]


def kept(sound: Sound, tower: nchwc.BlockedImage) -> bool:
    """Whether the layout passes the comparison that follows its making."""
    references = read_references(sound.export / REFERENCES)
    try:
        check(tower, references, tolerance=nchwc.TOLERANCE, what="laid out")
    except CheckpointError:
        return False
    return True


def opened(layout: Path) -> bool:
    """Whether a start takes the layout, whose digests fit."""
    nchwc.write_check(layout, layout.parent / REFERENCES)
    try:
        nchwc.open_blocked(layout, 1)
    except CheckpointError:
        return False
    return True


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__)
@settings(
    max_examples=tries(15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_wrong_layout_is_refused(sound, change, data):
    wrong = onnx.ModelProto()
    wrong.CopyFrom(sound.graph)
    change(wrong, data.draw)
    with tempfile.TemporaryDirectory() as place:
        layout = Path(place) / sound.layout.name
        layout.mkdir()
        shutil.copy(sound.export / REFERENCES, place)
        shutil.copy(sound.layout / nchwc.WEIGHTS, layout)
        onnx.save(wrong, layout / nchwc.GRAPH)
        tower = nchwc.BlockedImage(layout, 1)
        assume(np.abs(tower(PIXELS) - sound.rows).max() > OFF)
        assert not kept(sound, tower)
        assert not opened(layout)


def test_sound_layout_passes(sound):
    assert kept(sound, nchwc.BlockedImage(sound.layout, 1))
    assert opened(sound.layout)
