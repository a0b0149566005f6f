"""PyTorch towers to ONNX files, compared with the originals before anybody uses them."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference
from torch.export import Dim

from align_zoo.checkpoint import Checkpoint
from align_zoo.errors import CheckpointError
from align_zoo.factory import create_align
from align_zoo.model import Align
from align_zoo.runtime.exported import IMAGE, TEXT, TOKENIZER, Manifest
from align_zoo.runtime.loading import unchanged
from align_zoo.runtime.onnx_towers import OnnxImage, OnnxText
from align_zoo.runtime.text_graph import text_graph
from align_zoo.tokenizer import AlignTokenizer
from align_zoo.torch_state import ordinary

__all__ = ["TOLERANCE", "export"]

TOLERANCE = 1e-4
"""The greatest difference of unit embeddings between an exported tower and the original."""

# A bound that torch.export wants; no batch comes near it.
_BATCH = 4096


@ordinary()
def export(checkpoint: Checkpoint, folder: Path) -> None:
    """Write both towers of a checkpoint to ``folder``, which appears whole or not at all.

    One process at a time may do so. The graphs take any batch, any picture size and any text
    length. BatchNorm is folded into the convolutions.

    Raises:
        CheckpointError: the checkpoint cannot be loaded, an exported tower's answers differ
            from the original's, or the folder cannot be written.
    """
    with unchanged(checkpoint):
        model, transform, tokenizer = create_align(checkpoint.folder)
    draft = folder.with_name(f".draft-{folder.name}")
    try:
        if draft.exists():  # left by a process that was killed over it
            shutil.rmtree(draft)
        draft.mkdir(parents=True)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written: {error}") from error
    try:
        _write_image(model, transform.input_size or (289, 289), draft / IMAGE)
        _write_text(model, tokenizer, draft / TEXT)
        tokenizer.hf.backend_tokenizer.save(str(draft / TOKENIZER))
        Manifest(
            fingerprint=checkpoint.fingerprint,
            temperature=float(model.temperature.detach()),
            num_channels=model.image.in_chans,
            max_length=tokenizer.max_length,
            pad_token_id=tokenizer.hf.pad_token_id,
            preprocessor=dict(transform.config),
        ).write(draft)
        if folder.is_symlink():  # to a damaged one, or to none
            folder.unlink()
        elif folder.exists():  # damaged
            shutil.rmtree(folder)
        draft.rename(folder)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_image(model: Align, size: tuple[int, int], path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(2, model.image.in_chans, *size, generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of axis names that the exporter unites
        program = torch.onnx.export(
            model.image,
            (pixels,),
            input_names=["pixels"],
            output_names=["embeds"],
            dynamic_shapes={"x": {0: Dim("batch", min=1, max=_BATCH)}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # so it is with dynamo=True
    # Convolutions and means know no size; with sizes as symbols the same graph takes twice as long.
    onnx.save(_of_any_size(program), path)
    tower = OnnxImage(path)
    height = max(size[0] // 2 + 1, model.image.config.smallest_side)
    for count, shape in ((2, size), (1, size), (3, (height, size[1]))):
        x = torch.randn(count, model.image.in_chans, *shape, generator=generator)
        with torch.inference_mode():
            _compare(tower(x.numpy()), model.encode_image(x, normalize=True), path)


def _write_text(model: Align, tokenizer: AlignTokenizer, path: Path) -> None:
    generator = torch.Generator().manual_seed(0)

    def some(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        high = model.text.config.vocab_size
        ids = torch.randint(0, high, (rows, length), generator=generator)
        mask = torch.ones_like(ids)
        mask[0, length // 2 + 1 :] = 0
        return ids, mask

    ir.save(text_graph(model.text), path)
    tower = OnnxText(path)
    for rows, length in ((1, tokenizer.max_length), (3, 7), (1, 2)):
        ids, mask = some(rows, length)
        with torch.inference_mode():
            expected = model.encode_text({"input_ids": ids, "attention_mask": mask}, normalize=True)
        _compare(tower(ids.numpy(), mask.numpy()), expected, path)


def _of_any_size(program: torch.onnx.ONNXProgram) -> onnx.ModelProto:
    """The graph for pictures of any height and width, though it was traced at one of them."""
    model = program.model_proto
    (pixels,) = model.graph.input
    for dim, name in ((2, "height"), (3, "width")):
        pixels.type.tensor_type.shape.dim[dim].dim_param = name
    del model.graph.value_info[:]
    # Where ONNX Runtime knows shapes to be equal, it merges residual sums into convolutions.
    shaped: onnx.ModelProto = SymbolicShapeInference.infer_shapes(model, auto_merge=True)
    return shaped


def _compare(got: np.ndarray, expected: torch.Tensor, path: Path) -> None:
    worst = float(np.abs(got - expected.numpy()).max())
    if not worst <= TOLERANCE:  # so that NaN fails, too
        raise CheckpointError(
            f"{path.name}: exported embeddings differ from PyTorch's by {worst:.1e}, more than "
            f"{TOLERANCE:.0e}; use runtime='torch'"
        )
