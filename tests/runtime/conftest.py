"""A checkpoint in both runtimes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import onnx
import onnx_ir as ir
import pytest
import torch
from checkpoints import FEW_BLOCKS, lively_model, save_checkpoint, small_config

import align_zoo
from align_zoo.checkpoint.folder import open_checkpoint
from align_zoo.runtime.load import export_checkpoint
from align_zoo.runtime.onnx import export as exporting
from align_zoo.runtime.onnx import nchwc_rewrite as blocking
from align_zoo.runtime.onnx.manifest import export_folder
from align_zoo.runtime.onnx.nchwc import layouts


@pytest.fixture(scope="session")
def programs() -> dict:
    """What torch has traced in this process."""
    return {}


@pytest.fixture(scope="module", autouse=True)
def traced_once(programs) -> Iterator[None]:
    """Let torch trace a network once: the same one exported again takes a tenth of the time.

    Of another network's graph the export itself would say that its answers differ.
    """
    export = torch.onnx.export

    def remembered(module, given, **options):
        weights = tuple(each.numpy().tobytes() for each in module.state_dict().values())
        key = (repr(module), given[0].shape, weights)
        if key not in programs:
            programs[key] = export(module, given, **options)
        return programs[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", remembered)
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A small ALIGN folder with lively weights."""
    shape = {**FEW_BLOCKS, "depth_coefficient": 0.5, "num_block_repeats": [1, 2, 3]}
    config = small_config(shape, {"hidden_act": "relu"})
    return save_checkpoint(lively_model(config, seed=21), tmp_path_factory.mktemp("runtime"))


@pytest.fixture
def without_layout(folder) -> Path:
    """An export as another machine may have made it."""
    for each in layouts(folder):
        shutil.rmtree(each)
    return folder


@pytest.fixture(params=["onnx", "torch"])
def encoder(request, checkpoint) -> align_zoo.Encoder:
    """The checkpoint in each runtime, on the CPU."""
    return align_zoo.load_encoder(checkpoint, runtime=request.param, device="cpu")


@pytest.fixture(scope="session")
def exported(checkpoint) -> Path:
    """The checkpoint's export, which no test may change."""
    return export_checkpoint(checkpoint)


@pytest.fixture
def folder(checkpoint, exported, tmp_path, monkeypatch) -> Path:
    """An export in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own = export_folder(open_checkpoint(checkpoint).fingerprint)
    shutil.copytree(exported, own)
    return own


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """A user's cache of the test's own, without any export."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pad_wrongly(patch: pytest.MonkeyPatch) -> None:
    of_any_size = exporting._of_any_size

    def wrong(program) -> onnx.ModelProto:
        model = of_any_size(program)
        stem = next(node for node in model.graph.node if node.op_type == "Conv")
        pads = next(attribute for attribute in stem.attribute if attribute.name == "pads")
        pads.ints[:] = reversed(pads.ints)
        return model

    patch.setattr(exporting, "_of_any_size", wrong)


@pytest.fixture
def wrong_graph(monkeypatch) -> None:
    """An exporter that pads the first convolution on the other sides."""
    pad_wrongly(monkeypatch)


class Refused(NamedTuple):
    """A refused export."""

    encoder: align_zoo.Encoder
    """What takes its place, in the process that exported."""
    cache: Path
    """The user's cache, which remembers the refusal."""


@pytest.fixture(scope="session")
def refused(checkpoint, tmp_path_factory) -> Refused:
    """The checkpoint's export by an exporter that pads wrongly."""
    cache = tmp_path_factory.mktemp("refused") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        pad_wrongly(patch)
        return Refused(align_zoo.load_encoder(checkpoint), cache)


@pytest.fixture
def remembered(refused, own_cache) -> Path:
    """A user's cache of the test's own that remembers the refusal."""
    return shutil.copytree(refused.cache, own_cache)


@pytest.fixture
def wrong_layout(monkeypatch) -> list[object]:
    """A layout that pads the first convolution on the other sides; the attempts to make it."""
    attempts: list[object] = []
    gate = blocking._gate_by_convolutions

    def wrong(model, block) -> None:
        attempts.append(model)
        gate(model, block)
        stem = next(node for node in model.graph if node.op_type == "Conv")
        stem.attributes["pads"] = ir.AttrInt64s("pads", stem.attributes["pads"].as_ints()[::-1])

    monkeypatch.setattr(blocking, "_gate_by_convolutions", wrong)
    return attempts


@pytest.fixture
def exports(monkeypatch) -> list[Path]:
    """The folders that are exported to from here on."""
    made: list[Path] = []
    export = exporting.export

    def counted(checkpoint, folder):
        made.append(folder)
        export(checkpoint, folder)

    monkeypatch.setattr(exporting, "export", counted)
    return made
