"""Lays the image tower's graph out for this processor, squeeze-and-excitation included.

On x86 ONNX Runtime convolves maps in blocks of 8 or 16 channels (NCHWc). Its optimizer knows no
product of a map and a gate in that layout. So each squeeze-and-excitation leaves the layout and
comes back with the widest maps, which takes a sixth of B7's time. But such a product is a depthwise
convolution by 1 x 1 whose weights are the gate, and the optimizer knows convolutions.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
from onnx_ir.passes.common import RemoveUnusedNodesPass

from align_zoo.errors import CheckpointError
from align_zoo.runtime.onnx.comparison import check, read_references
from align_zoo.runtime.onnx.manifest import REFERENCES
from align_zoo.runtime.onnx.nchwc import (
    GRAPH,
    TOLERANCE,
    WEIGHTS,
    BlockedImage,
    layout_folder,
    write_check,
)
from align_zoo.runtime.onnx.sessions import CPU

__all__ = ["lay_out"]

_NCHWC = "com.microsoft.nchwc"
"""The domain of ONNX Runtime's operators in the layout of blocks."""
_DRAFT = ".draft-"


def lay_out(image: Path) -> Path:
    """Lay the portable graph ``image`` out for this processor, in a folder beside the graph.

    One process at a time may call this function.

    Args:
        image: the exported graph, in its export's folder.

    Returns:
        The new folder, which appears whole or not at all.

    Raises:
        CheckpointError: ONNX Runtime has no such layout here, the answers differ, or the folder
            cannot be written.
    """
    export, block = image.parent, _block()
    try:
        for left in export.glob(f"{_DRAFT}*"):  # left by processes that were killed
            shutil.rmtree(left)
        draft = Path(tempfile.mkdtemp(dir=export, prefix=_DRAFT))
        try:
            model = _optimized(image, draft)
            _gate_by_convolutions(model, block)
            ir.save(model, draft / GRAPH, external_data=WEIGHTS)
            write_check(draft, export / REFERENCES)
            check(
                BlockedImage(draft),
                read_references(export / REFERENCES),
                tolerance=TOLERANCE,
                what="laid out in blocks, the embeddings",
            )
            draft.chmod(0o755)  # mkdtemp lets nobody but the owner read
            folder = layout_folder(export, block)
            if folder.exists():  # damaged
                shutil.rmtree(folder)
            return draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(f"{export} cannot be written: {error}") from error


def _block() -> int:
    """Return the channels of a block on this processor: ONNX Runtime pads 4 channels to a block."""
    inputs = ir.val("x", dtype=ir.DataType.FLOAT, shape=[1, 4, 1, 1])
    reorder = ir.node("ReorderInput", [inputs], domain=_NCHWC)
    (output,) = reorder.outputs
    output.name, output.dtype = "y", ir.DataType.FLOAT
    imports = {"": 20, _NCHWC: 1}
    graph = ir.Graph([inputs], [output], nodes=[reorder], opset_imports=imports, name="block")
    content = ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=CPU)
    return int(session.run(None, {"x": np.zeros((1, 4, 1, 1), np.float32)})[0].shape[1])


def _optimized(image: Path, scratch: Path) -> ir.Model:
    """Return the graph for one image at a time, as ONNX Runtime's optimizer leaves it."""
    model = ir.load(image)
    (pixels,) = model.graph.inputs
    pixels.shape = ir.Shape([1, *(pixels.shape or ())[1:]])
    for node in list(model.graph):
        if node.op_type == "ReduceMean":  # has such a layout under another name only
            mean = ir.node("GlobalAveragePool", node.inputs[:1])
            ir.convenience.replace_nodes_and_values(
                model.graph, node, [node], [mean], node.outputs, mean.outputs
            )
    one, optimized = scratch / "one.onnx", scratch / "optimized.onnx"
    ir.save(model, one)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimized)
    options.log_severity_level = 3  # no warning that the file fits this processor alone
    onnxruntime.InferenceSession(str(one), options, providers=CPU)
    model = ir.load(optimized)
    one.unlink()
    optimized.unlink()
    return model


def _gate_by_convolutions(model: ir.Model, block: int) -> None:
    """Replace the products of maps and gates by convolutions, which keep the layout."""
    graph = model.graph
    if not any(node.domain == _NCHWC for node in graph):
        raise CheckpointError("ONNX Runtime lays nothing out in blocks here")
    shape = ir.Value(name="weights_of_a_gate", const_value=ir.tensor([-1, 1, 1, 1]))
    graph.register_initializer(shape)
    for product in list(graph):
        around = [*product.predecessors(), *product.successors()]
        kinds = [product.op_type, *(node.op_type for node in around)]
        if kinds != ["Mul", "ReorderOutput", "ReorderOutput", "ReorderInput"]:
            continue
        map_out, gate_out, way_in = around
        channels = map_out.attributes["channels"].as_int()
        weights = ir.node("Reshape", [gate_out.inputs[0], shape])
        conv = ir.node(
            "Conv",
            [map_out.inputs[0], weights.outputs[0]],
            domain=_NCHWC,
            attributes={"group": -(-channels // block) * block, "kernel_shape": [1, 1]},
        )
        ir.convenience.replace_nodes_and_values(
            graph, product, [way_in], [weights, conv], way_in.outputs, conv.outputs
        )
    RemoveUnusedNodesPass()(model)
