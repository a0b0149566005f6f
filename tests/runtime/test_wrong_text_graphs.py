"""A text graph that answers otherwise than its checkpoint never passes the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from checkpoints import FEW_BLOCKS, lively_model, save_checkpoint, small_config
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from makers import MAKERS
from onnx import numpy_helper
from tries import tries

from align_zoo.checkpoint.folder import open_checkpoint
from align_zoo.errors import CheckpointError
from align_zoo.runtime.onnx import export as exporting
from align_zoo.runtime.onnx.comparison import Reference, check
from align_zoo.runtime.onnx.manifest import IMAGE, REFERENCES
from align_zoo.runtime.onnx.sessions import unit
from align_zoo.runtime.onnx.text_graph import text_graph

LENGTHS = [3, 17, 1, 9, 24]
VOCABULARY = 200
IDS = np.random.default_rng(3).integers(0, VOCABULARY, (len(LENGTHS), max(LENGTHS)))
MASK = (np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]).astype(np.int64)


class Exported(NamedTuple):
    """The sound text graph of a checkpoint, and what the export compares it with."""

    graph: onnx.ModelProto
    references: Sequence[Reference]
    rows: np.ndarray
    """The graph's unit embeddings of IDS, to which no export was compared."""


# In transformers' own start attention is even: neither heads nor scale change an answer.
TOWERS = {"lively": lambda config, side: lively_model(config, size=side), **MAKERS}


def export_text(checkpoint: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Export a checkpoint without its image graph, which takes the most of the time."""

    def nothing(_model, _transform, draft: Path) -> None:
        for name in (IMAGE, REFERENCES):
            (draft / name).touch()

    patch.setattr(exporting, "_write_image", nothing)
    exporting.export(open_checkpoint(checkpoint), folder)


@pytest.fixture(scope="module", params=["lively", "torch's start"])
def exported(request, tmp_path_factory) -> Exported:
    compared: dict[str, Sequence[Reference]] = {}

    def kept(tower, references, *, tolerance: float, what: str) -> None:
        compared[what.partition(":")[0]] = references
        check(tower, references, tolerance=tolerance, what=what)

    model = TOWERS[request.param](small_config(FEW_BLOCKS, {"vocab_size": VOCABULARY}), 75)
    checkpoint = save_checkpoint(model, tmp_path_factory.mktemp("sound"))
    folder = tmp_path_factory.mktemp("cache") / "export"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "check", kept)
        export_text(checkpoint, folder, patch)
    graph = onnx.load(folder / "text.onnx")
    return Exported(graph, compared["text.onnx"], tower(graph)(IDS, MASK))


def tower(model: onnx.ModelProto):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return lambda ids, mask: unit(session.run(None, {"input_ids": ids, "attention_mask": mask})[0])


def passes(exported: Exported, model: onnx.ModelProto) -> bool:
    try:
        check(tower(model), exported.references, tolerance=exporting.TOLERANCE, what="text.onnx")
    except CheckpointError:
        return False
    return True


def weights(model: onnx.ModelProto, dims: int) -> list[onnx.TensorProto]:
    """All float weights of so many dimensions but the words, which are compared row by row."""
    return [
        each
        for each in model.graph.initializer
        if len(each.dims) == dims and each.name != "words" and each.data_type == each.FLOAT
    ]


def nodes(model: onnx.ModelProto, *kinds: str) -> list[onnx.NodeProto]:
    return [each for each in model.graph.node if each.op_type in kinds]


def changed(weight: onnx.TensorProto, array: np.ndarray) -> None:
    weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), weight.name))


def change_a_weight(model: onnx.ModelProto, draw) -> None:
    weight = draw(st.sampled_from(weights(model, 2)))
    array = numpy_helper.to_array(weight).copy()
    index = draw(st.integers(0, array.shape[0] - 1)), draw(st.integers(0, array.shape[1] - 1))
    array[index] += draw(st.sampled_from([-1.0, 0.1, 10.0]))
    changed(weight, array)


def transpose_a_weight(model: onnx.ModelProto, draw) -> None:
    square = [each for each in weights(model, 2) if each.dims[0] == each.dims[1]]
    weight = draw(st.sampled_from(square))
    changed(weight, numpy_helper.to_array(weight).T)


def change_a_bias_or_norm(model: onnx.ModelProto, draw) -> None:
    weight = draw(st.sampled_from(weights(model, 1)))
    array = numpy_helper.to_array(weight).copy()
    array[draw(st.integers(0, len(array) - 1))] += draw(st.sampled_from([-1.0, 0.1, 10.0]))
    changed(weight, array)


def move_the_words(model: onnx.ModelProto, draw) -> None:
    (words,) = (each for each in model.graph.initializer if each.name == "words")
    changed(words, np.roll(numpy_helper.to_array(words), draw(st.sampled_from([-1, 1])), axis=0))


def move_the_positions(model: onnx.ModelProto, draw) -> None:
    (table,) = (each for each in model.graph.initializer if each.name == "positions")
    changed(table, np.roll(numpy_helper.to_array(table), draw(st.sampled_from([-1, 1])), axis=0))


def change_an_activation(model: onnx.ModelProto, draw) -> None:
    node = draw(st.sampled_from(nodes(model, "Gelu")))
    del node.attribute[:]
    node.op_type = draw(st.sampled_from(["Relu", "Tanh", "Mish"]))


def drop_a_mask(model: onnx.ModelProto, draw) -> None:
    draw(st.sampled_from(nodes(model, "MultiHeadAttention"))).input[4] = ""


def change_the_heads(model: onnx.ModelProto, draw) -> None:
    node = draw(st.sampled_from(nodes(model, "MultiHeadAttention")))
    (heads,) = (each for each in node.attribute if each.name == "num_heads")
    heads.i = draw(st.sampled_from([1, 2, 8]))


def change_the_attentions_scale(model: onnx.ModelProto, draw) -> None:
    node = draw(st.sampled_from(nodes(model, "MultiHeadAttention")))
    node.attribute.append(onnx.helper.make_attribute("scale", draw(st.sampled_from([0.1, 1.0]))))


def exchange_keys_and_values(model: onnx.ModelProto, draw) -> None:
    node = draw(st.sampled_from(nodes(model, "MultiHeadAttention")))
    node.input[1], node.input[2] = node.input[2], node.input[1]


def change_an_epsilon(model: onnx.ModelProto, draw) -> None:
    node = draw(st.sampled_from(nodes(model, "LayerNormalization")))
    (epsilon,) = (each for each in node.attribute if each.name == "epsilon")
    epsilon.f = draw(st.sampled_from([1e-3, 1e-1]))


CHANGES = [
    change_a_weight,
    transpose_a_weight,
    change_a_bias_or_norm,
    move_the_words,
    move_the_positions,
    change_an_activation,
    drop_a_mask,
    change_the_heads,
    change_the_attentions_scale,
    exchange_keys_and_values,
    change_an_epsilon,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__)
@settings(
    max_examples=tries(15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_wrong_text_graph_is_refused(exported, change, data):
    wrong = onnx.ModelProto()
    wrong.CopyFrom(exported.graph)
    change(wrong, data.draw)
    off = np.abs(tower(wrong)(IDS, MASK) - exported.rows).max()
    assume(off > 5 * exporting.TOLERANCE)
    assert not passes(exported, wrong)


def test_sound_text_graph_passes(exported):
    assert passes(exported, exported.graph)


@pytest.mark.parametrize("table", ["words", "positions"])
def test_one_wrong_row_of_a_table_is_refused(tmp_path, monkeypatch, table):
    def with_a_wrong_row(tower):
        graph = text_graph(tower)
        value = graph.graph.initializers[table]
        rows = value.const_value.numpy().copy()
        rows[np.random.default_rng(4).integers(len(rows)), 0] += 0.01
        value.const_value = ir.tensor(rows, name=table)
        return graph

    monkeypatch.setattr(exporting, "text_graph", with_a_wrong_row)
    checkpoint = save_checkpoint(lively_model(small_config(FEW_BLOCKS)), tmp_path / "checkpoint")
    with pytest.raises(CheckpointError, match=f"the table of {table} differs from PyTorch's"):
        export_text(checkpoint, tmp_path / "export", monkeypatch)
