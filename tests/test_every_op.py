"""Every registered operation, on every one of its samples, held to the same rules."""

import dataclasses

import numpy as np
import pytest

import millrace as mr
import millrace.api  # the whole vocabulary
from millrace.ir.composite import Composite
from millrace.ir.core import OPS, Primitive, Sample, none
from millrace.ir.errors import GradientError, MillraceError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.text import Body, literals, parse, text
from millrace.ir.types import TensorType

TESTED = sorted((op for op in OPS.values() if issubclass(op, (Primitive, Composite))), key=lambda op: op.__name__)
every_op = pytest.mark.parametrize("op", TESTED, ids=lambda op: op.__name__)

# Formulas that are a search or a loop are tested by hand-written cases in tests/ops instead.
NO_FORMULA = {
    "AveragePoolGradient",
    "BatchNormalization",
    "BatchNormalizationGradient",
    "LayerNormalizationGradient",
    "LocalResponseNormalizationGradient",
    "MaxPoolGradient",
    "MaxPoolGather",
    "Scan",
}


def samples(op):
    made = op.samples(np.random.default_rng(1))
    assert made, f"{op.__name__} has no samples"
    return made


def graph_of(sample):
    values = [Placeholder(f"x{n}", type)() for n, type in enumerate(sample.types)]
    outputs = sample.op(*values)
    return Graph(values, outputs if isinstance(outputs, tuple) else (outputs,))


def as_tuple(x):
    return x if isinstance(x, tuple) else (x,)


def test_the_vocabulary_is_whole():
    assert len(TESTED) >= 75
    for op in TESTED:
        assert dataclasses.is_dataclass(op), op
        assert "Source" in op.__doc__, f"{op.__name__} does not say where it comes from"


@every_op
def test_inferred_type_is_the_evaluated_type(op):
    for sample in samples(op):
        inferred = as_tuple(sample.op.infer(*sample.types))
        with np.errstate(all="ignore"):
            evaluated = as_tuple(sample.op.evaluate(*sample.inputs))
        assert [str(t) for t in inferred] == [str(TensorType.of(np.asarray(x))) for x in evaluated], sample.op


@every_op
def test_compiled_equals_interpreted(op):
    made = [(graph_of(sample), sample) for sample in samples(op)]
    inputs = [value for graph, _ in made for value in graph.inputs]
    outputs = [value for graph, _ in made for value in graph.outputs]
    arrays = [x for _, sample in made for x in sample.inputs]
    compiled = mr.function(inputs, outputs, engine="xla")(*arrays)
    interpreted = mr.function(inputs, outputs, engine="numpy")(*arrays)
    for value, a, b in zip(outputs, compiled, interpreted, strict=True):
        a = np.asarray(a)
        assert a.dtype == b.dtype == value.dtype
        if value.type.is_float:
            tolerance = 1e-12 if value.dtype == "float64" else 3e-6
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=str(value.op))
        else:
            np.testing.assert_array_equal(a, b, err_msg=str(value.op))


def in_float64(sample):
    """The sample with its floats widened, or None where it is about a narrower dtype."""
    if any(isinstance(getattr(sample.op, f.name), Body) for f in dataclasses.fields(sample.op)):
        return sample if all(x.dtype != np.float32 for x in sample.inputs) else None
    if getattr(sample.op, "dtype", "float64") != "float64" and op_takes_floats(sample):
        return None
    return Sample(sample.op, tuple(x.astype(np.float64) if x.dtype.kind == "f" else x for x in sample.inputs))


def op_takes_floats(sample):
    return any(x.dtype.kind == "f" for x in sample.inputs)


def directional(f, arrays, directions, step=1e-6):
    ahead = f([x + step * d if d is not None else x for x, d in zip(arrays, directions, strict=True)])
    behind = f([x - step * d if d is not None else x for x, d in zip(arrays, directions, strict=True)])
    return (ahead - behind) / (2 * step)


def random_directions(rng, arrays):
    return [rng.standard_normal(x.shape) if x.dtype.kind == "f" else None for x in arrays]


def scalar_of(rng, graph):
    """A fixed random combination of all floating-point outputs."""
    parts = [mr.sum(v * mr.constant(rng.standard_normal(v.shape))) for v in graph.outputs if v.type.is_float]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def dot(gradients, directions):
    parts = [mr.sum(g * mr.constant(d)) for g, d in zip(gradients, directions, strict=True)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


@every_op
def test_gradient_and_second_gradient_are_those_of_finite_differences(op):
    rng = np.random.default_rng(2)
    checked = 0
    for sample in samples(op):
        sample = in_float64(sample)
        if (
            sample is None
            or not op_takes_floats(sample)
            or any(x.size == 0 or np.abs(x).max() > 500 for x in sample.inputs if x.dtype.kind == "f")
        ):
            continue
        graph = graph_of(sample)
        if not any(v.type.is_float for v in graph.outputs) or isinstance(sample.op.gradient, none):
            continue
        loss = scalar_of(rng, graph)
        wrt = [x for x in graph.inputs if x.type.is_float]
        first = mr.gradients(loss, wrt, unconnected="zero")
        directions = random_directions(rng, sample.inputs)
        used = [d for d in directions if d is not None]

        f = Graph(graph.inputs, [loss])
        expected = directional(lambda a, f=f: float(f.evaluate(a)[0]), sample.inputs, directions)
        slope = dot(first, used)
        got = float(Graph(graph.inputs, [slope]).evaluate(sample.inputs)[0])
        assert got == pytest.approx(expected, rel=2e-6, abs=2e-7), f"gradient of {sample.op}"

        second = mr.gradients(slope, wrt, unconnected="zero")
        again = random_directions(rng, sample.inputs)
        f = Graph(graph.inputs, [slope])
        expected = directional(lambda a, f=f: float(f.evaluate(a)[0]), sample.inputs, again)
        bend = dot(second, [d for d in again if d is not None])
        got = float(Graph(graph.inputs, [bend]).evaluate(sample.inputs)[0])
        assert got == pytest.approx(expected, rel=2e-6, abs=2e-7), f"second gradient of {sample.op}"
        checked += 1
    differentiable = not isinstance(op.gradient, none)
    takes_floats = any(
        op_takes_floats(s) and any(t.is_float for t in as_tuple(s.op.infer(*s.types))) for s in samples(op)
    )
    assert checked or not (differentiable and takes_floats), f"no gradient of {op.__name__} was checked"


@every_op
def test_what_has_no_gradient_says_why_and_where(op):
    if not isinstance(op.gradient, none):
        return
    sample = next((s for s in samples(op) if op_takes_floats(s)), None)
    if sample is None:
        return
    graph = graph_of(sample)
    loss = mr.sum(mr.cast(graph.outputs[0], "float32"))
    with pytest.raises(GradientError) as caught:
        mr.gradients(loss, [x for x in graph.inputs if x.type.is_float])
    message = str(caught.value)
    assert op.gradient.reason in message or "does not change smoothly" in message
    assert "test_every_op.py" in message


@every_op
def test_the_text_form_round_trips(op):
    for sample in samples(op):
        graph = graph_of(sample)
        written = text(graph)
        back = parse(written, literals=literals(graph))
        assert text(back) == written
        with np.errstate(all="ignore"):
            for a, b in zip(graph.evaluate(sample.inputs), back.evaluate(sample.inputs), strict=True):
                np.testing.assert_array_equal(a, b)


@every_op
def test_bad_inputs_get_their_messages(op):
    bad = op.errors()
    assert bad, f"{op.__name__} lists no bad inputs"
    for make, fragment in bad:
        with pytest.raises(MillraceError) as caught:
            make()
        assert fragment in str(caught.value), f"{op.__name__}: {fragment!r} is not in {caught.value}"


@every_op
def test_the_formula_by_plain_loops_equals_evaluate(op):
    evaluated = 0
    for sample in samples(op):
        formula = sample.op.formula(*sample.types)
        if formula is None:
            assert op.__name__ in NO_FORMULA
            continue
        type = sample.op.infer(*sample.types)
        names = operand_names(sample)
        with np.errstate(all="ignore"):
            expected = np.asarray(sample.op.evaluate(*sample.inputs))
            got = formula.evaluate(type.shape, type.dtype, dict(zip(names, sample.inputs, strict=True)))
        if type.is_float:
            tolerance = 1e-12 if type.dtype == "float64" else 2e-3 if type.dtype == "float16" else 2e-6
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance, err_msg=str(formula))
        else:
            np.testing.assert_array_equal(got, expected, err_msg=str(formula))
        assert formula.latex()
        evaluated += 1
    assert evaluated or op.__name__ in NO_FORMULA


def operand_names(sample):
    """The names that the operation's formula gives its operands: those of `infer`, or x0, x1, ..."""
    import inspect

    parameters = list(inspect.signature(sample.op.formula).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        declared = getattr(sample.op, "operands", None)
        return declared or [f"x{n}" for n in range(len(sample.inputs))]
    return [p.name for p in parameters]


@every_op
def test_it_prints_as_mathematics(op):
    from millrace.ir.printing import formula

    for sample in samples(op):
        shown = formula(graph_of(sample).outputs[0], simplified=False)
        assert shown and "object at" not in shown and "\n\n" not in shown


def test_an_operation_without_a_facet_cannot_be_made():
    with pytest.raises(TypeError, match="lacks infer"):

        @dataclasses.dataclass(frozen=True)
        class Half(Primitive):
            """Half of it."""

    assert "Half" not in OPS
