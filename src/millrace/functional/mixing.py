"""Examples of a batch mixed with each other: with whom, and by which shares."""

from __future__ import annotations

import math
from collections.abc import Sequence

from millrace.functional.arithmetic import (
    add,
    clip,
    cos,
    divide,
    equal,
    exp,
    expm1,
    greater,
    less,
    log,
    logical_and,
    maximum,
    minimum,
    multiply,
    negative,
    sqrt,
    square,
    subtract,
    where,
)  # fmt: skip
from millrace.functional.convert import Like, as_value, cast
from millrace.functional.randomness import random_integers, random_uniform
from millrace.functional.reductions import cumsum
from millrace.functional.reductions import sum as total
from millrace.functional.shaping import iota, reshape
from millrace.ir.core import Value
from millrace.ir.dims import Size
from millrace.ir.errors import ArgumentError
from millrace.ops.mixing import MixUp


def mixup(x: Like, share: Like, partner: Like) -> Value:
    """Each example mixed with another: share x + (1 - share) x[partner]; x itself once a network is trained.

    x float [batch, ...], share float32[batch] from 0 to 1, partner int32[batch], positions in the batch. A training
    step mixes the losses of the two answers by the same shares.  Source: Zhang et al. 2017.
    """
    return MixUp()(as_value(x), as_value(share), as_value(partner))


def random_beta(state: Like, alpha: float, shape: Sequence[Size], stream: str) -> Value:
    """Numbers from 0 to 1 of the symmetric beta distribution with parameters alpha and alpha, above 0.

    Exact, from two uniform numbers each: with w = u^(1/alpha) and c = cos(2 pi v), t = c sqrt((1 - w) / w) is
    Student's (with 2 alpha degrees of freedom, over their root), and (1 + t / sqrt(1 + t^2)) / 2 is beta.
    Source: Bailey 1994; Devroye 1996, Random variate generation in one line of code, section 3.
    """
    if not alpha > 0:
        raise ArgumentError(f"alpha of a beta distribution must be above 0, got {alpha!r}.")
    u = subtract(1.0, random_uniform(state, shape, f"{stream}/radius"))  # never 0
    c = cos(multiply(random_uniform(state, shape, f"{stream}/angle"), 2 * math.pi))
    power = multiply(log(u), 1 / alpha)
    w, rest = exp(power), negative(expm1(power))
    ratio = multiply(c, sqrt(divide(rest, add(w, multiply(rest, square(c))))))
    return clip(add(multiply(ratio, 0.5), 0.5), 0.0, 1.0)


def random_partner(weights: Like, state: Like, stream: str = "partner") -> Value:
    """For each example of a batch the position of another that counts: int32[batch], from weights float32[batch].

    All that count are moved by the same number of places, drawn from 1 on, around the circle of them; so each is the
    partner of one. An example of weight 0, such as a copy that fills up a short batch, is its own partner and nobody
    else's, and so is one that counts alone.
    Source: Zhang et al. 2017, who mix a batch with itself in another order.
    """
    weights = as_value(weights)
    (batch,) = weights.shape
    counts = greater(weights, 0.0)
    rank = subtract(cumsum(cast(counts, "int32"), 0), 1)  # among those that count
    many = total(cast(counts, "int32"))
    shift = add(random_integers(state, (), stream, maximum(subtract(many, 1), 1)), minimum(1, subtract(many, 1)))
    moved = add(rank, shift)
    wanted = where(less(moved, many), moved, subtract(moved, many))
    # Who has the wanted rank? The cumulative count stands still at those that do not count.
    has = logical_and(equal(reshape(wanted, (batch, 1)), reshape(rank, (1, batch))), reshape(counts, (1, batch)))
    position = total(where(has, iota((batch, batch), 1), 0), 1)
    return where(counts, position, iota((batch,), 0))


__all__ = ["mixup", "random_beta", "random_partner"]
