"""Questions, logic and bits."""

from __future__ import annotations

import math
from typing import Any

from millrace.inference.onnx.translating import Call, translates
from millrace.ir.core import Value

COMPARISONS = {
    "Equal": "equal", "Greater": "greater", "Less": "less", "GreaterOrEqual": "greater_equal",
    "LessOrEqual": "less_equal",
}  # fmt: skip
LOGIC = {
    "And": "logical_and", "Or": "logical_or", "Xor": "logical_xor", "BitwiseAnd": "logical_and",
    "BitwiseOr": "logical_or", "BitwiseXor": "logical_xor",
}  # fmt: skip


@translates(*COMPARISONS, *LOGIC)
def of_two(mr: Any, call: Call) -> Value:
    function = getattr(mr, {**COMPARISONS, **LOGIC}[call.op_type])
    return function(call.value(0), call.value(1))


@translates("Not", "BitwiseNot")
def invert(mr: Any, call: Call) -> Value:
    return mr.logical_not(call.value(0))


@translates("BitShift")
def shift(mr: Any, call: Call) -> Value:
    """By fewer places than there are bits; else nothing is left, or the sign alone of what is shifted right.

    Numbers with a sign are shifted as their bits. To the right, those below 0 are inverted before and after, so that
    ones move in.
    """
    x, y = call.value(0), call.value(1)
    if call.attribute("direction") not in ("LEFT", "RIGHT"):
        raise call.refused(f"it shifts to {call.attribute('direction')!r}: LEFT or RIGHT is meant")
    move = mr.left_shift if call.attribute("direction") == "LEFT" else mr.right_shift
    bits, signed = x.dtype.removeprefix("u"), not x.dtype.startswith("u")
    unsigned = "u" + bits
    below = mr.less(x, 0)
    turned = mr.where(below, mr.logical_not(x), x) if signed and move is mr.right_shift else x
    count = mr.cast(mr.logical_and(y, int(bits[3:]) - 1), unsigned)
    inside = mr.equal(mr.logical_and(y, int(bits[3:]) - 1), y)
    made = mr.where(inside, move(mr.cast(turned, unsigned), count), mr.constant(0, unsigned))
    made = mr.cast(made, x.dtype)
    return mr.where(below, mr.logical_not(made), made) if signed and move is mr.right_shift else made


@translates("Where")
def where(mr: Any, call: Call) -> Value:
    return mr.where(call.value(0), call.value(1), call.value(2))


@translates("IsNaN")
def is_nan(mr: Any, call: Call) -> Value:
    return mr.isnan(call.value(0))


@translates("IsInf")
def is_infinite(mr: Any, call: Call) -> Value:
    """Infinities of the signs that are asked for."""
    x = call.value(0)
    below, above = call.attribute("detect_negative", 1), call.attribute("detect_positive", 1)
    if below and above:
        return mr.equal(mr.abs(x), math.inf)
    if not below and not above:
        return mr.full(x.shape, False, "bool")
    return mr.equal(x, -math.inf if below else math.inf)
