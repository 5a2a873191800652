"""Layers, their gradients and their state, held to what Keras and PyTorch computed.

tests/parity/make_layer_fixtures.py says what the fixtures hold, and how they were made.
"""

import functools
import json

import numpy as np
import pytest
from tests.parity.layer_oracles import FAMILIES, arrays, cases, tuples

import millrace as mr
from millrace import layers
from millrace.ir.dims import dim
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType
from millrace.layers.base import LAYERS
from millrace.layers.calls import set_mask
from millrace.layers.saved import restored
from millrace.training.forms import Form, frozen_statistics

PER_FUNCTION = 24  # cases in one compiled function
ENGINES = ("xla", "numpy")
SPARSE = {"core": 2, "recurrences": 3, "attentions": 2}  # every how many-th case XLA takes


def tried(family, engine):
    """The cases that an engine runs: compiling takes long, so XLA takes some of the many alike."""
    return list(cases(family))[:: SPARSE.get(family, 1) if engine == "xla" else 1]


def made_layer(case, name=None):
    return LAYERS[case["layer"]](**{k: tuples(restored(v, LAYERS)) for k, v in case["kwargs"].items()}, name=name)


class Built:
    """A case as a piece of graph: its inputs, and everything that the oracle has a number for."""

    def __init__(self, family, name, number, layer=None):
        self.case = case = cases(family)[name]
        xs = arrays(family, name, "x")
        self.inputs = []
        for n, x in enumerate(xs):
            first = dim(f"b{number}") if case["batch"] else x.shape[0]
            self.inputs.append(Placeholder(f"c{number}x{n}", TensorType(x.dtype.name, (first, *x.shape[1:])))())
        self.layer = layer = made_layer(case) if layer is None else layer
        layer.trainable = not case["frozen"]
        count = case["inputs"]
        given = self.inputs[:count]
        for value, at in zip(given, case["masks"], strict=False):
            set_mask(value, None if at is None else self.inputs[at])
        words = dict(zip(case["by_name"], self.inputs[count:], strict=False))
        if any(word.startswith("initial_state") for word in words):
            words = {"initial_state": list(words.values())}
        outputs = layer(*given, **words, **case["settings"])
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        weights = [v for v in layer.weights if v.type.is_float]
        ws = arrays(family, name, "w")
        assert [v.shape for v in weights] == [w.shape for w in ws]
        for variable, w in zip(weights, ws, strict=True):
            variable.assign(w)
        news = [value for variable, value in layer.all_updates if variable.type.is_float]
        form = Form(self.inputs, outputs, frozen=frozen_statistics([layer]))
        if not case["training"]:
            outputs, news = form.for_use().outputs, []
        elif form.frozen:
            outputs, news = form.for_training(mr.example_weights(self.inputs[0])).outputs, []
        learned = [weights[n] for n in case["learned"]]
        assert case["frozen"] or set(layer.trainable_weights) == set(learned)
        factors = [Placeholder(f"c{number}given{n}", y.type)() for n, y in enumerate(outputs)]
        total = functools.reduce(mr.add, [mr.sum(y * g) for y, g in zip(outputs, factors, strict=True)])
        floats = [x for x in self.inputs if x.type.is_float]
        self.inputs += factors
        found = mr.gradients(total, [*floats, *learned], unconnected="zero")
        self.values = {
            "out": outputs, "dx": found[: len(floats)], "dw": found[len(floats) :], "new": news,
        }  # fmt: skip


@functools.cache
def results(family, part, engine):
    """What one engine makes of a part of a family's cases: arrays, or the error that a case could not be built for."""
    names = tried(family, engine)[part * PER_FUNCTION : (part + 1) * PER_FUNCTION]
    built, answers = {}, {}
    for number, name in enumerate(names):
        try:
            built[name] = Built(family, name, number)
        except Exception as error:  # it belongs to that case's own test
            answers[name] = error
    inputs = [x for one in built.values() for x in one.inputs]
    given = [x for name in built for what in ("x", "given") for x in arrays(family, name, what)]
    wanted = [y for one in built.values() for values in one.values.values() for y in values]
    found = iter(mr.function(inputs, wanted, engine=engine)(*given))
    for name, one in built.items():
        answers[name] = {what: [np.asarray(next(found)) for _ in values] for what, values in one.values.items()}
    return answers


def size(values):
    return max((np.abs(x).max(initial=0) for x in values), default=0)


def close(got, expected, what="", scale=0.0):
    """Equal to 1e-5 of the array's greatest number, or of `scale`, a tenth of that of its likes: sums may cancel."""
    assert got.shape == expected.shape, what
    tolerance = 1e-5 * max(size([expected]), scale, 1e-2)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=tolerance, err_msg=what)


@pytest.mark.parametrize(
    ("engine", "family", "name"),
    [(engine, family, name) for engine in ENGINES for family in FAMILIES for name in tried(family, engine)],
    ids=lambda text: text.replace(" ", ""),
)
def test_a_layer_and_its_gradients_are_the_oracles(engine, family, name):
    answer = results(family, tried(family, engine).index(name) // PER_FUNCTION, engine)[name]
    if isinstance(answer, Exception):
        raise answer
    for what, found in answer.items():
        expected = arrays(family, name, what)
        assert len(found) == len(expected) or (what == "new" and not found)
        for n, (got, right) in enumerate(zip(found, expected, strict=False)):
            close(got, right, f"{what}{n}", 0.1 * size(expected))


# ---- every layer is held to something, and survives being saved

RANDOM = {  # held to their statistics in test_layer_behaviour.py
    "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise", "GaussianDropout",
    "ActivityRegularization",
}  # fmt: skip
ELSEWHERE = {  # bases, and what has a test file of its own
    "Layer", "Cell", "Hopfield", "ModernHopfield", "CenterCrop", "Cutout", "MeanSubtraction", "MixUp", "Normalization",
    "PCAColor", "RandomBrightness", "RandomContrast", "RandomCrop", "RandomErasing", "RandomFlip", "Rescaling",
}  # fmt: skip
PUBLIC = sorted(name for name in layers.__all__ if isinstance(getattr(layers, name), type))


def names_within(value):
    """The layers that a case makes: its own, and those that it is given."""
    if isinstance(value, dict):
        if isinstance(value.get("layer"), str):
            yield value["layer"]
        for inner in value.values():
            yield from names_within(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_within(inner)


def test_every_layer_is_held_to_an_oracle():
    held = {name for family in FAMILIES for case in cases(family).values() for name in names_within(case)}
    assert not set(PUBLIC) - held - RANDOM - ELSEWHERE


@functools.cache
def saved_and_loaded():
    """For each kind of layer its most particular case: made anew from its saved form, and what it then gives."""
    chosen = {}
    for family in FAMILIES:
        for name, case in cases(family).items():
            if case["layer"] not in chosen or len(case["kwargs"]) > chosen[case["layer"]][2]:
                chosen[case["layer"]] = (family, name, len(case["kwargs"]))
    built = {}
    for number, (kind, (family, name, _)) in enumerate(chosen.items()):
        config = json.loads(json.dumps(made_layer(cases(family)[name], f"kept_{kind}").get_config()))
        layer = LAYERS[kind].from_config(config)
        assert layer.name == f"kept_{kind}" and json.loads(json.dumps(layer.get_config())) == config
        built[kind] = Built(family, name, number, layer)
    inputs = [x for one in built.values() for x in one.inputs]
    given = [
        x for kind in built for what in ("x", "given") for x in arrays(chosen[kind][0], chosen[kind][1], what)
    ]  # fmt: skip
    found = mr.function(inputs, [one.values["out"][0] for one in built.values()], engine="numpy")(*given)
    return {
        kind: (out, arrays(*chosen[kind][:2], "out")[0]) for kind, out in zip(built, found, strict=True)
    }  # fmt: skip


@pytest.mark.parametrize("kind", sorted({case["layer"] for family in FAMILIES for case in cases(family).values()}))
def test_a_layer_made_anew_from_its_saved_form_computes_the_same(kind):
    close(*saved_and_loaded()[kind], kind)
