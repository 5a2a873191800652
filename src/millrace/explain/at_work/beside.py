"""Public functions that are no mathematics of their own, at work: engines, models, names, seeds, and rewriting."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace import functional as mr
from millrace import layers as L
from millrace.explain.at_work import real_inputs as real
from millrace.explain.at_work.functions import X, told
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.rewrite import rules, simplify
from millrace.ir.text import parse, text
from millrace.layers.activations import activation
from millrace.layers.calls import mask_of


def _parsed(x: Any) -> Any:
    """tanh, written down as text and read back."""
    open_x = Placeholder("x", x.type)()
    graph = parse(text(Graph([open_x], [mr.tanh(open_x)])))
    return graph.substitute({graph.inputs[0]: x})[graph.outputs[0]]


def _masked(x: Any) -> Any:
    return mask_of(L.Masking(name="masking")(x))


def _padded() -> np.ndarray:
    x = real.rows_of_a_digit()
    x[:, 5:] = 0
    return x


def _dense(**options: Any) -> Any:
    def call(x: Any) -> Any:
        return L.Dense(10, name="dense", **options)(x)

    return call


def _simplified(x: Any) -> Any:
    return simplify(Graph([x], [mr.negative(mr.negative(mr.tanh(x * 1.0)))])).outputs[0]


VECTOR = {"x": real.pixels}
told("activation", 'activation("gelu")(x)', "spread", X, lambda x: activation("gelu")(x))
told("dim", 'x = Input((dim("n"), 8)); mean(x, axis=1)', "rows", {"x": real.rows_of_a_digit}, lambda x: mr.mean(x, 1))
told("evaluate", "evaluate(tanh(x))", "spread", X, mr.tanh)
told("function", "f = function([x], tanh(x)); f(picture)", "spread", X, mr.tanh)
told(
    "join_processes", 'join_processes(); mean(shard(x, ["data", None]), axis=0)', "pixels", VECTOR,
    lambda x: mr.mean(mr.shard(x, ["data", None]), 0), "one_process",
)  # fmt: skip
told("load_model", 'load_model("model.safetensors")(x)', "pixels", VECTOR, _dense(activation="softmax"), "drawn")
told("mask_of", "mask_of(Masking()(x))", "padded_rows", {"x": _padded}, _masked)
told("parse", "parse(text of tanh(x))", "spread", X, _parsed)
told(
    "rewrites", "rewrites()", "nothing", {}, lambda: mr.constant(np.array(len(rules()), np.int32)), "count_of_rules"
)  # fmt: skip
told(
    "set_dtype_policy", 'set_dtype_policy("mixed_bfloat16"); Dense(10)(x)', "pixels", VECTOR,
    _dense(dtype="mixed_bfloat16"), "drawn",
)  # fmt: skip
told("set_seed", "set_seed(0); Dense(10)(x)", "pixels", VECTOR, _dense(), "drawn")
told("simplify", "simplify(graph of -(-tanh(x * 1)))", "spread", X, _simplified, "simplified")
