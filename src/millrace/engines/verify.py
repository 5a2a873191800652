"""Whether the two engines agree on this machine: every operation's samples, in every dtype that it takes.

The interpreter is the definition, in NumPy; the compiler's lowerings, XLA and the processor are what is examined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millrace.engines.bundles import everything_bundled
from millrace.engines.bundling import has_bundles
from millrace.engines.function import engine_named, function
from millrace.ir.composite import Composite
from millrace.ir.core import OPS, Op, Primitive, Sample, Value
from millrace.ir.errors import MillraceError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.text import Body
from millrace.ir.types import FLOATS, SIGNED, UNSIGNED, TensorType, is_float_array

# How far results may lie apart, relative and absolute. Numbers of 16 bits are rounded once by each engine: a step of
# theirs. Whole numbers must be equal.
TOLERANCES = {
    "bfloat16": (1.01 * 2.0**-7, 1e-5), "float16": (1.01 * 2.0**-10, 1e-5), "float32": (3e-6, 3e-6),
    "float64": (1e-12, 1e-12),
}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """A result on which the engines do not agree: how far they are apart, and how far they may be.

    largest: the greatest absolute difference, infinite where one engine alone gives infinity or NaN. allowed: what
    is tolerated at that place. error: what went wrong instead, where there is no result.
    """

    op: str
    sample: int
    types: str
    largest: float = 0.0
    allowed: float = 0.0
    error: str = ""

    def __str__(self) -> str:
        what = self.error or f"{self.largest:.3g} apart, {self.allowed:.3g} allowed"
        return f"{self.op}, sample {self.sample + 1} ({self.types}): {what}"


@dataclass
class Examined:
    """What came of one operation: how many results were compared, in which dtypes, and where they differ."""

    op: str
    compared: int = 0
    dtypes: set[str] = field(default_factory=set)
    differences: list[Difference] = field(default_factory=list)


def operations() -> list[type[Op]]:
    """Every operation that computes, in the order of the alphabet."""
    known = (op for op in OPS.values() if issubclass(op, (Primitive, Composite)))
    return sorted(known, key=lambda op: op.__name__)


def verify(ops: Sequence[type[Op]] | None = None) -> Iterator[Examined]:
    """Run the samples of operations (all, unless given) through both engines, one operation after another."""
    for op in operations() if ops is None else ops:
        yield examined(op)


def examined(op: Any) -> Examined:
    """One operation: all its samples in one program; one by one where that program cannot be made."""
    cases = [(n, case) for n, sample in enumerate(op.samples(np.random.default_rng(1))) for case in in_dtypes(sample)]
    found = Examined(op.__name__)
    try:
        results = run([case for _, case in cases])
    except Exception as whole:  # whatever a lowering, XLA or NumPy raises is what is looked for
        results = []
        for n, case in cases:
            try:
                results += run([case])
            except Exception as error:
                results.append([])
                found.differences.append(Difference(found.op, n, types_text(case), error=one_line(error)))
        if not found.differences:  # each by itself works
            found.differences.append(Difference(found.op, 0, "all samples together", error=one_line(whole)))
    for (n, case), pairs in zip(cases, results, strict=True):
        for compiled, interpreted in pairs:
            found.compared += 1
            found.dtypes.add(interpreted.dtype.name)
            difference = compare(compiled, interpreted)
            if difference is not None:
                found.differences.append(Difference(found.op, n, types_text(case), *difference))
    return found


def run(cases: Sequence[Sample]) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """For each case its outputs, compiled and interpreted; and once more compiled with its routines in one call."""
    inputs: list[Value] = []
    outputs: list[Value] = []
    arrays: list[np.ndarray] = []
    counts: list[int] = []
    for case in cases:
        values = [Placeholder(f"x{n}", type)() for n, type in enumerate(case.types)]
        made = case.op(*values)
        made = made if isinstance(made, tuple) else (made,)
        inputs += values
        outputs += made
        arrays += case.inputs
        counts.append(len(made))
    compiled, interpreted = (function(inputs, outputs, engine=engine)(*arrays) for engine in ("xla", "numpy"))
    found = [[(np.asarray(a), np.asarray(b))] for a, b in zip(compiled, interpreted, strict=True)]
    with everything_bundled():
        if has_bundles(Graph(inputs, outputs), engine_named("xla").platform):
            bundled = function(inputs, outputs, engine="xla")(*arrays)
            found = [[*pairs, (np.asarray(a), pairs[0][1])] for pairs, a in zip(found, bundled, strict=True)]
    each = iter(found)
    return [[pair for _ in range(count) for pair in next(each)] for count in counts]


def in_dtypes(sample: Sample) -> list[Sample]:
    """A sample in its own dtypes, and with its floats, or else its whole numbers, in each other one that it can have.

    Whole numbers are only put where all of them fit. What holds a body has fixed types.
    """
    made = [sample]
    if any(isinstance(attribute, Body) for attribute in vars(sample.op).values()):
        return made
    floats = any(is_float_array(x) for x in sample.inputs)
    before = {x.dtype.name for x in sample.inputs if is_float_array(x) == floats and x.dtype != bool}
    for dtype in FLOATS if floats else (*SIGNED, *UNSIGNED):
        if before == {dtype} or not before:
            continue
        with np.errstate(over="ignore"):  # infinity is a number that engines must agree on too
            arrays = [x.astype(dtype) if x.dtype.name in before else x for x in sample.inputs]
        fits = floats or all(bool((a == x).all()) for a, x in zip(arrays, sample.inputs, strict=True))
        case = Sample(sample.op, tuple(arrays))
        if fits and takes(case):
            made.append(case)
    return made


def takes(case: Sample) -> bool:
    """Whether the operation takes inputs of these types."""
    try:
        case.op.infer(*case.types)
    except MillraceError:
        return False
    return True


def compare(compiled: np.ndarray, interpreted: np.ndarray) -> tuple[float, float, str] | None:
    """The largest difference between two results with what is allowed there; None where they agree."""
    if (compiled.dtype, compiled.shape) != (interpreted.dtype, interpreted.shape):
        return float("inf"), 0.0, f"{TensorType.of(compiled)}, not {TensorType.of(interpreted)}"
    if not interpreted.size:
        return None
    if not is_float_array(interpreted):
        if bool((compiled == interpreted).all()):
            return None
        return float(np.abs(compiled.astype(np.float64) - interpreted.astype(np.float64)).max()), 0.0, ""
    relative, absolute = TOLERANCES[interpreted.dtype.name]
    a, b = compiled.astype(np.float64), interpreted.astype(np.float64)
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        apart = np.where(same, 0.0, np.abs(a - b))
    apart = np.where(np.isfinite(apart), apart, np.inf)
    allowed = absolute + relative * np.abs(np.where(np.isfinite(b), b, 0.0))
    worst = int(np.argmax(apart - allowed))
    if apart.ravel()[worst] <= allowed.ravel()[worst]:
        return None
    return float(apart.ravel()[worst]), float(allowed.ravel()[worst]), ""


def types_text(case: Sample) -> str:
    return ", ".join(map(str, case.types)) or "no inputs"


def one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]
