"""Products of matrices, and Einstein's sums."""

from __future__ import annotations

import string
from typing import Any

from millrace.inference.onnx.translating import Call, translates
from millrace.ir.core import Value


@translates("MatMul")
def matmul(mr: Any, call: Call) -> Value:
    return mr.matmul(call.value(0), call.value(1))


@translates("Gemm")
def gemm(mr: Any, call: Call) -> Value:
    """alpha A B + beta C, A and B transposed where asked for."""
    a, b = call.value(0), call.value(1)
    a = mr.transpose(a) if call.attribute("transA", 0) else a
    b = mr.transpose(b) if call.attribute("transB", 0) else b
    made = _scaled(mr.matmul(a, b), call.attribute("alpha", 1.0), mr)
    return made + _scaled(call.value(2), call.attribute("beta", 1.0), mr) if call.has(2) else made


def _scaled(x: Value, factor: float, mr: Any) -> Value:
    if factor == 1.0:
        return x
    return x * factor if x.type.is_float else x * mr.constant(int(factor), x.dtype)


@translates("Einsum")
def einsum(mr: Any, call: Call) -> Value:
    """Sums of one or two operands, with "..." and repeated letters; of more, from the left."""
    values = [call.value(k) for k in range(len(call.inputs))]
    left, arrow, out = call.attribute("equation", "").replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(values):
        raise call.refused(f"its equation {left!r} has {len(terms)} terms for {len(values)} inputs")
    free = [c for c in string.ascii_letters if c not in left]
    rest = "".join(
        free[: max((x.ndim - len(t.replace("...", "")) for t, x in zip(terms, values, strict=True)), default=0)]
    )
    if not arrow:
        letters = "".join(terms).replace("...", "")
        out = ("..." if "..." in left else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    out = out.replace("...", rest)
    spelled = []
    for n, (term, x) in enumerate(zip(terms, values, strict=True)):
        missing = x.ndim - len(term.replace("...", ""))
        spelled.append(term.replace("...", rest[len(rest) - missing :] if missing else ""))
        if len(spelled[n]) != x.ndim:
            raise call.refused(f"its term {term!r} does not fit {x.type}")
        spelled[n], values[n] = _diagonal(mr, spelled[n], x)
    term, value = spelled[0], values[0]
    for n in range(1, len(values)):
        later = "".join(spelled[n + 1 :]) + out
        letters = "".join(dict.fromkeys(term + spelled[n]))
        kept = "".join(c for c in letters if c in later)
        value, term = mr.einsum(f"{term},{spelled[n]}->{kept}", value, values[n]), kept
    summed = [axis for axis, c in enumerate(term) if c not in out]
    value = mr.sum(value, summed) if summed else value
    term = "".join(c for c in term if c in out)
    return mr.transpose(value, [term.index(c) for c in out]) if term != out else value


def _diagonal(mr: Any, term: str, x: Value) -> tuple[str, Value]:
    """A term without repeated letters: of two axes of one letter only their diagonal is left."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            size = x.shape[first]
            shape = tuple(size if axis in (first, second) else 1 for axis in range(x.ndim))
            same = mr.equal(mr.iota(shape, first), mr.iota(shape, second))
            x = mr.sum(mr.where(same, x, mr.zeros_like(x)), second)
            term = term[:second] + term[second + 1 :]
    return term, x
