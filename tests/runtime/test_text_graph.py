"""The exported text tower: PyTorch's answers, no work for what nobody reads, nothing kept."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from checkpoints import SMALL_TEXT
from hypothesis import given, settings
from hypothesis import strategies as st
from tries import tries

from align_zoo.checkpoint.config import TextConfig
from align_zoo.checkpoint.fields import ACTIVATIONS
from align_zoo.runtime.onnx.sessions import OnnxText
from align_zoo.runtime.onnx.text_graph import text_graph
from align_zoo.towers.text_tower import AlignText


def lively(**changes) -> AlignText:
    """A text tower whose weights are far from what they are initialised to."""
    torch.manual_seed(0)
    tower = AlignText(config=TextConfig(**{**SMALL_TEXT, **changes}), num_classes=24).eval()
    with torch.no_grad():
        for weight in tower.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    return tower


def session_of(model: ir.Model) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString())


def padded(lengths: list[int], vocab: int, seed: int = 0) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(seed).integers(0, vocab, (len(lengths), max(lengths)))
    mask = (np.arange(ids.shape[1]) < np.array(lengths)[:, None]).astype(np.int64)
    return {"input_ids": ids, "attention_mask": mask}


def reference(tower: AlignText, inputs: dict[str, np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        return tower(*map(torch.from_numpy, inputs.values())).numpy()


SHAPES = {
    "two layers, four heads": {},
    "one layer": {"num_hidden_layers": 1},
    "no layer": {"num_hidden_layers": 0},
    "one head": {"num_attention_heads": 1},
    "one token type, another epsilon": {"type_vocab_size": 1, "layer_norm_eps": 1e-3},
    **{f"activation {name}": {"hidden_act": name} for name in ACTIVATIONS},
}


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES.keys())
@settings(max_examples=tries(8), deadline=None)
@given(data=st.data())
def test_text_graph_answers_as_pytorch_at_any_lengths(changes, data):
    tower, session = _made(changes)
    longest = st.integers(1, tower.config.max_position_embeddings)
    lengths = data.draw(st.lists(longest, min_size=1, max_size=9))
    inputs = padded(lengths, tower.config.vocab_size, data.draw(st.integers(0, 100)))
    expected = reference(tower, inputs)
    (got,) = session.run(None, inputs)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


_kept: dict[str, tuple[AlignText, onnxruntime.InferenceSession]] = {}


def _made(changes):
    if (key := str(changes)) not in _kept:
        tower = lively(**changes)
        _kept[key] = tower, session_of(text_graph(tower))
    return _kept[key]


def test_content_of_the_padding_changes_nothing():
    tower, session = _made({})
    inputs = padded([3, 9, 1, 6], tower.config.vocab_size)
    (expected,) = session.run(None, inputs)
    inputs["input_ids"][inputs["attention_mask"] == 0] = 10**9  # not even in the vocabulary
    np.testing.assert_array_equal(session.run(None, inputs)[0], expected)


def test_padding_and_unused_last_tokens_are_not_computed():
    tower = lively(num_hidden_layers=3)
    model = text_graph(tower)
    for node in model.graph:
        if node.op_type == "Gelu":
            (wide,) = node.outputs
            wide.dtype = ir.DataType.FLOAT
            model.graph.outputs.append(wide)
    _, *wide = session_of(model).run(None, padded([3, 9, 1, 6], tower.config.vocab_size))
    size = tower.config.intermediate_size
    assert [each.shape for each in wide] == [(19, size), (19, size), (4, size)]


def resident() -> int:
    """Megabytes of this process that are in memory."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) // 1024


def test_memory_of_many_texts_is_given_back(tmp_path):
    wide = lively(intermediate_size=4096)
    ir.save(text_graph(wide), tmp_path / "text.onnx")
    tower = OnnxText(tmp_path / "text.onnx")

    def embed(*lengths):
        tower(*padded([*lengths], wide.config.vocab_size).values())

    embed(5)
    before = resident()
    for count in (60, 80, 100):  # each takes more: the last 100 x 64 x 4096 floats, 105 MB
        embed(*[64] * count)
    assert resident() - before < 40
