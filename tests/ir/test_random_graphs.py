"""Random graphs: engines agree, rewrites change nothing, gradients are those of finite differences."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import millrace as mr
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.text import literals, parse, text
from millrace.ir.types import TensorType

SMOOTH_UNARY = [
    mr.tanh,
    mr.sigmoid,
    mr.sin,
    mr.cos,
    mr.softplus,
    mr.silu,
    mr.gelu,
    mr.negative,
    lambda v: mr.exp(mr.tanh(v)),
    lambda v: mr.sqrt(mr.square(v) + 1.0),
    lambda v: mr.log(mr.square(v) + 1.0),
    lambda v: mr.square(mr.sin(v)),
    lambda v: mr.power(mr.sigmoid(v) + 0.5, 3),
]
OTHER_UNARY = [mr.relu, mr.abs, mr.leaky_relu, mr.elu, lambda v: mr.clip(v, -0.5, 0.75)]
SMOOTH_BINARY = [
    mr.add,
    mr.subtract,
    mr.multiply,
    lambda a, b: mr.divide(a, mr.square(b) + 1.0),
    lambda a, b: mr.where(mr.constant(np.array(True)), a, b) * b,
]
OTHER_BINARY = [
    mr.maximum,
    mr.minimum,
    lambda a, b: mr.where(a > b, a, b * 2.0),
    lambda a, b: a * mr.cast(mr.less(a, b), a.dtype),
]
LIMIT = 200


class Builder:
    """Grows a graph from choices that hypothesis draws; values stay near the unit range and small."""

    def __init__(self, draw, dtype, smooth):
        self.draw, self.dtype, self.smooth = draw, dtype, smooth
        self.inputs = [
            Placeholder(f"x{n}", TensorType(dtype, draw(st.sampled_from([(3,), (2, 3), (1, 3), (2, 4, 3)]))))()
            for n in range(draw(st.integers(1, 2)))
        ]
        self.values = list(self.inputs)

    def pick(self, options):
        return self.draw(st.sampled_from(options))

    def value(self, *ranks):
        fitting = [v for v in self.values if not ranks or v.ndim in ranks]
        return self.pick(fitting) if fitting else None

    def matrix(self, rows, columns):
        numbers = np.random.default_rng(self.draw(st.integers(0, 9))).uniform(-1, 1, (rows, columns))
        return mr.constant(numbers.astype(self.dtype))

    def grow(self, steps):
        for _ in range(steps):
            made = getattr(self, self.pick(STEPS))()
            if made is not None and 0 < made.type.size <= LIMIT:
                self.values.append(made)
        return self

    def unary(self):
        return self.pick(SMOOTH_UNARY + ([] if self.smooth else OTHER_UNARY))(self.value())

    def binary(self):
        a, b = self.value(), self.value()
        b = b if fits(a.shape, b.shape) else a
        return mr.tanh(self.pick(SMOOTH_BINARY + ([] if self.smooth else OTHER_BINARY))(a, b))

    def reduction(self):
        v = self.value(1, 2, 3)
        if v is None:
            return None
        axis = self.draw(st.integers(-v.ndim, v.ndim - 1))
        kinds = [mr.sum, mr.mean, mr.logsumexp, mr.var] + ([] if self.smooth else [mr.max, mr.min, mr.prod])
        return self.pick(kinds)(v, axis=axis, keepdims=self.draw(st.booleans()))

    def running_sum(self):
        v = self.value(1, 2, 3)
        return (
            None
            if v is None
            else mr.cumsum(v, axis=self.draw(st.integers(0, v.ndim - 1)), reverse=self.draw(st.booleans()))
        )

    def reshape(self):
        v = self.value()
        return self.pick([mr.ravel, lambda v: mr.reshape(v, (1, -1)), lambda v: mr.expand_dims(v, 0)])(v)

    def transpose(self):
        v = self.value(2, 3)
        return None if v is None else mr.transpose(v, self.draw(st.permutations(range(v.ndim))))

    def broadcast(self):
        v = self.value(0, 1, 2)
        return None if v is None else mr.broadcast_to(v, (2, *v.shape))

    def slice(self):
        v = self.value(1, 2, 3)
        cut = self.pick([slice(0, 1), slice(None, None, 2), slice(None, None, -1), slice(-2, None)])
        return None if v is None else v[cut]

    def pad(self):
        v = self.value(1, 2)
        return None if v is None else mr.pad(v, ((1, 0), (0, 2))[: v.ndim], self.pick([0.0, 0.5]))

    def concatenate(self):
        v = self.value(1, 2, 3)
        return None if v is None else mr.concatenate([v, v * 0.5], axis=self.draw(st.integers(0, v.ndim - 1)))

    def take(self):
        v = self.value(1, 2, 3)
        return None if v is None else mr.take(v, mr.constant([0, v.shape[0] - 1, 0]), axis=0)

    def matmul(self):
        v = self.value(1, 2, 3)
        return None if v is None else mr.tanh(v @ self.matrix(v.shape[-1], 3))

    def product(self):
        v = self.value(2, 3)
        return None if v is None else mr.tanh(v @ mr.swapaxes(v, -1, -2))

    def convolution(self):
        v = self.value(3)
        if v is None:
            return None
        numbers = np.random.default_rng(4).uniform(-1, 1, (2, v.shape[-1], 2)).astype(self.dtype)
        return mr.conv(v, mr.constant(numbers), strides=self.pick([1, 2]), padding="same")

    def pooling(self):
        v = self.value(3)
        kind = mr.average_pool if self.smooth or self.draw(st.booleans()) else mr.max_pool
        return None if v is None else kind(v, 2, strides=self.pick([1, 2]), padding="same")

    def softmax(self):
        v = self.value(1, 2, 3)
        return (
            None
            if v is None
            else self.pick([mr.softmax, mr.log_softmax])(v, axis=self.draw(st.integers(0, v.ndim - 1)))
        )

    def scan(self):
        v = self.value(1, 2)
        if v is None:
            return None
        weight = mr.sum(self.value())
        start = mr.zeros(v.shape[1:], self.dtype)
        last, ys = mr.scan(
            lambda s, t: (mr.tanh(s * 0.5 + t * mr.tanh(weight)), s * t), start, v, reverse=self.draw(st.booleans())
        )
        return self.pick([ys, ys + last, last])

    def recurrent(self):
        v = self.value(2)
        if v is None:
            return None
        w = self.matrix(v.shape[1], v.shape[1]) * mr.tanh(mr.sum(v))
        last, ys = mr.scan(lambda s, t: ((h := mr.tanh(s @ w + t)), h), mr.zeros(v.shape[1:], self.dtype), v)
        return self.pick([ys, last])

    def loss(self):
        total = mr.mean(self.values[-1])
        for v in self.values[-3:-1]:
            total = total + mr.mean(mr.sin(v))
        return total


STEPS = [name for name in vars(Builder) if name not in ("pick", "value", "matrix", "grow", "loss") and name[0] != "_"]


def fits(a, b):
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        return False
    return True


@st.composite
def built(draw, dtype="float32", smooth=False, steps=10):
    builder = Builder(draw, dtype, smooth).grow(draw(st.integers(3, steps)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return builder, [rng.uniform(-1.5, 1.5, v.shape).astype(dtype) for v in builder.inputs]


def examples(count):
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=())


def close(a, b, tolerance):
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype and a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@examples(40)
@given(built())
def test_the_engines_agree(made):
    builder, arrays = made
    outputs = builder.values[len(builder.inputs) :] or builder.values
    compiled = mr.function(builder.inputs, outputs, engine="xla")(*arrays)
    interpreted = mr.function(builder.inputs, outputs, engine="numpy")(*arrays)
    for a, b in zip(compiled, interpreted, strict=True):
        close(a, b, 2e-5)


@examples(25)
@given(built(dtype="float64", smooth=True, steps=8))
def test_the_engines_agree_on_gradients(made):
    builder, arrays = made
    outputs = mr.gradients(builder.loss(), builder.inputs, unconnected="zero")
    compiled = mr.function(builder.inputs, outputs, engine="xla")(*arrays)
    interpreted = mr.function(builder.inputs, outputs, engine="numpy")(*arrays)
    for a, b in zip(compiled, interpreted, strict=True):
        close(a, b, 1e-9)


@examples(40)
@given(built(dtype="float64"))
def test_rewrites_change_nothing_but_rounding(made):
    builder, arrays = made
    loss = builder.loss()
    outputs = [*builder.values, loss, *mr.gradients(loss, builder.inputs, unconnected="zero")]
    plain = mr.function(builder.inputs, outputs, engine="numpy", rewrites_off=list(mr.rewrites()))
    simple = mr.function(builder.inputs, outputs, engine="numpy")
    assert len(simple.simplified.nodes) <= len(plain.simplified.nodes)
    for a, b in zip(plain(*arrays), simple(*arrays), strict=True):
        close(a, b, 1e-11)


def slope(f, arrays, directions, step):
    ahead, behind = (f([x + sign * step * d for x, d in zip(arrays, directions, strict=True)])[0] for sign in (1, -1))
    return (ahead - behind) / (2 * step)


@examples(40)
@given(built(dtype="float64", smooth=True))
def test_the_gradient_is_that_of_finite_differences(made):
    builder, arrays = made
    loss = builder.loss()
    rng = np.random.default_rng(5)
    directions = [rng.standard_normal(x.shape) for x in arrays]
    given_ = mr.gradients(loss, builder.inputs, unconnected="zero")
    got = sum((g * d).sum() for g, d in zip(Graph(builder.inputs, given_).evaluate(arrays), directions, strict=True))
    f = Graph(builder.inputs, [loss]).evaluate
    expected = (4 * slope(f, arrays, directions, 1e-4) - slope(f, arrays, directions, 2e-4)) / 3
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-8)


@examples(40)
@given(built(dtype="float64", smooth=True, steps=6))
def test_the_gradient_of_the_gradient_is_that_of_finite_differences(made):
    builder, arrays = made
    rng = np.random.default_rng(6)
    directions = [rng.standard_normal(x.shape) for x in arrays]
    first = mr.gradients(builder.loss(), builder.inputs, unconnected="zero")
    bend = sum((mr.sum(g * mr.constant(d)) for g, d in zip(first, directions, strict=True)), mr.constant(np.float64(0)))
    second = mr.gradients(bend, builder.inputs, unconnected="zero")
    got = sum((g * d).sum() for g, d in zip(Graph(builder.inputs, second).evaluate(arrays), directions, strict=True))
    f = Graph(builder.inputs, [bend]).evaluate
    expected = (4 * slope(f, arrays, directions, 1e-4) - slope(f, arrays, directions, 2e-4)) / 3
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


@examples(40)
@given(built())
def test_the_text_round_trips(made):
    builder, arrays = made
    loss = builder.loss()
    graph = Graph(builder.inputs, [*builder.values, *mr.gradients(loss, builder.inputs, unconnected="zero")])
    written = text(graph)
    back = parse(written, literals=literals(graph))
    assert text(back) == written
    for a, b in zip(graph.evaluate(arrays), back.evaluate(arrays), strict=True):
        np.testing.assert_array_equal(a, b)
