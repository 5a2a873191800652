"""Random numbers: each draw is a function of a state (seed, count) and of the stream's name."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from millrace.functional.arithmetic import add, cos, less, log, multiply, right_shift, sqrt, subtract
from millrace.functional.convert import Like, as_value, cast, constant, full, in_range
from millrace.ir.core import Expression, Value
from millrace.ir.dims import Dim, Size
from millrace.ir.errors import ArgumentError
from millrace.ir.types import HALVES
from millrace.ops.random import Dropout, RandomBits, TrainingOnly


def random_state(seed: int, count: int = 0) -> np.ndarray:
    """The state of a random generator: uint32[2], seed and count. A new count gives new numbers."""
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in (seed, count))
    if not whole or not 0 <= seed < 2**32 or not 0 <= count < 2**32:
        raise ArgumentError(f"seed and count must be from 0 to 2^32 - 1, got {seed!r} and {count!r}.")
    return np.array([seed, count], np.uint32)


def next_state(state: Like) -> Value:
    """The state with its count one higher."""
    return add(as_value(state), constant(np.array([0, 1], np.uint32)))


def random_bits(state: Like, shape: Sequence[Size], stream: str) -> Value:
    """Uniformly random uint32 words.  Source: Salmon et al. 2011 (Threefry-2x32)."""
    if not stream:
        raise ArgumentError("a random draw needs a stream name, so that no two draws are taken for one")
    return RandomBits(tuple(shape), stream)(as_value(state))


def random_uniform(
    state: Like,
    shape: Sequence[Size],
    stream: str,
    low: float = 0.0,
    high: float = 1.0,
    dtype: str = "float32",
) -> Value:
    """Uniform numbers from low (included) to high: 24 random bits each; 53 of float64, 11 of float16, 8 of bfloat16."""
    if dtype == "float64":
        words = [random_bits(state, shape, f"{stream}/{part}") for part in ("high", "low")]
        upper = cast(right_shift(words[0], np.uint32(5)), dtype)
        lower = cast(right_shift(words[1], np.uint32(6)), dtype)
        unit = multiply(add(multiply(upper, 2.0**26), lower), 2.0**-53)
    else:
        bits = {"float16": 11, "bfloat16": 8}.get(dtype, 24)  # as many as the dtype holds exactly
        words = right_shift(random_bits(state, shape, stream), np.uint32(32 - bits))
        unit = multiply(cast(words, dtype), 2.0**-bits)
    if (low, high) == (0.0, 1.0):
        return unit
    return add(multiply(unit, high - low), low)


def random_normal(
    state: Like,
    shape: Sequence[Size],
    stream: str,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: str = "float32",
) -> Value:
    """Normal numbers by the method of Box and Muller (1958): sqrt(-2 log u) cos(2 pi v).

    Those of 16 bits are float32 ones, rounded: from so few random bits no number would be far from the mean.
    """
    if dtype in HALVES:
        return cast(random_normal(state, shape, stream, mean, stddev), dtype)
    u = subtract(1.0, random_uniform(state, shape, f"{stream}/radius", dtype=dtype))  # never 0
    v = random_uniform(state, shape, f"{stream}/angle", dtype=dtype)
    standard = multiply(sqrt(multiply(log(u), -2.0)), cos(multiply(v, 2 * math.pi)))
    return add(multiply(standard, stddev), mean)


def random_bernoulli(state: Like, p: float, shape: Sequence[Size], stream: str) -> Value:
    """True with probability p, by comparing whole numbers: exactly the same on every engine."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"a probability must be from 0 to 1, got {p}.")
    bound = round(p * 2**32)
    if bound >= 2**32:
        return full(shape, True, "bool")
    return less(random_bits(state, shape, stream), constant(np.uint32(bound)))


def random_integers(state: Like, shape: Sequence[Size], stream: str, bound: Like, dtype: str = "int32") -> Value:
    """Whole numbers from 0 up to, not including, bound: a number from 1 to 2^32, or one for each (a value of `shape`).

    The high half of a word's product with the bound, so exactly the same on every engine; no number is more probable
    than another by more than one part in 2^32 / bound. A computed bound below 1 cannot be seen when the graph is built.

    Raises ArgumentError for a known bound out of range, or one whose numbers the dtype does not hold.
    Source: Lemire 2019, Fast random integer generation.
    """
    if not isinstance(bound, (Expression, Dim)):
        known = np.asarray(bound)
        if known.dtype.kind not in "iu" or not known.size or known.min() < 1 or known.max() > 2**32:
            raise ArgumentError(f"random_integers: bound must be a whole number from 1 to 2^32, got {bound!r}.")
        if not in_range(int(known.max()) - 1, dtype):
            raise ArgumentError(f"random_integers: numbers below {known.max()} do not fit {dtype}: pass a wider dtype.")
        bound = constant(known.astype(np.uint64))
    words = cast(random_bits(state, shape, stream), "uint64")
    limit = cast(bound, "uint64")
    return cast(right_shift(multiply(words, limit), np.uint64(32)), dtype)


def dropout(x: Like, rate: float, state: Like, stream: str = "dropout") -> Value:
    """Each element 0 with probability `rate`, else divided by 1 - rate.  Source: Keras dropout."""
    return Dropout(float(rate), stream)(as_value(x), as_value(state))


def training_only(x: Like, y: Like) -> Value:
    """y while a network is trained, x in evaluation and prediction; both of one type."""
    return TrainingOnly()(as_value(x), as_value(y))


__all__ = [
    "dropout", "next_state", "random_bernoulli", "random_bits", "random_integers", "random_normal", "random_state",
    "random_uniform", "training_only",
]  # fmt: skip
