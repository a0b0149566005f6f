"""A graph that answers otherwise than its checkpoint never passes the comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from checkpoints import FEW_BLOCKS, save_checkpoint, small_config
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from makers import MAKERS, photographs
from onnx import numpy_helper
from tries import tries

from align_zoo import create_align
from align_zoo.errors import CheckpointError
from align_zoo.runtime.load import export_checkpoint
from align_zoo.runtime.onnx import export as exporting
from align_zoo.runtime.onnx import nchwc
from align_zoo.runtime.onnx.comparison import check, read_references
from align_zoo.runtime.onnx.sessions import unit

SIDE = 75


class Graph(NamedTuple):
    """A graph of an export, the product's comparison for it, and inputs that have no part in it."""

    sound: onnx.ModelProto
    tolerance: float
    compare: Callable[[onnx.ModelProto], None]
    inputs: dict[str, np.ndarray]

    def answers(self, model: onnx.ModelProto) -> np.ndarray:
        return unit(session_of(model).run(None, self.inputs)[0])

    def passes(self, model: onnx.ModelProto) -> bool:
        try:
            self.compare(model)
        except CheckpointError:
            return False
        return True


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # A graph that is laid out in blocks is in the optimizer's own dialect.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def image_graph(export: Path, graph: Path, tolerance: float) -> Graph:
    references = read_references(export / "references.npz")

    def compare(model: onnx.ModelProto) -> None:
        session = session_of(model)

        def tower(pixels: np.ndarray) -> np.ndarray:
            rows = [session.run(None, {"pixels": one[None]})[0] for one in pixels]
            return unit(np.concatenate(rows))

        check(tower, references, tolerance=tolerance, what="image.onnx")

    pixels = photographs(4, SIDE).numpy()
    return Graph(onnx.load(graph), tolerance, compare, {"pixels": pixels[:1]})


def text_graph(checkpoint: Path, export: Path, folder: Path) -> Graph:
    model, _, tokenizer = create_align(checkpoint)

    def compare(wrong: onnx.ModelProto) -> None:
        with mock.patch.object(exporting, "text_graph", lambda tower: ir.from_proto(wrong)):
            exporting._write_text(model, tokenizer, folder / "text.onnx")

    config = model.text.config
    shape = (16, tokenizer.max_length)
    ids = np.random.default_rng(1).integers(0, config.vocab_size, shape)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    return Graph(onnx.load(export / "text.onnx"), exporting.TOLERANCE, compare, inputs)


@pytest.fixture(scope="module", params=["Kaiming", "bfloat16"])
def graphs(request, tmp_path_factory) -> dict[str, Graph]:
    """The graphs of a sound checkpoint's export."""
    model = MAKERS[request.param](small_config(FEW_BLOCKS), SIDE)
    checkpoint = save_checkpoint(model, tmp_path_factory.mktemp("sound"))
    export = export_checkpoint(checkpoint)
    (layout,) = nchwc.layouts(export)
    return {
        "portable": image_graph(export, export / "image.onnx", exporting.TOLERANCE),
        "blocked": image_graph(export, layout / nchwc.GRAPH, nchwc.TOLERANCE),
        "text": text_graph(checkpoint, export, tmp_path_factory.mktemp("text")),
    }


def weights_of(model: onnx.ModelProto, *ranks: int) -> list[onnx.TensorProto]:
    return [
        each
        for each in model.graph.initializer
        if len(each.dims) in ranks and each.data_type == onnx.TensorProto.FLOAT
    ]


def scale_a_filter(model: onnx.ModelProto, draw) -> None:
    weight = draw(st.sampled_from(weights_of(model, 2, 4)))
    array = numpy_helper.to_array(weight).copy()
    array[draw(st.integers(0, len(array) - 1))] *= draw(st.sampled_from([-1.0, 0.0, 0.9, 1.1, 2.0]))
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))


def change_a_weight(model: onnx.ModelProto, draw) -> None:
    weight = draw(st.sampled_from(weights_of(model, 2, 4)))
    array = numpy_helper.to_array(weight).copy()
    flat = array.reshape(-1)
    flat[draw(st.integers(0, flat.size - 1))] += draw(st.sampled_from([-1.0, 0.01, 0.1, 10.0]))
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))


def change_a_bias(model: onnx.ModelProto, draw) -> None:
    weight = draw(st.sampled_from(weights_of(model, 1)))
    array = numpy_helper.to_array(weight).copy()
    array[draw(st.integers(0, array.size - 1))] += draw(st.sampled_from([-1.0, 0.1, 10.0]))
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))


def move_a_pad(model: onnx.ModelProto, draw) -> None:
    padded = [
        attribute
        for node in model.graph.node
        for attribute in node.attribute
        if node.op_type == "Conv" and attribute.name == "pads" and any(attribute.ints)
    ]
    pads = draw(st.sampled_from(padded))
    top, left, bottom, right = pads.ints
    moved = draw(
        st.sampled_from([(top - 1, left, bottom + 1, right), (top, left - 1, bottom, right + 1)])
    )
    assume(min(moved) >= 0)
    pads.ints[:] = moved


def change_an_activation(model: onnx.ModelProto, draw) -> None:
    kinds = ("Sigmoid", "Swish", "HardSwish", "QuickGelu", "Gelu")
    node = draw(st.sampled_from([node for node in model.graph.node if node.op_type in kinds]))
    del node.attribute[:]
    node.op_type, node.domain = draw(st.sampled_from(["Relu", "Tanh", "HardSigmoid"])), ""


def change_a_gate(model: onnx.ModelProto, draw) -> None:
    fused = [
        attribute
        for node in model.graph.node
        for attribute in node.attribute
        if attribute.name == "activation"
    ]
    draw(st.sampled_from(fused)).s = draw(st.sampled_from([b"Relu", b"Tanh"]))


WRONG = {
    "portable": [scale_a_filter, change_a_weight, change_a_bias, move_a_pad, change_an_activation],
    "blocked": [
        scale_a_filter,
        change_a_weight,
        change_a_bias,
        move_a_pad,
        change_an_activation,
        change_a_gate,
    ],
    "text": [scale_a_filter, change_a_weight, change_a_bias, change_an_activation],
}


@pytest.mark.parametrize(
    ("kind", "change"),
    [(kind, change) for kind, changes in WRONG.items() for change in changes],
    ids=lambda each: getattr(each, "__name__", each),
)
@settings(max_examples=tries(15), deadline=None)
@given(data=st.data())
def test_a_wrong_graph_is_refused(graphs, kind, change, data):
    graph = graphs[kind]
    wrong = onnx.ModelProto()
    wrong.CopyFrom(graph.sound)
    change(wrong, data.draw)
    off = np.abs(graph.answers(wrong) - graph.answers(graph.sound)).max()
    assume(off > 5 * graph.tolerance)
    assert not graph.passes(wrong)


def test_a_text_graph_that_attends_to_padding_is_refused(graphs):
    text = graphs["text"]
    wrong = onnx.ModelProto()
    wrong.CopyFrom(text.sound)
    for node in wrong.graph.node:
        if node.op_type == "MultiHeadAttention":
            node.input[4] = ""  # the mask
    assert not text.passes(wrong)


@pytest.mark.parametrize("kind", WRONG)
def test_the_sound_graph_passes(graphs, kind):
    graph = graphs[kind]
    assert graph.passes(graph.sound)
