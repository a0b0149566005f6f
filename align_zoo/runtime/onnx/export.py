"""Exports PyTorch towers to ONNX files, and compares the files with the originals."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

from align_zoo.checkpoint.folder import Checkpoint, unchanged
from align_zoo.errors import CheckpointError
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.runtime.onnx.comparison import Reference, check, write_references
from align_zoo.runtime.onnx.manifest import IMAGE, REFERENCES, TEXT, TOKENIZER, Manifest
from align_zoo.runtime.onnx.refusals import ExportRefused
from align_zoo.runtime.onnx.sessions import OnnxImage, OnnxText
from align_zoo.runtime.onnx.text_graph import text_graph
from align_zoo.runtime.sample_inputs import TEXTS, sample_pixels
from align_zoo.torch_state import ordinary
from align_zoo.towers.dual_encoder import Align
from align_zoo.towers.factory import create_align
from align_zoo.towers.image_tower import AlignImage

__all__ = ["TOLERANCE", "export"]

TOLERANCE = 1e-4
"""The error of an exported tower's unit embeddings that is always accepted.

A greater error is accepted if PyTorch itself, in float32, is hardly nearer to float64.
"""

# torch.export requires a bound; no batch comes near this one.
_BATCH = 4096


@ordinary()
def export(checkpoint: Checkpoint, folder: Path) -> None:
    """Write both towers of a checkpoint to ``folder``, which appears whole or not at all.

    One process at a time may call this function. The graphs take any batch, any image size and
    any text length. BatchNorm is folded into the convolutions.

    Raises:
        CheckpointError: the checkpoint cannot be loaded, an exported tower's answers differ
            from the original's, or the folder cannot be written.
    """
    with unchanged(checkpoint):
        model, transform, tokenizer = create_align(checkpoint.folder)
    draft = folder.with_name(f".draft-{folder.name}")
    try:
        if draft.exists():  # left by a process that was killed
            shutil.rmtree(draft)
        draft.mkdir(parents=True)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written: {error}") from error
    try:
        _write_image(model, transform, draft)
        _write_text(model, tokenizer, draft / TEXT)
        tokenizer.hf.backend_tokenizer.save(str(draft / TOKENIZER))
        Manifest(
            fingerprint=checkpoint.fingerprint,
            temperature=float(model.temperature.detach()),
            max_length=tokenizer.max_length,
            pad_token_id=tokenizer.hf.pad_token_id,
            preprocessor=dict(transform.config),
        ).write(draft)
        if folder.is_symlink():  # to a damaged folder, or to nothing
            folder.unlink()
        elif folder.exists():  # damaged
            shutil.rmtree(folder)
        draft.rename(folder)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_image(model: Align, transform: AlignTransform, folder: Path) -> None:
    config = model.image.config
    some = sample_pixels(transform, model.image.in_chans, config.smallest_side)
    references = _references(model.image, model.image, [(torch.from_numpy(x),) for x in some])
    write_references(folder / REFERENCES, references)
    (pixels,) = references[-1].inputs  # of the size that the checkpoint's images have
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about axis names that the exporter unites
        program = torch.onnx.export(
            _WithFeatures(model.image),
            (torch.from_numpy(pixels[:2]),),
            input_names=["pixels"],
            output_names=["embeds", "features"],
            dynamic_shapes={"x": {0: Dim("batch", min=1, max=_BATCH)}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # as dynamo=True has it
    # Convolutions and means depend on no size; with symbolic sizes the graph takes twice as long.
    onnx.save(_of_any_size(program), folder / IMAGE)
    _check(OnnxImage(folder / IMAGE), references, IMAGE)


def _write_text(model: Align, tokenizer: AlignTokenizer, path: Path) -> None:
    generator = torch.Generator().manual_seed(0)

    def some(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        high = model.text.config.vocab_size
        ids = torch.randint(0, high, (rows, length), generator=generator)
        mask = torch.ones_like(ids)
        mask[0, length // 2 + 1 :] = 0
        return ids, mask

    def embed(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return model.encode_text({"input_ids": ids, "attention_mask": mask})

    written = tokenizer(TEXTS)
    inputs = [(written["input_ids"], written["attention_mask"])]
    inputs += [some(*shape) for shape in ((1, tokenizer.max_length), (3, 7), (1, 2))]
    references = _references(model.text, embed, inputs)
    ir.save(text_graph(model.text), path)
    _check_tables(path, model.text)
    _check(OnnxText(path), references, TEXT)


def _check_tables(path: Path, tower: nn.Module) -> None:
    """Compare the tables of words and positions with the tower's; sample texts have few words.

    Raises:
        ExportRefused: a row differs.
    """
    state, name = tower.state_dict(), "bert.embeddings."
    words = state[f"{name}word_embeddings.weight"]
    words = words + state[f"{name}token_type_embeddings.weight"][0]
    tables = {"words": words, "positions": state[f"{name}position_embeddings.weight"]}
    initializers = ir.load(path).graph.initializers
    for name, table in tables.items():
        written = initializers[name].const_value
        assert written is not None  # as every initializer has it
        if not np.array_equal(written.numpy(), table.numpy(force=True), equal_nan=True):
            raise ExportRefused(f"{TEXT}: the table of {name} differs from PyTorch's")


def _references(
    tower: nn.Module,
    embed: Callable[..., torch.Tensor],
    inputs: Iterable[tuple[torch.Tensor, ...]],
) -> list[Reference]:
    """Compute the tower's answers in float64, and the errors of its answers in float32.

    A single rounding error may be small by chance. So images are also computed by other
    kernels, and with pixels that are off by their own rounding.
    """
    inputs = list(inputs)
    errors = []
    # Under inference_mode the weights would become such that torch.export can trace them only by
    # its slower way.
    with torch.no_grad():
        rounded = [[_unit(embed(*each)) for each in _alike(*given)] for given in inputs]
        tower.double()  # in place: a copy of a base tower would take half a gigabyte
        exact = [_unit(embed(*map(_double, given))) for given in inputs]
        tower.float()  # restores each weight exactly
        for answers, truth in zip(rounded, exact, strict=True):
            worst = [(each - truth).abs().amax(dim=1) for each in answers]
            errors.append(torch.stack(worst).amax(dim=0))
    return [
        Reference(tuple(array.numpy() for array in given), truth.numpy(), error.numpy())
        for given, truth, error in zip(inputs, exact, errors, strict=True)
    ]


def _alike(*given: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """Return inputs that differ from each other by less than float32 resolves."""
    if len(given) == 2:  # token ids and mask
        return [given]
    (pixels,) = given
    signs = torch.rand(pixels.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    nudged = pixels * (1 + torch.finfo(torch.float32).eps * signs.sign())
    last = pixels.contiguous(memory_format=torch.channels_last)
    return [given, (last,), (nudged,)]


def _unit(embeds: torch.Tensor) -> torch.Tensor:
    return F.normalize(embeds, dim=-1).double()


def _double(x: torch.Tensor) -> torch.Tensor:
    return x.double() if x.is_floating_point() else x


def _check(tower: OnnxImage | OnnxText, references: list[Reference], name: str) -> None:
    check(tower, references, tolerance=TOLERANCE, what=f"{name}: exported embeddings")


class _WithFeatures(nn.Module):
    """Computes the embedding, and the last feature map, whose mean is the embedding.

    The map costs nothing: it is computed anyway, and copied where it is fetched.
    """

    def __init__(self, tower: AlignImage) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.tower.forward_features(x)
        return self.tower.forward_head(features), features


def _of_any_size(program: torch.onnx.ONNXProgram) -> onnx.ModelProto:
    """Return the graph for images of any height and width; the program was traced at one size."""
    model = program.model_proto
    (pixels,) = model.graph.input
    _, features = model.graph.output
    for value, names in ((pixels, ("height", "width")), (features, ("rows", "columns"))):
        for dim, name in enumerate(names, 2):
            value.type.tensor_type.shape.dim[dim].dim_param = name
    del model.graph.value_info[:]
    # If ONNX Runtime knows shapes to be equal, it merges residual sums into convolutions.
    shaped: onnx.ModelProto = SymbolicShapeInference.infer_shapes(model, auto_merge=True)
    return shaped
