"""An image graph that answers otherwise than its checkpoint never passes the comparison."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from checkpoints import FEW_BLOCKS, save_checkpoint, small_config
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from makers import MAKERS, photographs
from onnx import numpy_helper
from tries import tries

from align_zoo.errors import CheckpointError
from align_zoo.runtime.load import export_checkpoint
from align_zoo.runtime.onnx import export as exporting
from align_zoo.runtime.onnx.comparison import check, read_references
from align_zoo.runtime.onnx.sessions import unit


@pytest.fixture(scope="module", params=["Kaiming", "bfloat16"])
def exported(request, tmp_path_factory) -> Path:
    """The export of a sound checkpoint."""
    model = MAKERS[request.param](small_config(FEW_BLOCKS), 75)
    return export_checkpoint(save_checkpoint(model, tmp_path_factory.mktemp("sound")))


@cache
def portable(folder: Path) -> onnx.ModelProto:
    return onnx.load(folder / "image.onnx")


def tower(model: onnx.ModelProto):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return lambda pixels: unit(session.run(None, {"pixels": pixels})[0])


def passes(folder: Path, model: onnx.ModelProto) -> bool:
    references = read_references(folder / "references.npz")
    try:
        check(tower(model), references, tolerance=exporting.TOLERANCE, what="image.onnx")
    except CheckpointError:
        return False
    return True


def scale_a_filter(model: onnx.ModelProto, draw) -> None:
    weights = [each for each in model.graph.initializer if len(each.dims) == 4]
    weight = weights[draw(st.integers(0, len(weights) - 1))]
    array = numpy_helper.to_array(weight).copy()
    array[draw(st.integers(0, len(array) - 1))] *= draw(st.sampled_from([-1.0, 0.0, 0.9, 1.1, 2.0]))
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))


def change_a_weight(model: onnx.ModelProto, draw) -> None:
    weights = [each for each in model.graph.initializer if len(each.dims) == 4]
    weight = weights[draw(st.integers(0, len(weights) - 1))]
    array = numpy_helper.to_array(weight).copy()
    flat = array.reshape(-1)
    flat[draw(st.integers(0, flat.size - 1))] += draw(st.sampled_from([-1.0, 0.01, 0.1, 10.0]))
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))


def move_a_pad(model: onnx.ModelProto, draw) -> None:
    padded = [
        (node, attribute)
        for node in model.graph.node
        for attribute in node.attribute
        if node.op_type == "Conv" and attribute.name == "pads" and any(attribute.ints)
    ]
    _, pads = padded[draw(st.integers(0, len(padded) - 1))]
    top, left, bottom, right = pads.ints
    moved = draw(
        st.sampled_from([(top - 1, left, bottom + 1, right), (top, left - 1, bottom, right + 1)])
    )
    assume(min(moved) >= 0)
    pads.ints[:] = moved


def change_a_bias(model: onnx.ModelProto, draw) -> None:
    biases = [
        each
        for each in model.graph.initializer
        if len(each.dims) == 1 and each.data_type == each.FLOAT
    ]
    bias = draw(st.sampled_from(biases))
    array = numpy_helper.to_array(bias).copy()
    array[draw(st.integers(0, array.size - 1))] += draw(st.sampled_from([-1.0, 0.1, 10.0]))
    bias.CopyFrom(numpy_helper.from_array(array, bias.name))


def change_an_activation(model: onnx.ModelProto, draw) -> None:
    nodes = [node for node in model.graph.node if node.op_type in ("Sigmoid", "Swish", "HardSwish")]
    node = nodes[draw(st.integers(0, len(nodes) - 1))]
    del node.attribute[:]
    node.op_type, node.domain = draw(st.sampled_from(["Relu", "Tanh", "HardSigmoid"])), ""


CHANGES = [scale_a_filter, change_a_weight, change_a_bias, move_a_pad, change_an_activation]


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__)
@settings(
    max_examples=tries(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_wrong_image_graph_is_refused(exported, change, data):
    wrong = onnx.ModelProto()
    wrong.CopyFrom(portable(exported))
    change(wrong, data.draw)
    pixels = photographs(8, 75).numpy()
    off = np.abs(tower(wrong)(pixels) - tower(portable(exported))(pixels)).max()
    assume(off > 5 * exporting.TOLERANCE)
    assert not passes(exported, wrong)


def test_the_sound_image_graph_passes(exported):
    assert passes(exported, portable(exported))
