"""bfloat16 and float16: stored in 16 bits, computed with in float32, the same on both engines."""

import numpy as np
import pytest

import millrace as mr
from millrace.api import Graph  # the vocabulary, before the operations are listed
from millrace.ir.composite import Composite
from millrace.ir.core import OPS, Primitive
from millrace.ir.errors import ArgumentError, DTypeError, NonFiniteError
from millrace.ir.leaves import Placeholder
from millrace.ir.text import Body, literals, parse, text
from millrace.ir.types import TensorType

ENGINES = pytest.mark.parametrize("engine", ["numpy", "xla"])
HALVES = pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
EPSILON = {"bfloat16": 2.0**-8, "float16": 2.0**-11}


def wide(array):
    return np.asarray(array).astype(np.float32)


def narrowed(sample, dtype):
    """A sample's float32 inputs in 16 bits, or None where it has none or holds a body of fixed types."""
    if any(isinstance(attribute, Body) for attribute in vars(sample.op).values()):
        return None
    if not any(x.dtype == np.float32 for x in sample.inputs) or any(x.dtype == np.float64 for x in sample.inputs):
        return None
    return [x.astype(dtype) if x.dtype == np.float32 else x for x in sample.inputs]


@HALVES
def test_every_operation_gives_the_inferred_dtype_and_the_same_numbers_on_both_engines(dtype):
    inputs, outputs, arrays, ops = [], [], [], []
    for op in sorted((op for op in OPS.values() if issubclass(op, (Primitive, Composite))), key=lambda o: o.__name__):
        for sample in op.samples(np.random.default_rng(1)):
            given = narrowed(sample, dtype)
            if given is None:
                continue
            values = [Placeholder(f"x{n}", TensorType.of(x))() for n, x in enumerate(given)]
            made = sample.op(*values)
            made = made if isinstance(made, tuple) else (made,)
            inputs, outputs, arrays = inputs + values, outputs + list(made), arrays + given
            ops += [sample.op] * len(made)
    assert len({op.name for op in ops}) > 50
    compiled = mr.function(inputs, outputs, engine="xla")(*arrays)
    interpreted = mr.function(inputs, outputs, engine="numpy")(*arrays)
    for op, value, a, b in zip(ops, outputs, compiled, interpreted, strict=True):
        assert np.asarray(a).dtype == b.dtype == value.dtype, op
        tolerance = 1.01 * EPSILON[dtype] * 2  # one step: both are rounded once
        np.testing.assert_allclose(wide(a), wide(b), rtol=tolerance, atol=1e-5, err_msg=str(op))


def network(x, kernel, w, scale):
    """A convolution, normalization over channels, gelu, a dense layer and softmax."""
    h = mr.conv(x, kernel, padding="same")
    h = (h - mr.mean(h, -1, keepdims=True)) / mr.sqrt(mr.var(h, -1, keepdims=True) + 1e-3) * scale
    h = mr.reshape(mr.gelu(h), (x.shape[0], 4 * 4 * 8))
    return mr.softmax(h @ w)


def weights():
    rng = np.random.default_rng(0)
    shapes = {"x": (5, 4, 4, 3), "kernel": (3, 3, 3, 8), "w": (128, 10), "scale": (8,)}
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def outputs_and_gradients(dtype, engine):
    values = {name: mr.Variable(x.astype(dtype), name=name) for name, x in weights().items()}
    out = network(*(v.value for v in values.values()))
    loss = mr.mean(mr.square(out - mr.one_hot(np.arange(5), 10, dtype)))
    gradients = mr.gradients(loss, list(values.values()))
    assert out.dtype == loss.dtype == dtype and {g.dtype for g in gradients} == {dtype}
    results = mr.function([], [out, loss, *gradients], engine=engine)()
    assert {np.asarray(r).dtype.name for r in results} == {dtype}
    return [wide(r) for r in results]


@HALVES
def test_a_network_and_its_gradients_are_near_those_of_float32(dtype):
    exact = outputs_and_gradients("float32", "numpy")
    results = {engine: outputs_and_gradients(dtype, engine) for engine in ("numpy", "xla")}
    for want, *got in zip(exact, *results.values(), strict=True):
        for array in got:
            assert np.abs(array - want).max() < 8 * EPSILON[dtype] * np.abs(want).max()


@ENGINES
def test_a_long_product_of_bfloat16_accumulates_in_float32(engine):
    """Adding ones in bfloat16 stops at 256."""
    x = mr.constant(np.ones((1, 4096), "bfloat16"))
    kernel = mr.ones((64, 64, 1, 1), "bfloat16")
    image = mr.constant(np.ones((1, 64, 64, 1), "bfloat16"))
    window = mr.average_pool(image, (64, 64)) * 4096
    outputs = [x @ mr.ones((4096, 1), "bfloat16"), mr.conv(image, kernel), mr.sum(x), mr.cumsum(x)[0, -1], window]
    for out in mr.function([], outputs, engine=engine, rewrites_off=["constant-folding"])():
        assert float(wide(out).ravel()[0]) == 4096


@ENGINES
@HALVES
def test_the_mean_of_more_elements_than_float16_can_count(dtype, engine):
    x = mr.Variable(np.full(70_001, 3.0, dtype), name="x")
    mean = mr.mean(x)
    (gradient,) = mr.gradients(mean * 1024.0, [x])
    spread = mr.var(x)
    got, slope, variance = mr.function([], [mean, gradient, spread], engine=engine)()
    assert float(got) == 3 and float(variance) == 0
    np.testing.assert_allclose(wide(slope), 1024 / 70_001, rtol=EPSILON[dtype])
    half = mr.mean(mr.Variable(np.full((4, 40_000), 3.0, dtype), name="y"), axis=1)
    assert wide(mr.function([], half, engine=engine)()).tolist() == [3, 3, 3, 3]


@ENGINES
def test_a_sum_may_pass_through_what_float16_cannot_hold(engine):
    x = mr.Variable(np.array([60000, 60000, -60000, -59008], np.float16), name="x")
    total, beyond = mr.function([], [mr.sum(x), mr.sum(mr.abs(x))], engine=engine)()
    assert float(total) == 992 and float(beyond) == np.inf


@ENGINES
def test_a_loop_over_time_keeps_its_dtype_and_has_gradients(engine):
    w = mr.Variable(np.full((3, 3), 0.25, "bfloat16"), name="w")
    xs = mr.Input((2, 3), name="xs", dtype="bfloat16", batch_size=6)
    last, states = mr.scan(lambda h, x: ((n := mr.tanh(h @ w + x)), n), mr.zeros((2, 3), "bfloat16"), xs)
    (gradient,) = mr.gradients(mr.sum(last), [w])
    given = np.random.default_rng(1).normal(0, 1, (6, 2, 3)).astype("bfloat16")
    got = mr.function([xs], [last, states, gradient], engine=engine)(given)
    assert {np.asarray(x).dtype.name for x in got} == {"bfloat16"}

    v = mr.Variable(np.full((3, 3), 0.25, np.float32), name="v")
    ys = mr.Input((2, 3), name="ys", batch_size=6)
    last, states = mr.scan(lambda h, x: ((n := mr.tanh(h @ v + x)), n), mr.zeros((2, 3)), ys)
    want = mr.function([ys], [last, states, *mr.gradients(mr.sum(last), [v])], engine="numpy")(wide(given))
    for a, b in zip(got, want, strict=True):
        assert np.abs(wide(a) - b).max() < 0.02 * np.abs(b).max()


@ENGINES
def test_arguments_variables_and_updates_in_bfloat16(engine):
    x = mr.Input((2,), name="x", dtype="bfloat16")
    w = mr.Variable([1.0, 2.0], name="w", dtype="bfloat16")
    f = mr.function([x], x * w, {w: w + 1}, engine=engine)
    out = f([[1, 2], [3, 0.1]])
    np.testing.assert_array_equal(wide(out), wide(np.array([[1, 4], [3, 0.2]]).astype("bfloat16")))
    assert w.numpy().dtype.name == "bfloat16" and wide(w.numpy()).tolist() == [2, 3]
    w.assign(np.array([0.5, 0.25]))
    assert wide(f(np.ones((1, 2), np.float32))).tolist() == [[0.5, 0.25]]
    with pytest.raises(DTypeError, match="do not fit"):
        f(np.array([[257, 0]]))


@ENGINES
def test_infinity_in_bfloat16_is_found(engine):
    x = mr.Input((2,), name="x", dtype="bfloat16")
    f = mr.function([x], mr.log(x), engine=engine, check_finite=True)
    with pytest.raises(NonFiniteError, match=r"born in log: 1 of 2 .* at \[0, 1\].*bfloat16\[1, 2\] from 0 to 1"):
        f([[1, 0]])
    with pytest.raises(NonFiniteError, match="input 'x' is not finite"):
        f(np.array([[1, np.inf]], np.float32))


# ---- the language


def test_promotion_with_bfloat16():
    def dtype(*dtypes):
        return mr.add(*(mr.ones((2,), d) for d in dtypes)).dtype

    assert dtype("bfloat16", "float32") == dtype("float32", "bfloat16") == "float32"
    assert dtype("float16", "bfloat16") == dtype("bfloat16", "float16") == "float32"
    assert dtype("bfloat16", "float64") == "float64"
    assert dtype("bfloat16", "int32") == dtype("bool", "bfloat16") == "bfloat16"
    assert (mr.ones((2,), "bfloat16") * 0.5).dtype == mr.maximum(mr.ones((), "bfloat16"), 0).dtype == "bfloat16"


@ENGINES
def test_casts_round_to_the_nearest_even(engine):
    numbers = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 3e38, -1e-40, np.inf, -2.5], np.float32)
    x = mr.Variable(numbers, name="x")
    y = mr.cast(x, "bfloat16")
    narrow, back, whole, truth = mr.function(
        [], [y, mr.cast(y, "float32"), mr.cast(y, "int8"), mr.cast(y, "bool")], engine=engine
    )()
    assert np.asarray(narrow).dtype.name == "bfloat16"
    np.testing.assert_allclose(back[:4], [1, 1 + 2**-6, 1 + 2**-7, 3e38], rtol=2**-8)
    assert back[:3].tolist() == [1, 1 + 2**-6, 1 + 2**-7]
    assert np.asarray(whole).tolist()[-2:] == [127, -2] and np.asarray(truth)[:4].all()


def test_the_text_form_round_trips():
    x = mr.Input((3,), name="x", dtype="bfloat16", batch_size=2)
    w = mr.Variable(np.ones(3, "bfloat16"), name="w")
    short = mr.constant(np.array([0.1, np.inf, -2.5], "bfloat16"))
    long = mr.constant(np.linspace(-1, 1, 60).astype("bfloat16").reshape(3, 20))
    graph = Graph([x], [mr.cast((x * w + short) @ long, "float32")], {w: w * 2})
    written = text(graph)
    assert "bfloat16[2, 3]" in written
    back = parse(written, {"w": w}, literals(graph))
    assert text(back) == written
    given = np.ones((2, 3), "bfloat16")
    for a, b in zip(graph.evaluate([given]), back.evaluate([given]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bfloat16_prints_as_numbers():
    assert str(mr.Input((), name="x", dtype="bfloat16") * 0.5) != ""
    from millrace.ir.printing import formula

    x = mr.Input((2,), name="x", dtype="bfloat16", batch_size=1)
    assert formula(x * 0.5) == "x * 0.5"
    assert "0.1001" in formula(x + np.array([0.1, 2], "bfloat16"))


@ENGINES
def test_draws(engine):
    state = mr.random_state(3)
    uniform = mr.random_uniform(state, (4000,), "u", dtype="bfloat16")
    normal = mr.random_normal(state, (40_000,), "n", dtype="bfloat16")
    u, n = (wide(x) for x in mr.function([], [uniform, normal], engine=engine)())
    assert uniform.dtype == normal.dtype == "bfloat16"
    np.testing.assert_array_equal(u * 256, np.floor(u * 256))  # 8 random bits
    assert u.min() == 0 and u.max() == 1 - 2**-8 and u.mean() == pytest.approx(0.5, abs=0.02)
    assert np.abs(n).max() > 3.5 and n.std() == pytest.approx(1, abs=0.02) and np.isfinite(n).all()


def test_filled_values():
    for made, number in ((mr.zeros(2, "bfloat16"), 0), (mr.ones(2, "bfloat16"), 1), (mr.full(2, 0.5, "bfloat16"), 0.5)):
        got = mr.evaluate(made)
        assert got.dtype.name == "bfloat16" and wide(got).tolist() == [number, number]
    assert mr.ones_like(mr.zeros(2, "bfloat16")).dtype == "bfloat16"
    assert wide(mr.evaluate(mr.one_hot(np.array([1]), 2, "bfloat16"))).tolist() == [[0, 1]]


# ---- autocast


@ENGINES
def test_autocast_computes_in_bfloat16_and_gives_float32_gradients(engine):
    x = mr.constant(np.random.default_rng(0).normal(0, 1, (6, 5)).astype("bfloat16"))
    w = mr.Variable(np.random.default_rng(1).normal(0, 1, (5, 4)).astype(np.float32), name="w")
    b = mr.Variable(np.zeros(4, np.float32), name="b")
    with mr.autocast("bfloat16"):
        out = mr.tanh(x @ w + b)
        assert out.dtype == (w * 2).dtype == mr.as_value(w).dtype == "bfloat16"
    assert mr.as_value(w).dtype == (w * 2).dtype == "float32"
    loss = mr.mean(mr.square(mr.cast(out, "float32")))
    gradients = mr.gradients(loss, [w, b])
    assert [g.dtype for g in gradients] == ["float32", "float32"]
    got = mr.function([], gradients, updates={w: w - 0.1 * gradients[0]}, engine=engine)()
    exact = mr.mean(mr.square(mr.tanh(mr.cast(x, "float32") @ w + b)))
    before = w.numpy()
    w.assign(before + 0.1 * np.asarray(got[0]))
    for a, want in zip(got, mr.function([], mr.gradients(exact, [w, b]), engine="numpy")(), strict=True):
        assert np.abs(a - want).max() < 0.02 * np.abs(want).max()
    assert w.numpy().dtype == np.float32


def test_what_autocast_leaves_alone():
    w, count = mr.Variable([1.0], name="w"), mr.Variable([1], name="count")
    wide_one = mr.Variable(np.ones(1), name="wide", dtype="float64")
    with mr.autocast("bfloat16"):
        assert w.value.dtype == mr.as_value(w, "float32").dtype == "float32"
        assert mr.as_value(w, "float32") is w.value
        assert mr.as_value(count).dtype == "int32" and mr.as_value(wide_one).dtype == "float64"
        assert mr.constant([1.0]).dtype == "float32"
        with mr.autocast(None):
            assert mr.as_value(w).dtype == "float32"
        assert mr.as_value(w).dtype == "bfloat16"
    with pytest.raises(ZeroDivisionError), mr.autocast("float16"):
        raise ZeroDivisionError
    assert mr.as_value(w).dtype == "float32"


def test_autocast_takes_floats():
    for wrong in ("int32", "float33", "mixed"):
        with pytest.raises((DTypeError, ArgumentError), match=wrong), mr.autocast(wrong):
            pass
