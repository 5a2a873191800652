"""Operations and their gradients, held to what PyTorch computed; tests/parity/make_fixtures.py says how."""

from pathlib import Path

import numpy as np
import pytest

import millrace as mr
from millrace.ir.graph import topological
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType
from millrace.ops.convolution import ConvolutionInputGradient

with np.load(Path(__file__).parents[1] / "parity" / "operations.npz") as stored:
    FIXTURE = dict(stored)


def gradients_of_gradients(function):
    """The gradients of sum(function * given), where `given` is the last input."""

    def build(*inputs):
        *inputs, given = inputs
        return tuple(mr.gradients(mr.sum(function(*inputs) * given), inputs))

    return build


def gradient_penalty(function):
    def build(*inputs):
        found = mr.gradients(mr.sum(function(*inputs)[0]), inputs)
        total = mr.sum(mr.square(found[0]))
        for g in found[1:]:
            total = total + mr.sum(mr.square(g))
        return total

    return build


def rnn(h, xs, w, u, b, reverse=False):
    def step(h, x):
        h = mr.tanh(h @ w + x @ u + b)
        return h, h

    return mr.scan(step, h, xs, reverse=reverse)


def lstm(h, c, xs, w, u):
    def step(state, x):
        h, c = state
        i, f, o, new = mr.split(h @ w + x @ u, 4, axis=1)
        c = mr.sigmoid(f) * c + mr.sigmoid(i) * mr.tanh(new)
        h = mr.sigmoid(o) * mr.tanh(c)
        return (h, c), h

    (h, c), outputs = mr.scan(step, (h, c), xs)
    return h, c, outputs


def shared_weight(h, xs, w, a):
    return mr.scan(lambda h, x: (mr.tanh(mr.tanh(h @ w + x) @ w) * a, None), h, xs)[0]


def conv(**options):
    return lambda x, kernel: mr.conv(x, kernel, **options)


def max_pool(*window):
    return lambda x: mr.max_pool(x, *window)


def average_pool(*window, count_padding=False):
    return lambda x: mr.average_pool(x, *window, count_padding=count_padding)


def local_response(*parameters):
    return lambda x: mr.local_response_normalization(x, *parameters)


CONV = ("Convolution", "ConvolutionInputGradient", "ConvolutionKernelGradient")
AVERAGE_POOL = ("AveragePool", "AveragePoolGradient")
MAX_POOL = ("MaxPool", "MaxPoolGradient")
LOCAL_RESPONSE = ("LocalResponseNormalization", "LocalResponseNormalizationGradient")

# name of a case: how Millrace computes it, and the operations that it checks
CASES = {
    "exp": (mr.exp, ["Exp"]),
    "log": (mr.log, ["Log"]),
    "log1p": (mr.log1p, ["Log1p"]),
    "expm1": (mr.expm1, ["Expm1"]),
    "sqrt": (mr.sqrt, ["Sqrt"]),
    "rsqrt": (mr.rsqrt, ["Rsqrt"]),
    "tanh": (mr.tanh, ["Tanh"]),
    "sigmoid": (mr.sigmoid, ["Sigmoid"]),
    "erf": (mr.erf, ["Erf"]),
    "sin": (mr.sin, ["Sin"]),
    "cos": (mr.cos, ["Cos"]),
    "relu": (mr.relu, ["Relu"]),
    "abs": (mr.abs, ["Abs"]),
    "sign": (mr.sign, ["Sign"]),
    "floor": (mr.floor, ["Floor"]),
    "ceil": (mr.ceil, ["Ceil"]),
    "round": (mr.round, ["Round"]),
    "negative": (mr.negative, ["Negative"]),
    "square": (mr.square, ["IntegerPower"]),
    "cube": (lambda x: x**3, ["IntegerPower"]),
    "power_minus_2": (lambda x: x**-2, ["IntegerPower"]),
    "reciprocal": (mr.reciprocal, ["Divide"]),
    "softplus": (mr.softplus, ["Maximum", "Log1p", "Exp", "Abs"]),
    "leaky_relu": (lambda x: mr.leaky_relu(x, 0.1), ["Select", "Greater"]),
    "elu": (lambda x: mr.elu(x, 1.5), ["Select", "Expm1"]),
    "elu_at_zero": (lambda x: mr.elu(x, 1.5), ["Select", "Expm1"]),
    "silu": (mr.silu, ["Sigmoid", "Multiply"]),
    "gelu": (mr.gelu, ["Erf", "Multiply"]),
    "clip": (lambda x: mr.clip(x, -1.2, 0.7), ["Less", "Greater", "Select"]),
    "add_broadcast": (mr.add, ["Add", "Broadcast"]),
    "subtract_broadcast": (mr.subtract, ["Subtract", "Broadcast"]),
    "multiply_broadcast": (mr.multiply, ["Multiply", "Broadcast"]),
    "divide_broadcast": (mr.divide, ["Divide", "Broadcast"]),
    "power": (mr.power, ["Power"]),
    "power_of_zero": (mr.power, ["Power"]),
    "zero_to_the_zero": (mr.power, ["Power"]),
    "maximum_ties": (mr.maximum, ["Maximum"]),
    "minimum_ties": (mr.minimum, ["Minimum"]),
    "where": (mr.where, ["Select"]),
    "stop_gradient": (lambda x: x * mr.stop_gradient(x), ["StopGradient"]),
    "cast": (lambda x: mr.cast(mr.cast(x, "int32"), x.dtype) * x, ["Cast"]),
    "eq": (mr.equal, ["Equal"]),
    "ne": (mr.not_equal, ["NotEqual"]),
    "lt": (mr.less, ["Less"]),
    "le": (mr.less_equal, ["LessEqual"]),
    "gt": (mr.greater, ["Greater"]),
    "ge": (mr.greater_equal, ["GreaterEqual"]),
    "is_finite": (mr.isfinite, ["IsFinite"]),
    "is_nan": (mr.isnan, ["NotEqual"]),
    "bitwise_and": (mr.logical_and, ["And"]),
    "bitwise_or": (mr.logical_or, ["Or"]),
    "bitwise_xor": (mr.logical_xor, ["Xor"]),
    "bitwise_not": (mr.logical_not, ["Not"]),
    "logical_and": (mr.logical_and, ["And"]),
    "logical_or": (mr.logical_or, ["Or"]),
    "logical_xor": (mr.logical_xor, ["Xor"]),
    "logical_not": (mr.logical_not, ["Not"]),
    "sum": (lambda x: mr.sum(x, (0, 2)), ["Sum"]),
    "mean": (lambda x: mr.mean(x, (1, 2)), ["Mean"]),
    "mean_of_all": (mr.mean, ["Mean"]),
    "variance": (lambda x: mr.var(x, (0, 2)), ["Mean", "IntegerPower"]),
    "standard_deviation": (lambda x: mr.std(x, 1), ["Mean", "Sqrt"]),
    "logsumexp": (lambda x: mr.logsumexp(x, 1), ["Sum", "Exp", "Log", "Max"]),
    "amax_ties": (lambda x: mr.max(x, 1), ["Max"]),
    "amin_ties": (lambda x: mr.min(x, 0), ["Min"]),
    "amax_of_all_ties": (mr.max, ["Max"]),
    "argmax_ties": (lambda x: mr.argmax(x, 1), ["ArgMax"]),
    "argmin_ties": (lambda x: mr.argmin(x, 0), ["ArgMin"]),
    "prod_with_zeros": (lambda x: mr.prod(x, 1), ["Product"]),
    "prod_of_all": (mr.prod, ["Product"]),
    "cumsum": (lambda x: mr.cumsum(x, 1), ["CumulativeSum"]),
    "cumsum_reversed": (lambda x: mr.cumsum(x, 0, reverse=True), ["CumulativeSum"]),
    "any": (lambda x: mr.any(x, 1), ["AnyTrue"]),
    "all": (lambda x: mr.all(x, 1), ["AllTrue"]),
    "softmax": (mr.softmax, ["Softmax", "SoftmaxGradient"]),
    "softmax_axis_0": (lambda x: mr.softmax(x, 0), ["Softmax"]),
    "softmax_large": (mr.softmax, ["Softmax"]),
    "log_softmax": (mr.log_softmax, ["LogSoftmax"]),
    "log_softmax_axis_1": (lambda x: mr.log_softmax(x, 1), ["LogSoftmax"]),
    "log_softmax_large": (mr.log_softmax, ["LogSoftmax"]),
    "cross_entropy": (mr.softmax_cross_entropy, ["SoftmaxCrossEntropy"]),
    "mean_cross_entropy": (lambda x, y: mr.mean(mr.softmax_cross_entropy(x, y)), ["SoftmaxCrossEntropy"]),
    "cross_entropy_large": (mr.softmax_cross_entropy, ["SoftmaxCrossEntropy"]),
    "cross_entropy_of_sequences": (mr.softmax_cross_entropy, ["SoftmaxCrossEntropy"]),
    "cross_entropy_ignored_label": (mr.softmax_cross_entropy, ["SoftmaxCrossEntropy"]),
    "sigmoid_cross_entropy": (mr.sigmoid_cross_entropy, ["Log1p", "Exp", "Abs"]),
    "local_response_norm": (local_response(5, 2.0, 1e-4, 0.75), LOCAL_RESPONSE),
    "local_response_norm_strong": (local_response(3, 1.0, 0.5, 0.75), LOCAL_RESPONSE),
    "local_response_norm_even": (local_response(4, 1.0, 0.3, 0.6), LOCAL_RESPONSE),
    "local_response_norm_2d": (local_response(5, 2.0, 0.1, 1.0), LOCAL_RESPONSE),
    "matmul": (mr.matmul, ["Dot"]),
    "bmm": (mr.matmul, ["Dot"]),
    "matmul_broadcast": (mr.matmul, ["Dot", "Broadcast"]),
    "matmul_vector_matrix": (mr.matmul, ["Dot"]),
    "matmul_matrix_vector": (mr.matmul, ["Dot"]),
    "matmul_vectors": (mr.matmul, ["Dot"]),
    "outer": (mr.outer, ["Dot"]),
    "tensordot": (mr.tensordot, ["Dot"]),
    "tensordot_crossed": (lambda x, y: mr.tensordot(x, y, ((1, 0), (0, 2))), ["Dot"]),
    "einsum_batch_last": (lambda x, y: mr.einsum("ijb,bkj->kbi", x, y), ["Dot", "Transpose"]),
    "einsum_attention": (lambda x, y: mr.einsum("bqhd,bkhd->bhqk", x, y), ["Dot"]),
    "einsum_alone": (lambda x, y: mr.einsum("ijk,kl->il", x, y), ["Dot", "Sum"]),
    "reshape": (lambda x: mr.reshape(x, (2, -1)), ["Reshape"]),
    "transpose": (lambda x: mr.transpose(x, (2, 0, 1)), ["Transpose"]),
    "broadcast": (lambda x: mr.broadcast_to(x, (3, 4, 2)), ["Broadcast"]),
    "concatenate": (lambda *xs: mr.concatenate(xs, axis=1), ["Concatenate", "Slice"]),
    "stack": (lambda *xs: mr.stack(xs, axis=1), ["Concatenate"]),
    "slice_steps": (lambda x: x[1:4:2, ::3], ["Slice", "Pad"]),
    "slice_reversed": (lambda x: x[:, -2::-2], ["Slice", "Reverse"]),
    "pad": (lambda x: mr.pad(x, ((1, 0), (0, 2)), -1.5), ["Pad", "Slice"]),
    "reverse": (mr.flip, ["Reverse"]),
    "index_select_0": (lambda x, i: mr.take(x, i, 0), ["Take", "ScatterAdd"]),
    "index_select_1": (lambda x, i: mr.take(x, i, 1), ["Take", "ScatterAdd"]),
    "embedding": (lambda i, w: mr.take(w, i, 0), ["Take", "ScatterAdd"]),
    "index_add_0": (lambda x, i, y: mr.scatter_add(x, i, y, 0), ["ScatterAdd", "Take"]),
    "index_add_1": (lambda x, i, y: mr.scatter_add(x, i, y, 1), ["ScatterAdd", "Take"]),
    "one_hot": (lambda x: mr.one_hot(x, 4, "int32"), ["OneHot"]),
    "iota": (lambda x: x * mr.iota(x.shape, 1, x.dtype), ["Iota"]),
    "conv1d": (conv(), CONV),
    "conv1d_all": (conv(strides=2, padding=((2, 1),), dilation=2, groups=2), CONV),
    "conv2d": (conv(), CONV),
    "conv2d_strides": (conv(strides=(3, 2)), CONV),
    "conv2d_padding": (conv(padding=((1, 1), (2, 0))), CONV),
    "conv2d_dilation": (conv(dilation=(3, 2)), CONV),
    "conv2d_groups": (conv(padding="same", groups=2), CONV),
    "conv2d_depthwise": (conv(padding="same", groups=3), CONV),
    "conv2d_depthwise_multiplier": (conv(strides=(2, 1), groups=2), CONV),
    "conv2d_all": (conv(strides=(2, 3), padding=((1, 2), (1, 0)), dilation=(1, 2), groups=2), CONV),
    "conv3d": (conv(), CONV),
    "conv3d_all": (conv(strides=(2, 1, 2), padding=((1, 1), (0, 1), (1, 0)), groups=2), CONV),
    "conv_transpose2d": (ConvolutionInputGradient((6, 8), (2, 3), ((1, 1), (1, 1)), (1, 1), 2), CONV),
    "conv_transpose1d": (ConvolutionInputGradient((8,), (1,), ((0, 0),), (2,)), CONV),
    "conv2d_gradient_of_gradient": (
        gradients_of_gradients(conv(strides=(2, 1), padding=((1, 0), (1, 1)), groups=2)),
        CONV,
    ),
    "max_pool1d_ties": (max_pool(3, 2, 1), MAX_POOL),
    "max_pool2d_ties": (max_pool(2), MAX_POOL),
    "max_pool2d_overlapping_ties": (max_pool(3, 2), MAX_POOL),
    "max_pool2d_padding_ties": (max_pool((3, 2), (1, 2), 1), MAX_POOL),
    "max_pool2d_uneven_padding_ties": (max_pool(3, 2, ((0, 2), (1, 0))), MAX_POOL),
    "max_pool2d_gaps": (max_pool(2, 3), MAX_POOL),
    "max_pool3d_ties": (max_pool(2, (2, 1, 1), (1, 0, 1)), MAX_POOL),
    "max_pool2d_gradient_of_gradient_ties": (
        gradients_of_gradients(max_pool(3, 2, 1)),
        ["MaxPoolGradient", "MaxPoolGather"],
    ),
    "avg_pool1d": (average_pool(3, 2, 1), AVERAGE_POOL),
    "avg_pool2d": (average_pool((2, 3), (1, 2), 1), AVERAGE_POOL),
    "avg_pool3d": (average_pool(2, (2, 1, 2), 1), AVERAGE_POOL),
    "avg_pool1d_counting_padding": (average_pool(3, 2, 1, count_padding=True), AVERAGE_POOL),
    "avg_pool2d_counting_padding": (average_pool((2, 3), (1, 2), 1, count_padding=True), AVERAGE_POOL),
    "avg_pool3d_counting_padding": (average_pool(2, (2, 1, 2), 1, count_padding=True), AVERAGE_POOL),
    "avg_pool2d_overlapping": (average_pool(3, 2), AVERAGE_POOL),
    "rnn": (rnn, ["Scan"]),
    "rnn_reversed": (lambda *xs: rnn(*xs, reverse=True), ["Scan"]),
    "rnn_gradient_of_gradient": (gradient_penalty(rnn), ["Scan"]),
    "lstm": (lstm, ["Scan"]),
    "shared_weight": (shared_weight, ["Scan"]),
}
TOLERANCE = {"float32": {"rtol": 1e-5, "atol": 1e-6}, "float64": {"rtol": 1e-12, "atol": 1e-13}}
every_case = pytest.mark.parametrize("name", CASES)


def arrays(name, kind):
    """The arrays NAME/kind0, NAME/kind1, ... by number."""
    start = f"{name}/{kind}"
    return {int(key.removeprefix(start)): array for key, array in FIXTURE.items() if key.startswith(start)}


def built(name, dtype="float32"):
    """A case's inputs as arrays and as values, its outputs, and its gradients by input."""
    given = [x.astype(dtype) if x.dtype.kind == "f" else x for _, x in sorted(arrays(name, "x").items())]
    inputs = [Placeholder(f"x{n}", TensorType.of(x))() for n, x in enumerate(given)]
    outputs = CASES[name][0](*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    wanted = sorted(arrays(name, "grad"))
    if not wanted:
        return given, inputs, outputs, []
    parts = [mr.sum(outputs[n] * mr.constant(w.astype(dtype))) for n, w in sorted(arrays(name, "given").items())]
    loss = parts[0]
    for part in parts[1:]:
        loss = loss + part
    return given, inputs, outputs, mr.gradients(loss, [inputs[n] for n in wanted], unconnected="zero")


@every_case
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_values_and_gradients_are_those_of_pytorch(name, dtype):
    given, inputs, outputs, gradients = built(name, dtype)
    values = mr.function(inputs, [*outputs, *gradients], engine="numpy")(*given)
    values, slopes = values[: len(outputs)], values[len(outputs) :]
    for (n, expected), got in zip(sorted(arrays(name, "out").items()), values, strict=True):
        check(got, expected, dtype, f"output {n}")
    for (n, expected), got in zip(sorted(arrays(name, "grad").items()), slopes, strict=True):
        check(got, expected, dtype, f"gradient of input {n}")


def check(got, expected, dtype, what):
    if expected.dtype.kind != "f":
        assert got.dtype == expected.dtype, what
        np.testing.assert_array_equal(got, expected, err_msg=what)
    else:
        assert got.dtype == dtype, what
        assert got.shape == expected.shape, what
        np.testing.assert_allclose(got, expected, **TOLERANCE[dtype], err_msg=what)


@every_case
def test_a_case_uses_the_operations_that_it_names(name):
    _, _, outputs, gradients = built(name)
    used = {node.op.name for node in topological([*outputs, *gradients])}
    assert set(CASES[name][1]) <= used


def test_every_stored_case_is_used():
    assert {key.partition("/")[0] for key in FIXTURE} == set(CASES)
