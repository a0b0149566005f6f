"""Writes the text tower as an ONNX graph that computes neither padding nor unread states.

All of BERT's layers but attention work on every token by itself. So the tokens of all texts are one
list [T, hidden] without padding, and attention alone gets them text by text, [N, L, hidden]. ALIGN
reads the first token of the last layer alone: there the other tokens give their keys and values,
and are computed no further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from align_zoo.towers.text_tower import AlignText

__all__ = ["text_graph"]

_MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""
_OPSETS = {"": 20, _MICROSOFT: 1}
_IR_VERSION = 10
"""The version of ONNX 1.16, as operator set 20 is."""


def text_graph(tower: AlignText) -> ir.Model:
    """Write the graph from ``input_ids`` and ``attention_mask`` [N, L] int64 to ``embeds`` [N, D].

    Each row of the mask is ones, then zeros. The embeddings are float32, not yet normalised.
    """
    writer = _Writer(tower)
    ids, mask = (
        ir.val(name, dtype=ir.DataType.INT64, shape=["batch", "length"])
        for name in ("input_ids", "attention_mask")
    )
    embeds = writer.embeds(ids, mask)
    embeds.name, embeds.dtype = "embeds", ir.DataType.FLOAT
    embeds.shape = ir.Shape(["batch", tower.num_classes])
    graph = ir.Graph(
        [ids, mask],
        [embeds],
        nodes=writer.tape.nodes,
        initializers=writer.tape.initializers,
        opset_imports=_OPSETS,
        name="text",
    )
    return ir.Model(graph, ir_version=_IR_VERSION)


class _Writer:
    """Writes operators to a tape, with a tower's weights by the tower's names."""

    def __init__(self, tower: AlignText) -> None:
        self.tape = Tape()
        self._config = tower.config
        self._state = {name: each.numpy(force=True) for name, each in tower.state_dict().items()}

    def embeds(self, ids: ir.Value, mask: ir.Value) -> ir.Value:
        # The places of the T real tokens among all tokens, and the places of each text's tokens
        # among the T, [N, L]. Padding gets the place of some other token, which the mask excludes.
        flat = self.op("Reshape", mask, self.ints(-1))
        self._places = self.op("Squeeze", self.op("NonZero", flat), self.ints(0))
        counts = self.op("CumSum", flat, self.ints(0))
        slots = self.op("Sub", counts, self.ints(1))
        self._slots = self.op("Reshape", slots, self.op("Shape", mask))
        self._mask = self.op("Cast", mask, to=ir.DataType.INT32)

        x = self._embedded(ids, mask)
        layers = self._config.num_hidden_layers
        for number in range(layers - 1):
            x = self._layer(f"bert.encoder.layer.{number}.", x)
        # The first token of each text, [N, hidden].
        firsts = self.op("Slice", self._slots, *map(self.ints, (0, 1, 1)))
        first = self.op("Gather", x, self.op("Squeeze", firsts, self.ints(1)))
        if layers:
            first = self._layer(f"bert.encoder.layer.{layers - 1}.", x, first)
        return self._linear(first, "head")

    def _embedded(self, ids: ir.Value, mask: ir.Value) -> ir.Value:
        """Write BERT's embeddings [T, hidden]."""
        name = "bert.embeddings."
        # There are no token types: all tokens are of the first.
        words = self._state[name + "word_embeddings.weight"]
        words = words + self._state[name + "token_type_embeddings.weight"][0]
        positions = self._state[name + "position_embeddings.weight"]
        length = self.op("Shape", mask, start=1)
        own = self.op("Gather", self.op("Reshape", ids, self.ints(-1)), self._places)
        x = self.op("Gather", self.weight("words", words), own)
        at = self.op("Mod", self._places, length)
        x = self.op("Add", x, self.op("Gather", self.weight("positions", positions), at))
        return self._norm(x, name + "LayerNorm")

    def _layer(self, name: str, x: ir.Value, first: ir.Value | None = None) -> ir.Value:
        """Write a layer of all tokens [T, hidden], or of each text's ``first`` [N, hidden]."""
        query, key, value = (f"{name}attention.self.{each}" for each in ("query", "key", "value"))
        if first is None:
            states = self._by_text(self._linear(x, query, key, value))
            q, k, v = self._split(states, 3)
        else:
            k, v = self._split(self._by_text(self._linear(x, key, value)), 2)
            q = self.op("Unsqueeze", self._linear(first, query), self.ints(1))
        context = self.tape.op(
            "MultiHeadAttention",
            [q, k, v, None, self._mask],
            {"num_heads": self._config.num_attention_heads},
            domain=_MICROSOFT,
        )
        rows = self.op("Reshape", context, self.ints(-1, self._config.hidden_size))
        if first is None:
            rows = self.op("Gather", rows, self._places)
        attended = self._linear(rows, name + "attention.output.dense")
        x = self.op("Add", attended, x if first is None else first)
        x = self._norm(x, name + "attention.output.LayerNorm")
        wide = self._linear(x, name + "intermediate.dense")
        wide = _ACTIVATIONS[self._config.hidden_act](self, wide)
        x = self.op("Add", self._linear(wide, name + "output.dense"), x)
        return self._norm(x, name + "output.LayerNorm")

    def _by_text(self, x: ir.Value) -> ir.Value:
        """Write the gathering of [T, C] to [N, L, C]."""
        return self.op("Gather", x, self._slots)

    def _split(self, x: ir.Value, count: int) -> list[ir.Value]:
        parts = {"axis": -1, "num_outputs": count}
        return [*self.tape.op_multi_out("Split", [x], parts, num_outputs=count)]

    def _linear(self, x: ir.Value, *names: str) -> ir.Value:
        """Write several linear layers of one input as a single layer."""
        weight = np.concatenate([self._state[f"{name}.weight"] for name in names]).T
        bias = np.concatenate([self._state[f"{name}.bias"] for name in names])
        product = self.op("MatMul", x, self.weight(f"{names[0]}.weight", weight))
        return self.op("Add", product, self.weight(f"{names[0]}.bias", bias))

    def _norm(self, x: ir.Value, name: str) -> ir.Value:
        weight, bias = (
            self.weight(f"{name}.{each}", self._state[f"{name}.{each}"])
            for each in ("weight", "bias")
        )
        epsilon = self._config.layer_norm_eps
        return self.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=epsilon)

    def op(
        self, kind: str, *inputs: ir.Value, **attributes: float | str | Sequence[int]
    ) -> ir.Value:
        return self.tape.op(kind, inputs, attributes)

    def weight(self, name: str, array: np.ndarray) -> ir.Value:
        return self.tape.initializer(ir.tensor(np.ascontiguousarray(array)), name)

    def ints(self, *numbers: int) -> ir.Value:
        return self.op("Constant", value_ints=numbers)


def _gelu_tanh(to: _Writer, x: ir.Value) -> ir.Value:
    return to.op("Gelu", x, approximate="tanh")


def _silu(to: _Writer, x: ir.Value) -> ir.Value:
    return to.op("Mul", x, to.op("Sigmoid", x))


def _plain(kind: str) -> Callable[[_Writer, ir.Value], ir.Value]:
    return lambda to, x: to.op(kind, x)


def _relu6(to: _Writer, x: ir.Value) -> ir.Value:
    low, high = (to.op("Constant", value_float=each) for each in (0.0, 6.0))
    return to.op("Clip", x, low, high)


# By the names in transformers.activations.ACT2FN: all activations that checkpoint.config admits.
_ACTIVATIONS: dict[str, Callable[[_Writer, ir.Value], ir.Value]] = {
    "swish": _silu,
    "silu": _silu,
    "relu": _plain("Relu"),
    "relu6": _relu6,
    "gelu": _plain("Gelu"),
    "gelu_pytorch_tanh": _gelu_tanh,
    "gelu_new": _gelu_tanh,
    "mish": _plain("Mish"),
    "tanh": _plain("Tanh"),
    "sigmoid": _plain("Sigmoid"),
}
