"""ONNX export of every layer: the cases that Keras and PyTorch were asked about, computed by ONNX Runtime."""

import numpy as np
import pytest
from onnx_running import run
from tests.parity.layer_oracles import FAMILIES, arrays, cases, tuples

from millrace.inference import Predictor
from millrace.ir.dims import dim
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.rewrite import simplify
from millrace.ir.types import TensorType
from millrace.layers.base import LAYERS
from millrace.layers.calls import set_mask
from millrace.layers.saved import restored
from millrace.training.forms import Form, frozen_statistics

TOGETHER = 30  # cases in one model


def used(family, case, number):
    """A layer with the case's weights as it is used: its inputs and outputs, the first dimension open where it may."""
    xs = arrays(family, case["name"], "x")
    inputs = []
    for n, x in enumerate(xs):
        first = dim(f"b{number}") if case["batch"] else x.shape[0]
        inputs.append(Placeholder(f"c{number}x{n}", TensorType(x.dtype.name, (first, *x.shape[1:])))())
    kwargs = {k: tuples(restored(v, LAYERS)) for k, v in case["kwargs"].items()}
    layer = LAYERS[case["layer"]](**kwargs, name=f"layer{number}")
    given = inputs[: case["inputs"]]
    for value, at in zip(given, case["masks"], strict=False):
        set_mask(value, None if at is None else inputs[at])
    words = dict(zip(case["by_name"], inputs[case["inputs"] :], strict=False))
    if any(word.startswith("initial_state") for word in words):
        words = {"initial_state": list(words.values())}
    outputs = layer(*given, **words, **case["settings"])
    outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    weights = [v for v in layer.weights if v.type.is_float]
    for variable, w in zip(weights, arrays(family, case["name"], "w"), strict=True):
        variable.assign(w)
    return inputs, Form(inputs, outputs, frozen=frozen_statistics([layer])).for_use().outputs, xs


PARTS = [(f, n) for f in FAMILIES for n in range(-(-len(cases(f)) // TOGETHER))]


@pytest.mark.parametrize(("family", "part"), PARTS, ids=lambda x: str(x))
def test_every_layer_computes_the_same_in_onnx_runtime(family, part):
    inputs, outputs, xs, names = [], [], [], []
    for number, case in enumerate(list(cases(family).values())[part * TOGETHER : (part + 1) * TOGETHER]):
        more, made, given = used(family, case, number)
        inputs, outputs, xs = inputs + list(more), outputs + list(made), xs + given
        names += [case["name"]] * len(made)
    graph = simplify(Graph(inputs, outputs))
    predictor = Predictor(graph, [f"y{n}" for n in range(len(outputs))], engine="numpy")
    got = run(predictor, xs)
    for name, a, b in zip(names, got, predictor(*xs), strict=True):
        assert a.shape == b.shape, name
        assert a.dtype == b.dtype, name
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=name)
