"""Writes what Keras and PyTorch make of layers, for tests that hold Millrace's layers to them without either.

Run it where torch, keras, jax and numpy are installed: python tests/parity/make_layer_fixtures.py [FAMILY...]
(Keras 3.15.1 with JAX, PyTorch 2.13.0, CPU.) Each FAMILY becomes layers_FAMILY.npz, which holds

- `cases`, JSON: for each case its name, layer, arguments, settings of the call, names of inputs given by name,
  what makes its first dimension (a name, or nothing), and whether it is trained or used;
- for each case NAME its inputs `NAME/x0`, ..., its weights `NAME/w0`, ... in the layer's order, its outputs
  `NAME/out0`, ..., a factor for each `NAME/given0`, ..., and of the sum of outputs times factors the gradient
  by each floating-point input `NAME/dx0`, ... and learned weight `NAME/dw0`, ...; `NAME/new0`, ... is what
  weights that are not learned become in this step.

Inputs, weights and factors are float32, all else was computed in float64. layer_cases.py, layer_cases_space.py
and layer_cases_time.py say what is tried.
"""

import json
import os
import sys
from pathlib import Path

os.environ |= {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}

import jax
import keras
import numpy as np
import torch
from layer_cases import LISTS, core, rectifiers
from layer_cases_space import convolutions, normalizations, poolings, transposed
from layer_cases_time import attentions, recurrences

HERE = Path(__file__).parent
FAMILIES = {
    "core": core, "convolutions": convolutions, "transposed": transposed, "poolings": poolings,
    "normalizations": normalizations, "recurrences": recurrences, "attentions": attentions,
    "rectifiers": rectifiers,
}  # fmt: skip
keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"  # with JAX it would compute in float32
keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")


class Recorder:
    """Collects cases of one family: their inputs, and what an oracle makes of them."""

    def __init__(self, seed):
        self.arrays, self.cases = {}, []
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def whole(self, low, high, *shape):
        """Whole numbers from low to high, as float32."""
        return self.rng.integers(low, high + 1, shape).astype(np.float32)

    def begin(self, layer, kwargs, inputs, name, by_name, settings, **more):
        name = name or f"{layer}({', '.join(f'{k}={short(v)}' for k, v in kwargs.items())})"
        names = [case["name"] for case in self.cases]
        while name in names:
            name += "'"
        by_name = dict(by_name or {})
        self.cases.append(
            {"name": name, "layer": layer, "kwargs": kwargs, "inputs": len(inputs), "by_name": list(by_name),
             "settings": dict(settings or {}), **more}
        )  # fmt: skip
        arrays = [np.asarray(x) for x in (*inputs, *by_name.values())]
        self.save(name, "x", arrays)
        return name, arrays

    def save(self, name, what, arrays):
        for n, array in enumerate(arrays):
            self.arrays[f"{name}/{what}{n}"] = np.array(array)

    def factors(self, outputs):
        """What each output is multiplied by before the sum: small binary fractions, exact in float32."""
        return [
            np.round(self.rng.uniform(-2, 2, np.shape(y)) * 16).astype(np.float32) / np.float32(16) for y in outputs
        ]

    def torch(self, layer, kwargs, inputs, weights, function, name=None, by_name=None, settings=None, batch="batch"):
        """A case that function(*inputs, *weights) computes in PyTorch; weights: arrays or shapes."""
        name, xs = self.begin(
            layer, kwargs, inputs, name, by_name, settings, batch=batch, training=True, masks=[], frozen=False
        )
        ws = [w if isinstance(w, np.ndarray) else 0.5 * self.normal(*w) for w in weights]
        leaves = [
            torch.tensor(a.astype(np.float64), requires_grad=True) if a.dtype.kind == "f" else torch.tensor(a)
            for a in (*xs, *ws)
        ]
        outputs = function(*leaves)
        outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
        given = self.factors(outputs)
        total = sum((y * torch.tensor(g.astype(np.float64))).sum() for y, g in zip(outputs, given, strict=True))
        floats = [leaf for leaf in leaves if leaf.requires_grad]
        found = torch.autograd.grad(total, floats, allow_unused=True)
        found = [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(floats, found, strict=True)]
        count = len(floats) - len(ws)
        self.cases[-1]["learned"] = list(range(len(ws)))
        self.save(name, "w", ws)
        self.save(name, "out", [y.detach().numpy() for y in outputs])
        self.save(name, "given", given)
        self.save(name, "dx", [g.numpy() for g in found[:count]])
        self.save(name, "dw", [g.numpy() for g in found[count:]])

    def keras(
        self, layer, kwargs, inputs, name=None, by_name=None, settings=None, batch="batch", training=False,
        other=None, positive=(), masks=None, states=(), frozen=False,
    ):  # fmt: skip
        """A case that a Keras layer computes; `other` are arguments under which Keras knows it.

        positive: which weights are variances. masks: the inputs' masks, one or None each. states: a recurrent
        layer's initial_state, given by name as a list.
        """
        by_name, masks = (
            dict(by_name or {}) | {f"initial_state {n}": s for n, s in enumerate(states)},
            list(masks or ()),
        )
        extra = [m for m in masks if m is not None]
        free = iter(range(len(inputs) + len(by_name), len(inputs) + len(by_name) + len(extra)))
        where = [None if m is None else next(free) for m in masks]  # each mask's place among the arrays
        name, xs = self.begin(
            layer, kwargs, inputs, name, by_name, settings, batch=batch, training=training, masks=where, frozen=frozen
        )
        made = keras_layer(layer, kwargs if other is None else other)
        made.trainable = not frozen
        xs += [np.asarray(m) for m in extra]
        self.save(name, "x", xs)
        wide = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in xs]

        def apply(values):
            words = {k: values[len(inputs) + n] for n, k in enumerate(by_name)}
            if states:
                words = {"initial_state": list(words.values())}
            found = [None if at is None else values[at] for at in where]
            if layer == "MultiHeadAttention":
                words |= {f"{k}_mask": m for k, m in zip(("query", "value", "key"), found, strict=False)}
            elif found:
                words["mask"] = found if len(inputs) > 1 else found[0]
            several = layer in LISTS
            return ([list(values[: len(inputs)])] if several else list(values[: len(inputs)])), words

        positional, words = apply(wide)
        if takes_training(made):
            words["training"] = training
        made(*positional, **words, **(settings or {}))
        ws = []
        for n, v in enumerate(made.weights):
            if v.dtype == "float64":
                w = 0.5 * self.normal(*v.shape)
                w = np.abs(w) + np.float32(0.2) if n in positive else w
                v.assign(w)
                ws.append(w)
        self.save(name, "w", ws)
        learned = [n for n, v in enumerate(made.weights) if any(v is t for t in made.trainable_variables)]
        self.cases[-1]["learned"] = learned
        fixed = [v.value for v in made.non_trainable_variables]
        floats = [n for n, x in enumerate(wide) if x.dtype.kind == "f"]

        def run(moved, weights):
            values = list(wide)
            for n, x in zip(floats, moved, strict=True):
                values[n] = x
            positional, words = apply(values)
            if takes_training(made):
                words["training"] = training
            out, new = made.stateless_call(weights, fixed, *positional, **words, **(settings or {}))
            return jax.tree_util.tree_leaves(out), new

        start = ([jax.numpy.asarray(wide[n]) for n in floats], [v.value for v in made.trainable_variables])
        outputs, back, new = jax.vjp(run, *start, has_aux=True)
        given = self.factors(outputs)
        dx, dw = back([jax.numpy.asarray(g.astype(np.float64)) for g in given])
        self.save(name, "out", outputs)
        self.save(name, "given", given)
        self.save(name, "dx", dx)
        self.save(name, "dw", dw)
        if training:
            self.save(name, "new", [v for v in new if np.asarray(v).dtype == np.float64])

    def write(self, path):
        self.arrays["cases"] = np.array(json.dumps(self.cases))
        np.savez_compressed(path, **self.arrays)
        print(f"{path.name}: {len(self.cases)} cases, {path.stat().st_size / 1000:.0f} kB")


def short(value):
    """An argument as a case's name shows it."""
    if isinstance(value, dict):
        return f"{value['layer']}({', '.join(f'{k}={short(v)}' for k, v in value['config'].items())})"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(short, value))})"
    return str(value)


def takes_training(layer):
    return bool(layer._call_has_training_arg)


def keras_layer(kind, kwargs):
    return getattr(keras.layers, kind)(**{k: keras_value(v) for k, v in kwargs.items()})


def keras_value(value):
    if isinstance(value, dict):
        return keras_layer(value["layer"], value["config"])
    return [keras_value(v) for v in value] if isinstance(value, list) else value


def main():
    torch.set_num_threads(1)
    for n, (family, cases) in enumerate(FAMILIES.items()):
        if family in sys.argv[1:] or not sys.argv[1:]:
            recorder = Recorder(1998 + n)
            cases(recorder)
            recorder.write(HERE / f"layers_{family}.npz")


if __name__ == "__main__":
    main()
