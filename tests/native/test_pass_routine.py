"""Operations on each number, several in one pass over memory, in C against NumPy's in float64."""

import numpy as np
import pytest
from calling import Pool, at_the_edge, call

from millrace.native.operations import (
    ADAPTED,
    AVERAGE,
    AVERAGE_SQUARES,
    CODES,
    COMPARISONS,
    COPY,
    MULTIPLY_ADD,
    MULTIPLY_SUBTRACT,
    OPERANDS,
    REPEAT,
    SQUARE,
)  # fmt: skip

WHOLE, ROW, COLUMN, NUMBER, CONSTANT, MADE, BETWEEN = range(7)  # places, as native/source/pass.h has them
THREADS = (1, 2, 3, 8)
GEOMETRIES = [(1, 1), (1, 17), (37, 1), (5, 3), (700, 5), (40, 100), (3, 513), (2, 33_001), (1, 66_001)]
ADD, SUBTRACT, MULTIPLY, RELU, SELECT = (CODES[name] for name in ("Add", "Subtract", "Multiply", "Relu", "Select"))

UNARY = {COPY: lambda a: a, SQUARE: np.square} | {
    CODES[name]: f
    for name, f in {
        "Negative": np.negative, "Sigmoid": lambda a: 1 / (1 + np.exp(-a)), "Tanh": np.tanh,
        "Relu": lambda a: np.maximum(a, 0), "Sqrt": np.sqrt, "Rsqrt": lambda a: 1 / np.sqrt(a), "Abs": np.abs,
        "Sign": np.sign,
    }.items()
}  # fmt: skip
BINARY = {
    CODES[name]: f
    for name, f in {
        "Add": np.add, "Subtract": np.subtract, "Multiply": np.multiply, "Divide": np.divide, "Maximum": np.maximum,
        "Minimum": np.minimum, "Greater": np.greater, "GreaterEqual": np.greater_equal, "Less": np.less,
        "LessEqual": np.less_equal,
    }.items()
}  # fmt: skip
WILD = ("Sqrt", "Rsqrt", "Sign", "Divide", *COMPARISONS, "Select")  # a little more or less changes much
TERNARY = {
    SELECT: lambda a, b, c: np.where(a != 0, b, c),
    MULTIPLY_ADD: lambda a, b, c: a * b + c,
    MULTIPLY_SUBTRACT: lambda a, b, c: c - a * b,
}
ADAPTING = {
    AVERAGE: lambda a, b, c, d: a * b + c * d,
    AVERAGE_SQUARES: lambda a, b, c, d: a * b + c * d * d,
    ADAPTED: lambda a, b, c, d, e, f: e - a * b / (np.sqrt(c * d) + f),
}
DEFINITIONS = {**UNARY, **BINARY, **TERNARY, **ADAPTING}
COUNTS = {code: n for n, few in ((1, UNARY), (2, BINARY), (3, TERNARY)) for code in few}


def constant(number):
    return CONSTANT, int(np.float32(number).view(np.int32))


def program(*steps):
    """Steps (operation, out, operands) as integers; what has fewer operands has the last of them again."""
    places = list(dict.fromkeys(place for _, out, operands in steps for place in (out, *operands)))
    between = len({place for place in places if place[0] == BETWEEN})
    numbers = [len(places), len(steps), between, *(n for place in places for n in place)]
    for code, out, operands in steps:
        operands = [places.index(place) for place in operands]
        numbers += [code, places.index(out), *operands, *operands[-1:] * (OPERANDS - len(operands))]
    return numbers


def how(*programs, decided=-1):
    """What follows the columns in a routine's integers: one program, or two and the argument that decides."""
    return [decided, len(programs[0]), *(n for one in programs for n in one)]


def evaluated(steps, arrays, shape, made=1, product=None):
    """The results of a pass by NumPy in float64."""
    at = {(MADE, 0): product}

    def number(place):
        kind, index = place
        match kind:
            case 0 | 1 | 3:
                return arrays[index].astype(np.float64)
            case 2:
                return arrays[index].astype(np.float64)[:, None]
            case 4:
                return np.int32(index).view(np.float32).astype(np.float64)
        return at[place]

    with np.errstate(all="ignore"):
        for code, out, operands in steps:
            operands = [number(place) for place in operands]
            value = operands[0] if code == REPEAT else DEFINITIONS[code](*operands)
            at[out] = np.broadcast_to(value, shape).astype(np.float64)
    return [at[MADE, n] for n in range(made)]


def same_on_any_threads(library, name, shapes, arrays, numbers, over=None):
    """The results, of the same bits however many threads there are."""
    first, *others = (call(library, name, shapes, arrays, numbers, Pool(n), over) for n in THREADS)
    for other in others:
        for x, y in zip(first, other, strict=True):
            np.testing.assert_array_equal(x.view(np.int32), y.view(np.int32))
    return first


def agree(libraries, steps, arrays, shape, made=1, over=None, near=2e-6):
    """Each library gives NumPy's numbers, with what is given at the very end of memory."""
    numbers = [shape[1], *how(program(*steps))]
    expected = evaluated(steps, arrays, shape, made)
    arrays = [at_the_edge(x) for x in arrays]
    for kind, library in libraries.items():
        got = same_on_any_threads(library, "pass", [shape] * made, arrays, numbers, over)
        for x, exact in zip(got, expected, strict=True):
            scale = np.abs(exact[np.isfinite(exact)]).max(initial=1e-3)
            np.testing.assert_allclose(x, exact, rtol=near, atol=near * scale, err_msg=f"{steps} for {kind}")


def given(shape, seed=0):
    """Two whole arrays, the second of them positive, a row, a column and a number."""
    rng = np.random.default_rng(seed)
    x, row, column, number = (rng.normal(size=s) for s in (shape, shape[1], shape[0], ()))
    return [x.astype(np.float32) for x in (x, rng.uniform(0.5, 2, shape), row, column, number)]


X, POSITIVE, BIAS, SIDE, ONE = (WHOLE, 0), (WHOLE, 1), (ROW, 2), (COLUMN, 3), (NUMBER, 4)
OUT = MADE, 0
KINDS = [X, BIAS, ONE, constant(-0.75), POSITIVE]


def chosen_operands(rng, count):
    return tuple(KINDS[n] for n in rng.integers(len(KINDS), size=count))


@pytest.mark.parametrize("shape", [(1, 1), (37, 1), (6, 17), (3, 515)])
def test_each_operation_on_each_kind_of_operand(libraries, shape):
    """Whole arrays, rows and numbers that are the same everywhere, in every place where they may be."""
    arrays = given(shape)
    for code in UNARY:
        for kind in KINDS:
            positive = code in (CODES["Sqrt"], CODES["Rsqrt"])
            agree(libraries, [(code, OUT, (POSITIVE if positive else kind,))], arrays, shape)
    for code in BINARY:
        for a in KINDS[:4]:
            for b in KINDS[:4]:
                agree(libraries, [(code, OUT, (a, b))], arrays, shape)
    for code in TERNARY:
        for n in range(27):
            a, b, c = (KINDS[n // 3**k % 3] for k in range(3))
            agree(libraries, [(code, OUT, (a, b, c))], arrays, shape)


@pytest.mark.parametrize("shape", GEOMETRIES)
def test_optimizers_averages_and_updates(libraries, shape):
    arrays = given(shape)
    for code in (AVERAGE, AVERAGE_SQUARES):
        agree(libraries, [(code, OUT, (constant(0.9), X, ONE, POSITIVE))], arrays, shape)
        agree(libraries, [(code, OUT, (ONE, BIAS, constant(0.1), X))], arrays, shape)
    for last in (X, BIAS):
        agree(libraries, [(ADAPTED, OUT, (ONE, X, constant(0.3), POSITIVE, last, constant(1e-3)))], arrays, shape)


@pytest.mark.parametrize("shape", GEOMETRIES)
def test_many_operations_in_one_pass(libraries, shape):
    """Normalization's: a number of each row, one of each column, two results, and blocks in between."""
    arrays = given(shape)
    a, b, c = ((BETWEEN, n) for n in range(3))
    steps = [
        (REPEAT, a, (SIDE,)),
        (SUBTRACT, b, (X, a)),
        (MULTIPLY, b, (b, BIAS)),
        (MULTIPLY_ADD, (MADE, 1), (b, ONE, POSITIVE)),
        (REPEAT, c, (SIDE,)),
        (SELECT, a, (c, (MADE, 1), b)),
        (RELU, OUT, (a,)),
    ]
    agree(libraries, steps, arrays, shape, made=2)


@pytest.mark.parametrize("seed", range(8))
def test_operations_drawn_by_chance(libraries, seed):
    rng = np.random.default_rng(seed)
    shape = int(rng.choice([1, 2, 7, 64, 129])), int(rng.choice([1, 5, 16, 31, 255, 700]))
    arrays = given(shape, seed)
    calm = [code for code in (*UNARY, *BINARY, *TERNARY) if code not in [CODES[name] for name in WILD]]
    steps = []
    for n in range(4):
        code = int(rng.choice(calm))
        operands = list(chosen_operands(rng, COUNTS[code]))
        if n:
            operands[int(rng.integers(len(operands)))] = BETWEEN, int(rng.integers(n))
        steps.append((code, (BETWEEN, n), tuple(operands)))
    agree(libraries, [*steps, (ADD, OUT, ((BETWEEN, 3), X))], arrays, shape, near=1e-5)


@pytest.mark.parametrize("shape", GEOMETRIES)
def test_results_that_lie_where_arguments_did(libraries, shape):
    """As of a variable whose old value is read for the last time: both moments and the weight of Adam."""
    rng = np.random.default_rng(0)
    weight, first, second, gradient = (rng.normal(size=shape).astype(np.float32) for _ in range(4))
    arrays = [weight, first, second**2, gradient]
    w, m, v, g = ((WHOLE, n) for n in range(4))
    steps = [
        (AVERAGE, (MADE, 1), (constant(0.9), m, constant(0.1), g)),
        (AVERAGE_SQUARES, (MADE, 2), (constant(0.99), v, constant(0.01), g)),
        (ADAPTED, (MADE, 0), (constant(0.1), (MADE, 1), constant(0.5), (MADE, 2), w, constant(1e-3))),
    ]
    for over in (None, {0: 0}, {0: 0, 1: 1, 2: 2}, {1: 1, 2: 2}):
        agree(libraries, steps, arrays, shape, made=3, over=over, near=1e-5)


def test_numbers_that_are_not_finite(libraries):
    """Each operation gives of them what NumPy does; a comparison with NaN does not hold, and NaN is not 0."""
    numbers = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1, -1, 3e38, -3e38], np.float32)
    pairs = np.array(np.meshgrid(numbers, numbers)).reshape(2, -1)
    a, b = (np.tile(x, 3)[None] for x in pairs)
    c = np.arange(a.size, dtype=np.float32)[None]
    for code in (*UNARY, *BINARY, *TERNARY):
        steps = [(code, OUT, ((WHOLE, 0), (WHOLE, 1), (WHOLE, 2))[: COUNTS[code]])]
        (exact,) = evaluated(steps, [a, b, c], a.shape)
        with np.errstate(over="ignore"):
            exact = exact.astype(np.float32)
        for library in libraries.values():
            (got,) = call(library, "pass", [a.shape], [a, b, c], [a.size, *how(program(*steps))])
            np.testing.assert_allclose(got, exact, rtol=1e-6, atol=1e-30 if code != 3 else 1e-37, err_msg=str(code))


@pytest.mark.parametrize(
    ("truth", "healthy"), [(1.0, True), (0.0, False), (-0.0, False), (np.nan, True), (1e-40, True)]
)
def test_which_of_two_programs_runs_is_decided_by_an_argument(libraries, truth, healthy):
    """Where a step was not healthy, variables stay as they are: nothing is computed, whatever the gradient is."""
    shape = 7, 301
    arrays = [np.array(truth, np.float32), *given(shape)[:2]]
    old, gradient = (WHOLE, 1), (WHOLE, 2)
    kept = program((COPY, OUT, (old,)))
    updated = program((MULTIPLY_SUBTRACT, (BETWEEN, 0), (constant(0.5), gradient, old)), (RELU, OUT, ((BETWEEN, 0),)))
    expected = np.maximum(arrays[1] - 0.5 * arrays[2], 0) if healthy else arrays[1]
    for library in libraries.values():
        for over in (None, {0: 1}):
            numbers = [shape[1], *how(updated, kept, decided=0)]
            (got,) = same_on_any_threads(library, "pass", [shape], arrays, numbers, over)
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


def test_nothing_is_done_to_no_numbers(libraries):
    numbers = [5, *how(program((ADD, OUT, (X, X))))]
    for library in libraries.values():
        call(library, "pass", [(0, 5)], [np.ones((0, 5), np.float32)], numbers, Pool(4))
