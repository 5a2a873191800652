"""ONNX's own cases of its operators, held against the import: what passes, what does not, and why.

`python -m tests.inference.onnx_backend docs/onnx.md` writes the table into the page; with names of operators it runs
their cases and prints what is wrong.
"""

from __future__ import annotations

import fnmatch
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import defs, numpy_helper

from millrace.inference.onnx.importing import from_onnx
from millrace.inference.onnx.reading import NEWEST, OLDEST
from millrace.inference.onnx.translating import TRANSLATIONS
from millrace.ir.errors import MillraceError

NARROW = "dtypes of fewer than 8 bits, and floats of 8 bits, which Millrace lacks"
STRINGS = "strings, which Millrace lacks"
SEQUENCES = "sequences and optional values, which Millrace lacks"
TRAINING = "training mode: a model is imported to predict"
RANDOM = "random numbers: a model is imported to predict"

# Cases that do not pass: patterns of their names, and why.
REASONS: dict[str, str] = {
    **dict.fromkeys(("test_cast*FLOAT8*", "test_cast*FLOAT4*", "test_cast*INT4*", "test_cast*INT2*"), NARROW),
    **dict.fromkeys((f"test_*quantizelinear_*{dtype}*" for dtype in ("int4", "int2", "e4m3", "e5m2", "e2m1")), NARROW),
    **dict.fromkeys(("test_equal_string*", "test_string*"), STRINGS),
    **dict.fromkeys(("test_identity_sequence", "test_identity_opt", "test_if_seq", "test_if_opt"), SEQUENCES),
    **dict.fromkeys(("test_loop13_seq", "test_loop16_seq_none", "test_sequence_map*"), SEQUENCES),
    **dict.fromkeys(("test_training_dropout", "test_training_dropout_mask"), TRAINING),
    **dict.fromkeys(("test_training_dropout_default*", "test_batchnorm_*_training_mode"), TRAINING),
    "test_bernoulli*": RANDOM,
    "test_not_[234]d": "version 1 of the operators: 7 and later are read",
    "test_scan_sum": "version 8 of Scan, which has a batch: 9 and later are read",
}


@dataclass(frozen=True)
class Case:
    """One of ONNX's cases: a model, and what it has to give for what."""

    name: str
    model: Any
    data: Any
    rtol: float
    atol: float

    @property
    def reason(self) -> str:
        """Why it is known not to pass, "" where it has to."""
        return next((why for pattern, why in REASONS.items() if fnmatch.fnmatchcase(self.name, pattern)), "")


@cache
def cases() -> dict[str, list[Case]]:
    """The cases of each operator. An expanded one, whose operator is spelled out, counts for that operator."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [case for case in load_model_tests(kind="node") if case.model is not None]
    about = {case.name: _operator(case.model) for case in found if "_expanded" not in case.name}
    made: dict[str, list[Case]] = {}
    for case in found:
        operator = about.get(case.name.split("_expanded")[0], "")
        made.setdefault(operator, []).append(Case(case.name, case.model, case.data_sets, case.rtol, case.atol))
    return made


def _operator(model: Any) -> str:
    """The operator that a case is about: the one beside constants."""
    return next((node.op_type for node in model.graph.node if node.op_type != "Constant"), "Constant")


def operators() -> list[str]:
    """The operators that are imported: those that have a translation, and those that ONNX defines by others."""
    defined = [s.name for s in defs.get_all_schemas() if s.has_function or s.has_context_dependent_function]
    return sorted({*TRANSLATIONS, *defined})


def failure(case: Case) -> str:
    """Why a case does not pass, "" if it does: as it stands, or with what must be known now as part of the model."""
    why = ""
    for kept in (len(case.model.graph.input), 1, 0):
        try:
            return _mismatch(case, *baked(case, kept))
        except MillraceError as error:
            why = str(error)
            if "has to be known when the model is read" not in why:
                return why
    return why


def baked(case: Case, kept: int) -> tuple[Any, Any]:
    """The model with all inputs but the first ones as tensors of its own, as exporters write shapes and axes."""
    if kept >= len(case.model.graph.input):
        return case.model, case.data
    (inputs, expected), made = case.data[0], onnx.ModelProto()
    made.CopyFrom(case.model)
    given = list(zip(case.model.graph.input, inputs, strict=True))[kept:]
    made.graph.initializer.extend(numpy_helper.from_array(array_of(array), value.name) for value, array in given)
    return made, [(inputs[:kept], expected)]


def array_of(given: Any) -> Any:
    """An array of a case, some of which come as tensors in ONNX's form."""
    if isinstance(given, onnx.TensorProto):
        return numpy_helper.to_array(given)
    return np.asarray(given) if isinstance(given, (np.ndarray, np.generic)) else given


def _mismatch(case: Case, model: Any, data: Any) -> str:
    predictor = from_onnx(model, engine="numpy")
    for inputs, expected in data:
        got = predictor(*(array_of(x) for x in inputs))
        if len(got) != len(expected):
            return f"{len(got)} outputs for {len(expected)}"
        for port, mine, theirs in zip(predictor.outputs, got, expected, strict=True):
            wrong = _difference(np.asarray(mine), array_of(theirs), case)
            if wrong:
                return f"{port.name} {wrong}"
    return ""


def _difference(mine: np.ndarray, theirs: Any, case: Case) -> str:
    if not isinstance(theirs, np.ndarray):
        return "is no tensor"
    if mine.dtype != theirs.dtype or mine.shape != theirs.shape:
        return f"is {mine.dtype}{list(mine.shape)} for {theirs.dtype}{list(theirs.shape)}"
    if theirs.dtype.kind in "biu":
        return "" if np.array_equal(mine, theirs) else "differs"
    a, b = mine.astype(np.float64), theirs.astype(np.float64)
    few_bits = {"float16": 2**-9, "bfloat16": 2**-6}  # twice the step between neighbours: sums round in any order
    same = np.allclose(a, b, max(case.rtol, few_bits.get(theirs.dtype.name, 0)), case.atol, equal_nan=True)
    return "" if same else f"is off by {np.nanmax(np.abs(a - b), initial=0.0):.3g}, or not finite elsewhere"


def table() -> str:
    """What passes of each operator, and what does not and why: Markdown.

    It rests on the list of reasons, which the tests hold to what the cases do.
    """
    rows, failing = [], {}
    for name in operators():
        mine = cases().get(name, [])
        known = [case for case in mine if case.reason]
        for case in known:
            failing.setdefault(case.reason, []).append(case.name)
        if len(known) < len(mine) or (name in TRANSLATIONS and not mine):
            passed = f"{len(mine) - len(known)} of {len(mine)}" if mine else "no cases"
            rows.append(f"| {name} | {versions(name)} | {passed} |")
    total, all_ = sum(map(len, failing.values())), sum(len(cases().get(name, [])) for name in operators())
    lines = ["| operator | versions | cases that pass |", "|---|---|---|", *rows, ""]
    lines += [f"{all_ - total} of {all_} cases pass. What does not:", "", "| cases | number | why |", "|---|---|---|"]
    lines += [f"| {_stems(names)} | {len(names)} | {why} |" for why, names in failing.items()]
    return "\n".join(lines)


def versions(operator: str) -> str:
    """The versions of ONNX's operators whose form of an operator is read; with the domain where it is another."""
    history = sorted(
        (s for s in defs.get_all_schemas_with_history() if s.name == operator),
        key=lambda s: (s.domain, s.since_version),
    )
    if history[0].domain:
        return f"{history[0].since_version} of `{history[0].domain}`"
    until = history[-1].since_version - 1 if history[-1].deprecated else NEWEST
    return f"{max(history[0].since_version, OLDEST)} to {until}"


def _stems(names: Iterable[str]) -> str:
    """The patterns that names match, in place of hundreds of names."""
    patterns = [p for p in REASONS if any(fnmatch.fnmatchcase(name, p) for name in names)]
    return ", ".join(f"`{pattern}`" for pattern in patterns)


MARKS = ("<!-- made by make docs: cases -->", "<!-- end of cases -->")


def page(text: str) -> str:
    """A page with the table between its marks made anew."""
    before, _, rest = text.partition(MARKS[0])
    return f"{before}{MARKS[0]}\n{table()}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}"


def main(asked: Sequence[str]) -> None:
    if len(asked) == 1 and asked[0].endswith(".md"):
        path = Path(asked[0])
        path.write_text(page(path.read_text()))
        return
    for name in asked or operators():
        mine = cases().get(name, [])
        failed = {case.name: why for case in mine if (why := failure(case)) and (asked or not case.reason)}
        print(f"{name:26} {len(mine) - len(failed)} of {len(mine)}")
        for case, why in failed.items():
            print("   ", case, " ".join(why.split()))


if __name__ == "__main__":
    main(sys.argv[1:])
