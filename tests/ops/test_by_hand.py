"""Operations held to values worked out by hand, published, or found by plain loops written here."""

import itertools
import math

import numpy as np
import pytest

import millrace as mr
from millrace.ir.core import OPS
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType
from millrace.ops.averaging import AveragePool, WindowSum
from millrace.ops.compare import Cast
from millrace.ops.contract import Dot
from millrace.ops.convolution import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient
from millrace.ops.crops import Crop
from millrace.ops.index import Iota
from millrace.ops.layer_normalization import LayerNormalizationGradient
from millrace.ops.mixing import MixUp
from millrace.ops.normalization import BatchNormalizationGradient
from millrace.ops.once import Once
from millrace.ops.pooling import MaxPool, MaxPoolGather, MaxPoolGradient
from millrace.ops.random import Dropout, RandomBits, threefry2x32
from millrace.ops.shape import Broadcast, Concatenate, Pad, Reshape, Reverse, Slice, Transpose
from millrace.ops.sharding import Shard
from millrace.ops.softmax import SoftmaxCrossEntropy

COVERED = {}  # name of a test: the operations that it checks
MASK = 0xFFFFFFFF


def covers(*names):
    """Marks a test with the operations that it checks; they must run in it."""

    def mark(test):
        assert test.__name__ not in COVERED, test.__name__
        COVERED[test.__name__] = names
        return test

    return mark


@pytest.fixture(autouse=True)
def watched(request, monkeypatch):
    """Fails a test in which an operation that it claims to check is never evaluated."""
    claimed = COVERED.get(request.function.__name__, ())
    if "parametrized" in claimed:
        claimed = (request.node.callspec.params["name"],)
    seen = set()
    for name in claimed:

        def evaluate(op, *arrays, name=name, original=OPS[name].evaluate):
            seen.add(name)
            return original(op, *arrays)

        monkeypatch.setattr(OPS[name], "evaluate", evaluate)
    yield
    assert seen == set(claimed)


def run(build, *arrays):
    """What the NumPy engine computes; floats without a dtype are float64."""
    given = [np.asarray(x) for x in arrays]
    inputs = [Placeholder(f"x{n}", TensorType.of(x))() for n, x in enumerate(given)]
    return mr.function(inputs, build(*inputs), engine="numpy")(*given)


def slope(build, *arrays):
    """The gradients of the sum of `build` with respect to every floating-point input."""

    def both(*xs):
        out = build(*xs)
        return [out, *mr.gradients(mr.sum(out), [x for x in xs if x.type.is_float])]

    return run(both, *arrays)[1:]


def equal(got, expected, dtype=None):
    """The same numbers, shape and, where given, dtype."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    assert dtype is None or got.dtype == dtype
    np.testing.assert_array_equal(got, expected)


def close(got, expected, tolerance=1e-14):
    assert np.shape(got) == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


inf, nan = math.inf, math.nan

# Constants from Abramowitz and Stegun, Handbook of Mathematical Functions, tables 4.2, 4.4, 4.6, 4.15 and 7.1,
# to more places from the OEIS: e A001113, log 2 A002162, tanh 1 A073744, erf 1 A102521, sin 1 A049469, cos 1 A049470.
UNARY = {
    "Exp": (mr.exp, [0, 1, -1, -inf, inf], [1, 2.718281828459045, 0.36787944117144233, 0, inf]),
    "Log": (mr.log, [1, 2, 10, inf], [0, 0.6931471805599453, 2.302585092994046, inf]),
    "Log1p": (mr.log1p, [0, 1, 1e-10], [0, 0.6931471805599453, 9.9999999995e-11]),
    "Expm1": (mr.expm1, [0, 1, 1e-10], [0, 1.718281828459045, 1.00000000005e-10]),
    "Sqrt": (mr.sqrt, [0, 2, 9, 0.25], [0, 1.4142135623730951, 3, 0.5]),
    "Rsqrt": (mr.rsqrt, [4, 0.25, 2], [0.5, 2, 0.7071067811865476]),
    "Tanh": (mr.tanh, [0, 1, -1, 40], [0, 0.7615941559557649, -0.7615941559557649, 1]),
    "Sigmoid": (mr.sigmoid, [0, 1, -1, -1e4, 1e4], [0.5, 0.7310585786300049, 0.2689414213699951, 0, 1]),
    "Erf": (mr.erf, [0, 0.5, 1, -1, 9], [0, 0.5204998778130465, 0.8427007929497149, -0.8427007929497149, 1]),
    "Sin": (mr.sin, [0, 1, math.pi / 6], [0, 0.8414709848078965, 0.5]),
    "Cos": (mr.cos, [0, 1, math.pi / 3], [1, 0.5403023058681398, 0.5]),
    "Relu": (mr.relu, [-2, 0, 3], [0, 0, 3]),
    "Floor": (mr.floor, [-1.5, -1, -0.2, 0.2, 1.9], [-2, -1, -1, 0, 1]),
    "Ceil": (mr.ceil, [-1.5, -1, -0.2, 0.2, 1.9], [-1, -1, 0, 1, 2]),
    "Round": (mr.round, [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.51], [-2, -2, 0, 0, 2, 2, 3]),
    "Negative": (mr.negative, [-2, 0, 3], [2, 0, -3]),
    "Abs": (mr.abs, [-2, 0, 3, -inf], [2, 0, 3, inf]),
    "Sign": (mr.sign, [-2, 0, 3], [-1, 0, 1]),
    "IntegerPower": (lambda x: x**3, [-2, 0, 1.5], [-8, 0, 3.375]),
    "IsFinite": (mr.isfinite, [0, inf, -inf, nan, 1e300], [True, False, False, False, True]),
    "StopGradient": (mr.stop_gradient, [-2, 0, 3], [-2, 0, 3]),
}

BINARY = {
    "Add": (mr.add, [1, 2], [0.5, -2], [1.5, 0]),
    "Subtract": (mr.subtract, [1, 2], [0.5, -2], [0.5, 4]),
    "Multiply": (mr.multiply, [3, 2], [0.5, -2], [1.5, -4]),
    "Divide": (mr.divide, [3, -2, 1], [2, 8, inf], [1.5, -0.25, 0]),
    "Power": (mr.power, [2, 9, 0.25, 0, 0], [10, 0.5, -1.5, 0, 2], [1024, 3, 8, 1, 0]),
    "Maximum": (mr.maximum, [1, 5, 2], [3, 4, 2], [3, 5, 2]),
    "Minimum": (mr.minimum, [1, 5, 2], [3, 4, 2], [1, 4, 2]),
    "Equal": (mr.equal, [1, 2, nan], [1, 3, nan], [True, False, False]),
    "NotEqual": (mr.not_equal, [1, 2, nan], [1, 3, nan], [False, True, True]),
    "Less": (mr.less, [1, 2, 3, nan], [2, 2, 2, 0], [True, False, False, False]),
    "LessEqual": (mr.less_equal, [1, 2, 3, nan], [2, 2, 2, 0], [True, True, False, False]),
    "Greater": (mr.greater, [1, 2, 3, nan], [2, 2, 2, 0], [False, False, True, False]),
    "GreaterEqual": (mr.greater_equal, [1, 2, 3, nan], [2, 2, 2, 0], [False, True, True, False]),
}

# 12 = 1100, 10 = 1010; -1 has every bit set
BITS = {
    "And": (mr.logical_and, [12, -1, 0], [10, 7, 5], [8, 7, 0]),
    "Or": (mr.logical_or, [12, -1, 0], [10, 7, 5], [14, -1, 5]),
    "Xor": (mr.logical_xor, [12, -1, 0], [10, 7, 5], [6, -8, 5]),
}

FOLDS = {
    "Sum": (mr.sum, [[1, 2, 3], [4, 5, 6]], [6, 15], [5, 7, 9], 21),
    "Product": (mr.prod, [[1, 2, 3], [4, 5, 0]], [6, 0], [4, 10, 0], 0),
    "Max": (mr.max, [[1, 2, 3], [4, 5, -6]], [3, 5], [4, 5, 3], 5),
    "Min": (mr.min, [[1, 2, 3], [4, 5, -6]], [1, -6], [1, 2, -6], -6),
    "Mean": (mr.mean, [[1, 2, 3], [4, 5, 9]], [2, 6], [2.5, 3.5, 6], 4),
    "AnyTrue": (mr.any, [[True, False], [False, False]], [True, False], [True, False], True),
    "AllTrue": (mr.all, [[True, False], [True, True]], [False, True], [True, False], False),
}


@pytest.mark.parametrize("name", UNARY)
@covers("parametrized")
def test_functions_have_their_known_values(name):
    function, x, expected = UNARY[name]
    close(run(function, np.array(x, np.float64)), expected, 1e-15)


@pytest.mark.parametrize("name", BINARY)
@covers("parametrized")
def test_arithmetic_and_comparisons_have_their_known_values(name):
    function, x, y, expected = BINARY[name]
    close(run(function, np.array(x, np.float64), np.array(y, np.float64)), expected, 1e-15)


@pytest.mark.parametrize("name", BITS)
@covers("parametrized")
def test_logic_works_bit_by_bit(name):
    function, x, y, expected = BITS[name]
    equal(run(function, np.array(x, np.int32), np.array(y, np.int32)), expected, "int32")


@pytest.mark.parametrize("name", FOLDS)
@covers("parametrized")
def test_reductions_fold_the_axes_that_they_are_given(name):
    function, x, rows, columns, everything = FOLDS[name]
    x = np.array(x) if isinstance(x[0][0], bool) else np.array(x, np.float64)
    equal(run(lambda x: function(x, 1), x), rows)
    equal(run(lambda x: function(x, 0), x), columns)
    equal(run(function, x), everything)
    equal(run(lambda x: function(x, -1, keepdims=True), x), np.reshape(rows, (2, 1)))


@covers("Round", "Floor", "Ceil", "Sign")
def test_steps_have_no_slope():
    for function in (mr.round, mr.floor, mr.ceil, mr.sign):
        equal(slope(function, np.array([-1.3, 0.4, 2.2]))[0], [0, 0, 0])


@covers("StopGradient")
def test_stop_gradient_holds_its_value_constant():
    equal(slope(lambda x: x * mr.stop_gradient(x), np.array([2.0, 3.0]))[0], [2, 3])


@covers("Relu", "Abs")
def test_slopes_at_a_kink_are_zero():
    for function in (mr.relu, mr.abs):
        equal(slope(function, np.zeros(1))[0], [0])


@covers("Not")
def test_not_inverts_truth_and_every_bit():
    equal(run(mr.logical_not, np.array([True, False])), [False, True], "bool")
    equal(run(mr.logical_not, np.array([0, 5, -1], np.int32)), [-1, -6, 0], "int32")
    equal(run(mr.logical_not, np.array([0, 5, 255], np.uint8)), [255, 250, 0], "uint8")


@covers("ShiftLeft", "ShiftRight")
def test_shifts_drop_what_moves_out_and_bring_zeros_in():
    words, by = np.array([0x80000001, 0xF0000000, 7], np.uint32), np.array([1, 28, 0], np.uint32)
    equal(run(mr.left_shift, words, by), np.array([2, 0, 7]), "uint32")
    equal(run(mr.right_shift, words, by), np.array([0x40000000, 0xF, 7]), "uint32")


@covers("Select")
def test_select_takes_the_first_where_true():
    equal(run(mr.where, np.array([True, False]), np.array([1.0, 2.0]), np.array([3.0, 4.0])), [1, 4])
    first, second = slope(mr.where, np.array([True, False]), np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    equal(first, [1, 0])
    equal(second, [0, 1])


@covers("Cast")
def test_cast_to_whole_numbers_drops_the_fraction():
    x = np.array([-2.7, -0.5, 0.5, 2.7, 100.99])
    equal(run(Cast("int32"), x), [-2, 0, 0, 2, 100], "int32")


@covers("Cast")
def test_cast_to_bool_asks_whether_it_is_not_zero():
    equal(run(Cast("bool"), np.array([-2.7, 0.0, 0.1])), [True, False, True], "bool")
    equal(run(Cast("float32"), np.array([True, False])), [1, 0], "float32")


@covers("Cast")
def test_cast_to_float32_rounds_to_24_bits():
    equal(run(Cast("float32"), np.array([2**24 + 1, 2**24 + 3], np.int64)), [2**24, 2**24 + 4], "float32")


@covers("ArgMax", "ArgMin")
def test_argmax_and_argmin_take_the_first_of_ties():
    x = np.array([[1, 3, 3, 0, 0], [-2, -2, -2, -2, -2]], np.int32)
    equal(run(lambda x: mr.argmax(x, 1), x), [1, 0], "int32")
    equal(run(lambda x: mr.argmin(x, 1), x), [3, 0], "int32")
    equal(run(lambda x: mr.argmax(x, 0), x), [0, 0, 0, 0, 0], "int32")


@covers("Max", "Min")
def test_ties_share_the_gradient_of_an_extreme():
    x = np.array([2.0, 5.0, 5.0, 2.0, 2.0])
    close(slope(mr.max, x)[0], [0, 0.5, 0.5, 0, 0])
    close(slope(mr.min, x)[0], [1 / 3, 0, 0, 1 / 3, 1 / 3])


@covers("Product")
def test_gradient_of_a_product_is_the_product_of_the_others():
    equal(slope(mr.prod, np.array([2.0, 0.0, 5.0]))[0], [0, 10, 0])
    equal(slope(mr.prod, np.array([0.0, 0.0, 5.0]))[0], [0, 0, 0])


@covers("CumulativeSum")
def test_cumulative_sum_runs_from_either_end():
    x = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    equal(run(lambda x: mr.cumsum(x, 1), x), [[1, 3, 6], [10, 30, 60]])
    equal(run(lambda x: mr.cumsum(x, 1, reverse=True), x), [[6, 5, 3], [60, 50, 30]])
    equal(run(lambda x: mr.cumsum(x, 0, reverse=True), x), [[11, 22, 33], [10, 20, 30]])
    equal(slope(lambda x: mr.cumsum(x, 1), x)[0], [[3, 2, 1], [3, 2, 1]])


@covers("Size")
def test_size_of_a_named_dimension_is_what_the_call_brings():
    x = mr.Input((2,), name="x")
    count = mr.function([x], mr.size(x.shape[0]), engine="numpy")
    equal(count(np.zeros((3, 2), np.float32)), 3, "int32")
    equal(count(np.zeros((7, 2), np.float32)), 7, "int32")


@covers("Mean")
def test_mean_over_a_named_dimension_divides_by_its_size():
    x = mr.Input((), name="x", dtype="float64")
    mean = mr.function([x], mr.mean(x), engine="numpy")
    equal(mean(np.array([1.0, 2.0, 6.0])), 3)
    equal(mean(np.array([1.0, 2.0])), 1.5)


@covers("Reshape")
def test_reshape_keeps_the_order_of_rows():
    equal(run(Reshape((3, 2)), np.array([[1, 2, 3], [4, 5, 6]])), [[1, 2], [3, 4], [5, 6]])


@covers("Transpose")
def test_transpose_puts_axis_axes_n_at_place_n():
    x = np.arange(24).reshape(2, 3, 4)
    moved = run(Transpose((2, 0, 1)), x)
    assert moved.shape == (4, 2, 3)
    assert all(moved[c, a, b] == x[a, b, c] for a, b, c in np.ndindex(2, 3, 4))


@covers("Broadcast")
def test_broadcast_repeats_along_new_axes_and_axes_of_one():
    equal(run(Broadcast((2, 3), (1,)), np.array([1, 2, 3])), [[1, 2, 3], [1, 2, 3]])
    equal(run(Broadcast((2, 3), (0,)), np.array([1, 2])), [[1, 1, 1], [2, 2, 2]])
    equal(run(Broadcast((2, 3), (0, 1)), np.array([[1], [2]])), [[1, 1, 1], [2, 2, 2]])
    equal(run(Broadcast((2, 2), ()), np.array(7)), [[7, 7], [7, 7]])


@covers("Concatenate")
def test_concatenate_puts_one_after_another():
    a, b = np.array([[1, 2], [3, 4]]), np.array([[5], [6]])
    equal(run(Concatenate(1), a, b), [[1, 2, 5], [3, 4, 6]])
    equal(run(Concatenate(0), a, b.T), [[1, 2], [3, 4], [5, 6]])


@covers("Slice")
def test_slice_goes_in_steps_along_every_axis():
    x = np.array([[0, 1, 2, 3, 4, 5, 6], [10, 11, 12, 13, 14, 15, 16], [20, 21, 22, 23, 24, 25, 26]])
    equal(run(Slice((0, 1), (3, 7), (2, 3)), x), [[1, 4], [21, 24]])
    equal(run(Slice((1, 5), (2, 7), (1, 1)), x), [[15, 16]])
    equal(run(Slice((2, 3), (3, 3), (1, 1)), x), np.zeros((1, 0)))


@covers("Slice")
def test_gradient_of_a_slice_is_zero_where_nothing_was_read():
    equal(slope(Slice((1,), (6,), (2,)), np.zeros(7))[0], [0, 1, 0, 1, 0, 1, 0])


@covers("Pad")
def test_pad_surrounds_and_spreads():
    equal(run(Pad((1,), (2,), (0,), 9), np.array([1, 2, 3])), [9, 1, 2, 3, 9, 9])
    equal(run(Pad((1,), (0,), (2,), 9), np.array([1, 2, 3])), [9, 1, 9, 9, 2, 9, 9, 3])
    equal(run(Pad((0, 1), (0, 0), (1, 0)), np.array([[1.0], [2.0]])), [[0, 1], [0, 0], [0, 2]])
    equal(run(Pad((1,), (1,), (3,), 9), np.zeros(0, np.int32)), [9, 9])


@covers("Reverse")
def test_reverse_turns_the_named_axes_around():
    x = np.array([[1, 2, 3], [4, 5, 6]])
    equal(run(Reverse((1,)), x), [[3, 2, 1], [6, 5, 4]])
    equal(run(Reverse((0,)), x), [[4, 5, 6], [1, 2, 3]])
    equal(run(Reverse((0, 1)), x), [[6, 5, 4], [3, 2, 1]])


@covers("Take")
def test_take_moves_positions_outside_to_the_nearest_end():
    x = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    equal(run(lambda x, i: mr.take(x, i, 0), x, np.array([2, -1, -9, 3, 99])), [[5, 6], [1, 2], [1, 2], [5, 6], [5, 6]])
    equal(run(lambda x, i: mr.take(x, i, 1), x, np.array([[1, 0]])), [[[2, 1]], [[4, 3]], [[6, 5]]])
    equal(run(lambda x, i: mr.take(x, i, 0), x, np.array(1)), [3, 4])


@covers("Take")
def test_gradient_of_take_counts_how_often_each_was_read():
    equal(slope(mr.take, np.zeros(3), np.array([2, 2, -1, 9]))[0], [1, 0, 3])


@covers("ScatterAdd")
def test_scatter_add_adds_up_what_meets_at_one_position():
    x, updates = np.array([100.0, 200.0, 300.0]), np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    equal(run(mr.scatter_add, x, np.array([1, 1, 0, -5, 7]), updates), [112, 203, 316])
    rows = run(
        lambda x, i, u: mr.scatter_add(x, i, u, 1), np.zeros((2, 2)), np.array([1, 1]), np.array([[1.0, 2], [3, 4]])
    )
    equal(rows, [[0, 3], [0, 7]])


@pytest.mark.parametrize("engine", ["numpy", "xla"])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_positions_of_a_narrow_dtype_reach_into_an_axis_that_is_longer_than_it_counts(dtype, engine):
    x, positions = np.arange(300, dtype=np.float32), np.array([100, 127, 3], dtype)
    inputs = [Placeholder(name, TensorType.of(a))() for name, a in (("x", x), ("positions", positions))]
    taken = mr.take(*inputs)
    outputs = [taken, *mr.gradients(mr.sum(taken), inputs[:1])]
    got, counts = mr.function(inputs, outputs, engine=engine)(x, positions)
    equal(got, [100, 127, 3])
    equal(np.flatnonzero(counts), [3, 100, 127])


@covers("Iota")
def test_iota_counts_along_its_axis():
    equal(run(lambda: Iota((2, 3), 1)()), [[0, 1, 2], [0, 1, 2]], "int32")
    equal(run(lambda: Iota((2, 3), 0, "float32")()), [[0, 0, 0], [1, 1, 1]], "float32")


@covers("OneHot")
def test_one_hot_of_a_position_outside_is_zero_everywhere():
    equal(run(lambda x: mr.one_hot(x, 3), np.array([0, 2, 3, -1])), [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])


@covers("OneHot")
def test_one_hot_has_a_single_one_though_its_depth_exceeds_the_dtype():
    for dtype in ("uint8", "int8"):
        equal(mr.evaluate(mr.sum(mr.one_hot(np.array([3], dtype), 600))), 1)
    equal(run(lambda x: mr.one_hot(x, 600), np.array([3], np.uint8)), np.eye(600)[[3]])


@covers("SoftmaxCrossEntropy")
def test_cross_entropy_reads_one_class_though_there_are_more_than_the_dtype_counts():
    losses = run(SoftmaxCrossEntropy(), np.zeros((2, 512)), np.array([3, 255], np.uint8))
    close(losses, [math.log(512)] * 2)


@covers("Softmax", "LogSoftmax", "SoftmaxCrossEntropy")
def test_softmax_of_logarithms_gives_back_the_proportions():
    logits = np.log(np.array([[1.0, 3.0], [2.0, 2.0]]))
    close(run(mr.softmax, logits), [[0.25, 0.75], [0.5, 0.5]])
    close(run(mr.log_softmax, logits), np.log([[0.25, 0.75], [0.5, 0.5]]))
    labels = np.array([0, 1])
    close(run(mr.softmax_cross_entropy, logits, labels), [math.log(4), math.log(2)])
    close(slope(mr.softmax_cross_entropy, logits, labels)[0], [[-0.75, 0.75], [0.5, -0.5]])


def test_logsumexp_is_minus_infinity_only_where_every_term_is():
    equal(run(lambda x: mr.logsumexp(x, 1), np.array([[-inf, -inf], [-inf, 2.0]])), [-inf, 2])


def test_a_label_outside_costs_nothing_and_teaches_nothing():
    logits, labels = np.array([[0.0, 1.0, 2.0]]), np.array([7])
    equal(run(mr.softmax_cross_entropy, logits, labels), [0])
    equal(slope(mr.softmax_cross_entropy, logits, labels)[0], [[0, 0, 0]])


@covers("LocalResponseNormalization")
def test_local_response_normalization_is_the_formula_of_the_paper():
    rng = np.random.default_rng(3)
    x, channels = rng.uniform(-9, 9, (2, 3, 8)), 8
    for n, k, alpha, beta in ((5, 2.0, 1e-4, 0.75), (3, 1.0, 0.5, 0.5), (1, 2.0, 0.1, 1.0)):
        expected = np.zeros_like(x)
        for place in np.ndindex(2, 3):
            a = x[place]
            for i in range(channels):
                neighbours = range(max(0, i - n // 2), min(channels - 1, i + n // 2) + 1)
                expected[(*place, i)] = a[i] / (k + alpha * sum(a[j] ** 2 for j in neighbours)) ** beta
        got = run(lambda x, p=(n, k, alpha, beta): mr.local_response_normalization(x, *p), x)
        close(got, expected, 1e-13)


@covers("AllFinite")
def test_one_element_that_is_not_finite_is_found_wherever_it_is():
    for shape in ((7,), (3, 5), (200, 3), (100, 2, 4)):
        size = int(np.prod(shape))
        assert run(mr.all_finite, np.full(shape, 1e308))
        for place in (0, size // 2, size - 1):
            for bad in (inf, -inf, nan):
                x = np.zeros(shape)
                x.flat[place] = bad
                assert not run(mr.all_finite, x), (shape, place, bad)
    both = np.zeros((100, 1))
    both[[3, 70], 0] = inf, -inf
    assert not run(mr.all_finite, both)


@covers("Dot")
def test_dot_is_the_sum_over_its_pairs_of_axes():
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((2, 3, 4, 2)), rng.standard_normal((4, 2, 5, 3))
    expected = np.zeros((2, 2, 5))
    for b, i, k, p, q in itertools.product(range(2), range(2), range(5), range(3), range(4)):
        expected[b, i, k] += x[i, p, q, b] * y[q, b, k, p]
    close(run(Dot((1, 2), (3, 0), (3,), (1,)), x, y), expected, 1e-13)


@covers("Dot")
def test_the_matrix_product_is_rows_times_columns():
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0]])
    equal(run(mr.matmul, x, y), [[19, 22], [43, 50]])
    dx, dy = slope(mr.matmul, x, y)
    equal(dx, [[11, 15], [11, 15]])
    equal(dy, [[4, 4], [6, 6]])


@covers("Convolution", "ConvolutionInputGradient", "ConvolutionKernelGradient")
def test_convolution_of_a_short_signal():
    x, kernel, g = (np.array(v, np.float64).reshape(1, -1, 1) for v in ([1, 2, 4, 8], [1, 0, -1], [10, 1]))
    kernel = kernel.reshape(3, 1, 1)
    plain = {"strides": (1,), "padding": ((0, 0),), "dilation": (1,)}
    equal(run(Convolution(**plain), x, kernel).ravel(), [-3, -6])
    equal(run(ConvolutionInputGradient((4,), **plain), g, kernel).ravel(), [10, 1, -10, -1])
    equal(run(ConvolutionKernelGradient((3,), **plain), x, g).ravel(), [12, 24, 48])


@covers("Convolution", "ConvolutionInputGradient", "ConvolutionKernelGradient")
def test_convolution_and_its_gradients_by_loops():
    rng = np.random.default_rng(5)
    strides, padding, dilation, groups = (2, 1), ((1, 0), (2, 1)), (1, 2), 2
    x, kernel, g = (rng.standard_normal(s) for s in ((2, 5, 6, 4), (2, 3, 2, 6), (2, 3, 5, 6)))
    out, dx, dk = np.zeros_like(g), np.zeros_like(x), np.zeros_like(kernel)
    for b, i, j, f, p, q, c in itertools.product(*map(range, (2, 3, 5, 6, 2, 3, 2))):
        row, column = i * strides[0] + p * dilation[0] - 1, j * strides[1] + q * dilation[1] - 2
        channel = f // 3 * 2 + c
        if 0 <= row < 5 and 0 <= column < 6:
            out[b, i, j, f] += x[b, row, column, channel] * kernel[p, q, c, f]
            dx[b, row, column, channel] += g[b, i, j, f] * kernel[p, q, c, f]
            dk[p, q, c, f] += g[b, i, j, f] * x[b, row, column, channel]
    shared = (strides, padding, dilation, groups)
    close(run(Convolution(*shared), x, kernel), out, 1e-13)
    close(run(ConvolutionInputGradient((5, 6), *shared), g, kernel), dx, 1e-13)
    close(run(ConvolutionKernelGradient((2, 3), *shared), x, g), dk, 1e-13)


@covers("MaxPool", "MaxPoolGradient", "MaxPoolGather")
def test_max_pooling_gives_everything_to_the_first_of_ties():
    x, g = (np.array(v, np.float64).reshape(1, -1, 1) for v in ([3, 3, 1, 3, 3], [10, 1]))
    h = np.array([1.0, 2, 4, 8, 16]).reshape(1, 5, 1)
    window = ((3,), (2,), ((0, 0),))
    equal(run(MaxPool(*window), x).ravel(), [3, 3])
    equal(run(MaxPoolGradient(*window), x, g).ravel(), [10, 0, 0, 1, 0])
    equal(run(MaxPoolGather(*window), x, h).ravel(), [1, 8])


@covers("MaxPool", "MaxPoolGradient")
def test_overlapping_windows_add_up_at_their_common_greatest_element():
    x = np.array([[0, 0, 0], [0, 5, 0], [0, 0, 0]], np.float64).reshape(1, 3, 3, 1)
    window = ((2, 2), (1, 1), ((0, 0), (0, 0)))
    equal(run(MaxPool(*window), x).ravel(), [5, 5, 5, 5])
    g = np.array([1.0, 2, 4, 8]).reshape(1, 2, 2, 1)
    equal(run(MaxPoolGradient(*window), x, g).reshape(3, 3), [[0, 0, 0], [0, 15, 0], [0, 0, 0]])


@covers("MaxPool", "MaxPoolGradient")
def test_padding_is_never_the_greatest_element():
    x = np.array([-5.0, -7.0]).reshape(1, 2, 1)
    window = ((2,), (1,), ((1, 1),))
    equal(run(MaxPool(*window), x).ravel(), [-5, -5, -7])
    equal(run(MaxPoolGradient(*window), x, np.array([1.0, 2, 4]).reshape(1, 3, 1)).ravel(), [3, 4])


@covers("WindowSum")
def test_window_sum_adds_what_each_window_sees():
    x = np.array([1.0, 2, 4, 8, 16])
    equal(run(WindowSum((3,), (1,), ((0, 0),)), x), [7, 14, 28])
    equal(run(WindowSum((3,), (2,), ((1, 1),)), x), [3, 14, 24])
    equal(run(WindowSum((2, 2), (1, 1), ((0, 0), (0, 1))), np.array([[1.0, 2], [4, 8]])), [[15, 10]])
    equal(slope(WindowSum((3,), (2,), ((1, 1),)), x)[0], [1, 2, 1, 2, 1])


@covers("AveragePool")
def test_average_pooling_counts_padding_only_when_asked():
    x = np.array([3.0, 6.0, 9.0]).reshape(1, 3, 1)
    equal(run(AveragePool((2,), (1,), ((1, 0),)), x).ravel(), [3, 4.5, 7.5])
    equal(run(AveragePool((2,), (1,), ((1, 0),), True), x).ravel(), [1.5, 4.5, 7.5])


@covers("Scan")
def test_scan_hands_its_state_from_step_to_step():
    def fibonacci(a, b):
        (a, b), seen = mr.scan(lambda state, _: ((state[1], state[0] + state[1]), state[0]), (a, b), length=8)
        return [a, b, seen]

    a, b, seen = run(fibonacci, np.array(0), np.array(1))
    equal(seen, [0, 1, 1, 2, 3, 5, 8, 13])
    equal([a, b], [21, 34])


@covers("Scan")
def test_scan_backwards_sees_the_last_first_and_stacks_in_place():
    def build(x):
        total, seen = mr.scan(lambda s, x: (2 * s + x, s), mr.constant(np.float64(0)), x, reverse=True)
        return [total, seen]

    total, seen = run(build, np.array([1.0, 10.0, 100.0]))
    equal(total, 421)
    equal(seen, [210, 100, 0])


@covers("Scan")
def test_gradients_of_savings_with_interest():
    rate, deposits = 1.5, np.array([2.0, 4.0, 8.0])

    def saved(start, rate, deposits):
        return mr.scan(lambda s, d: (s * rate + d, None), start, deposits)[0]

    equal(run(saved, np.array(1.0), np.array(rate), deposits), rate**3 + 2 * rate**2 + 4 * rate + 8)
    start_slope, rate_slope, deposit_slopes = slope(saved, np.array(1.0), np.array(rate), deposits)
    equal(start_slope, rate**3)
    equal(rate_slope, 3 * rate**2 + 2 * 2 * rate + 4)
    equal(deposit_slopes, [rate**2, rate, 1])


# Random123 1.09, examples/kat_vectors, threefry2x32 with 20 rounds: counter, key, result.
PUBLISHED = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


def threefry_by_hand(counter, key):
    """Twenty rounds as Salmon et al. 2011 define them, in Python's own whole numbers."""
    k0, k1 = key
    x, y = (counter[0] + k0) & MASK, (counter[1] + k1) & MASK
    schedule = [(k1, k0 ^ k1 ^ 0x1BD11BDA), (k0 ^ k1 ^ 0x1BD11BDA, k0), (k0, k1)]
    rotations = [13, 15, 26, 6, 17, 29, 16, 24]
    for n in range(20):
        x = (x + y) & MASK
        turn = rotations[n % 8]
        y = (y << turn & MASK | y >> 32 - turn) ^ x
        if n % 4 == 3:
            first, second = schedule[n // 4 % 3]
            x, y = (x + first) & MASK, (y + second + n // 4 + 1) & MASK
    return x, y


@pytest.mark.parametrize(("counter", "key", "expected"), PUBLISHED, ids=["zeros", "ones", "pi"])
def test_threefry_gives_the_published_words(counter, key, expected):
    assert threefry_by_hand(counter, key) == expected
    with np.errstate(over="ignore"):
        words = threefry2x32(*(np.array([v], np.uint32) for v in (*key, *counter)))
    assert tuple(int(word[0]) for word in words) == expected


@covers("RandomBits")
def test_random_bits_of_zeros_are_the_published_words():
    """The empty stream has the checksum 0, so that key and counter are 0."""
    equal(run(RandomBits((2,), ""), np.zeros(2, np.uint32)), PUBLISHED[0][2], "uint32")


@covers("RandomBits")
def test_random_bits_are_all_first_words_then_all_second_words():
    """0xCBF43926 is the published check value of CRC-32: the checksum of "123456789"."""
    seed, count, key = 2012, 41, 0xCBF43926
    for shape in ((6,), (7,), (2, 3), (1,), ()):
        total = math.prod(shape)
        blocks = [threefry_by_hand((count, block), (seed, key)) for block in range((total + 1) // 2)]
        expected = ([a for a, _ in blocks] + [b for _, b in blocks])[:total]
        got = run(RandomBits(shape, "123456789"), np.array([seed, count], np.uint32))
        equal(got, np.array(expected, np.uint32).reshape(shape), "uint32")


COUNT = 50_000
STATE = np.array([2012, 7], np.uint32)


def draw(function, *arguments, stream="draw", count=COUNT, state=STATE, **options):
    return run(lambda state: function(state, *arguments, (count,), stream, **options), state)


@covers("RandomBits")
def test_every_bit_is_set_half_of_the_time():
    words = draw(mr.random_bits)
    for bit in range(32):
        assert abs((words >> np.uint32(bit) & 1).mean() - 0.5) < 5 * 0.5 / math.sqrt(COUNT)


@covers("RandomBits")
def test_seed_count_and_stream_each_give_other_numbers():
    words = draw(mr.random_uniform)
    others = [
        draw(mr.random_uniform, state=np.array([2013, 7], np.uint32)),
        draw(mr.random_uniform, state=np.array([2012, 8], np.uint32)),
        draw(mr.random_uniform, stream="another"),
    ]
    for other in others:
        assert abs(np.corrcoef(words, other)[0, 1]) < 5 / math.sqrt(COUNT)
    equal(draw(mr.random_uniform), words)


@pytest.mark.parametrize(("dtype", "bits"), [("float32", 24), ("float64", 53)])
@covers("RandomBits", "ShiftRight", "Cast")
def test_uniform_numbers_fill_the_unit_interval_evenly(dtype, bits):
    u = draw(mr.random_uniform, dtype=dtype)
    assert u.dtype == dtype
    u = u.astype(np.float64)
    assert 0 <= u.min() < 1e-3 and 1 - 1e-3 < u.max() < 1
    assert (u * 2.0**bits % 1 == 0).all()
    assert abs(u.mean() - 1 / 2) < 5 * math.sqrt(1 / 12 / COUNT)
    assert abs(u.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / COUNT)
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 5 / math.sqrt(COUNT)
    assert largest_gap(u, lambda v: v) < 1.63 / math.sqrt(COUNT)


def largest_gap(sample, distribution):
    """Kolmogorov's and Smirnov's statistic; above 1.63 / sqrt(n) it happens once in a hundred times."""
    expected = np.array([distribution(v) for v in np.sort(sample).tolist()])
    steps = np.arange(len(sample) + 1) / len(sample)
    return max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max())


@covers("RandomBits")
def test_uniform_numbers_of_half_precision_lie_in_the_unit_interval():
    u = draw(mr.random_uniform, dtype="float16").astype(np.float64)
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 1 / 2) < 5e-3


@covers("RandomBits", "Multiply", "Add")
def test_uniform_numbers_keep_to_the_bounds_that_are_given():
    u = draw(mr.random_uniform, low=-2.0, high=6.0)
    assert -2 <= u.min() < -1.99 and 5.99 < u.max() <= 6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@covers("RandomBits", "Log", "Sqrt", "Cos")
def test_normal_numbers_have_the_moments_and_the_distribution_of_the_normal(dtype):
    z = draw(mr.random_normal, dtype=dtype)
    assert z.dtype == dtype and np.isfinite(z).all()
    z = z.astype(np.float64)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 5 * math.sqrt(variance / COUNT)
    assert largest_gap(z, lambda v: (1 + math.erf(v / math.sqrt(2))) / 2) < 1.63 / math.sqrt(COUNT)


@covers("RandomBits")
def test_normal_numbers_have_the_mean_and_deviation_that_are_given():
    z, standard = draw(mr.random_normal, mean=3.0, stddev=0.5), draw(mr.random_normal)
    close(z, 3 + 0.5 * standard, 1e-6)


@covers("RandomBits", "Less")
def test_bernoulli_is_true_as_often_as_asked():
    for p in (0.05, 0.3, 0.5, 0.9):
        frequency = run(lambda state, p=p: mr.random_bernoulli(state, p, (COUNT,), "coin"), STATE).mean()
        assert abs(frequency - p) < 5 * math.sqrt(p * (1 - p) / COUNT)
    assert not run(lambda state: mr.random_bernoulli(state, 0, (COUNT,), "coin"), STATE).any()
    assert run(lambda state: mr.random_bernoulli(state, 1, (COUNT,), "coin"), STATE).all()


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.75])
@covers("Dropout")
def test_dropout_zeroes_its_share_and_keeps_the_expectation(rate):
    out = run(Dropout(rate, "drop"), np.full(COUNT, 3.0), STATE)
    kept = out != 0
    close(out[kept], np.full(kept.sum(), 3 / (1 - rate)))
    assert abs(1 - kept.mean() - rate) < 5 * math.sqrt(rate * (1 - rate) / COUNT)
    assert abs(out.mean() - 3) < 5 * 3 * math.sqrt(rate / (1 - rate) / COUNT)


@covers("Dropout")
def test_gradient_of_dropout_passes_where_the_value_passed():
    x = np.full(100, 3.0)
    out = run(Dropout(0.5, "drop"), x, STATE)
    equal(slope(Dropout(0.5, "drop"), x, STATE)[0], out / 3)


@covers("Dropout")
def test_dropout_of_nothing_changes_nothing():
    equal(run(Dropout(0.0, "drop"), np.array([1.0, -2.0]), STATE), [1, -2])


def test_dropout_is_the_identity_once_training_is_over():
    x, state = (Placeholder(f"x{n}", TensorType.of(a))() for n, a in enumerate((np.zeros(3), STATE)))
    assert Dropout(0.5, "drop").inference(mr, x, state) is x


@covers("Add", "RandomBits")
def test_next_state_counts_on_and_gives_new_numbers():
    after = run(mr.next_state, STATE)
    equal(after, [2012, 8], "uint32")
    assert (draw(mr.random_bits, state=after) != draw(mr.random_bits)).mean() > 0.999


# ---- statistics of a batch, and what only training sees


@covers("BatchNormalization")
def test_batch_normalization_of_one_channel_worked_out():
    x = np.array([[1.0], [3.0], [8.0]], np.float32)
    weights = np.array([1.0, 1.0, 0.0], np.float32)  # the third is a copy that fills the batch up
    scale, offset, running = (np.array([n], np.float32) for n in (2.0, 10.0, 0.0))
    values = [mr.constant(v) for v in (x, scale, offset, running, running, weights)]
    out, mean, variance = (mr.evaluate(v) for v in mr.batch_normalization(*values, epsilon=0.0))
    assert mean.tolist() == [2.0] and variance.tolist() == [1.0]  # of 1 and 3 alone
    np.testing.assert_allclose(out.ravel(), [8.0, 12.0, 22.0], rtol=1e-6)


@covers("BatchNormalizationGradient")
def test_what_reaches_scale_and_offset_of_a_batch_normalization():
    x, g, m, v = (np.float32(n) for n in ([[1], [3]], [[5], [7]], [2], [1]))
    d_offset, d_scale = BatchNormalizationGradient(0.0).evaluate(g, x, m, v)
    assert d_offset.tolist() == [12] and d_scale.tolist() == [7 - 5]


@covers("LayerNormalization")
def test_layer_normalization_of_two_numbers_worked_out():
    scale, offset = np.float32([2, 3]), np.float32([10, 20])
    out = mr.evaluate(mr.layer_normalization(np.float32([[1, 3], [8, 4]]), scale, offset, epsilon=0.0))
    np.testing.assert_allclose(out, [[8, 23], [12, 17]], rtol=1e-6)
    out = mr.evaluate(mr.layer_normalization(np.float32([[1, 7]]), scale, offset, epsilon=0.0, centred=False))
    np.testing.assert_allclose(out, [[10.4, 24.2]], rtol=1e-6)  # the mean of 1 and 49 is 25


@covers("LayerNormalizationGradient")
def test_what_reaches_a_layer_normalization_worked_out():
    x, g = np.float32([[1, 1, 3, 3]]), np.float32([[1, 0, 0, 0]])  # normalized: -1, -1, 1, 1
    dx, d_scale, d_offset = LayerNormalizationGradient(0.0).evaluate(x, np.ones(4, np.float32), g)
    np.testing.assert_allclose(dx, [[0.5, -0.5, 0, 0]], atol=1e-7)  # less 1/4, and less -1/4 of each normalized
    assert d_scale.tolist() == [-1, 0, 0, 0] and d_offset.tolist() == [1, 0, 0, 0]


@covers("ExampleWeights")
def test_by_itself_every_example_counts_once():
    counts = mr.evaluate(mr.example_weights(np.zeros((4, 2), np.float32)))
    assert counts.dtype == np.float32 and counts.tolist() == [1, 1, 1, 1]


@covers("TrainingOnly")
def test_training_sees_the_second_of_two():
    x, y = np.float32([1.0, 2.0]), np.float32([5.0, 6.0])
    assert mr.evaluate(mr.training_only(x, y)).tolist() == [5.0, 6.0]


# ---- images


@covers("Crop")
def test_windows_are_cut_where_each_image_says():
    x = np.arange(24.0).reshape(2, 3, 4, 1)
    top, left = np.array([0, 1], np.int32), np.array([2, 0], np.int32)
    out = run(Crop(2, 2), x, top, left)
    equal(out[..., 0], [[[2, 3], [6, 7]], [[16, 17], [20, 21]]])
    outside = run(Crop(2, 2), x, np.array([-5, 9], np.int32), np.array([9, -5], np.int32))
    equal(outside[..., 0], [[[2, 3], [6, 7]], [[16, 17], [20, 21]]])  # moved to the nearest place inside


@covers("Crop")
def test_the_gradient_of_a_window_lies_where_it_was_cut():
    x = np.arange(24.0).reshape(2, 3, 4, 1)
    (dx,) = slope(lambda *given: mr.square(Crop(2, 2)(*given)), x, np.int32([0, 1]), np.int32([2, 0]))
    expected = np.zeros((2, 3, 4, 1))
    expected[0, :2, 2:], expected[1, 1:, :2] = 2 * x[0, :2, 2:], 2 * x[1, 1:, :2]
    equal(dx, expected)


@covers("MixUp")
def test_examples_are_mixed_by_their_shares():
    x, share, partner = np.array([[1.0, 2], [10, 20], [100, 200]]), np.float32([0.75, 0.5, 1]), np.int32([1, 2, 0])
    equal(run(MixUp(), x, share, partner), [[3.25, 6.5], [55, 110], [100, 200]])


@covers("Shard")
def test_shard_moves_nothing():
    equal(Shard(("*", "tower")).evaluate(np.array([[1.5, -2]])), [[1.5, -2]])  # before a graph is run, it is gone


@covers("Once")
def test_once_changes_nothing():
    equal(run(Once(), np.array([1.5, -2])), [1.5, -2])
