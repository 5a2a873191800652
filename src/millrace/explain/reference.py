"""The reference of operations, made from their own docstrings and formulas: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from millrace import ops
from millrace.ir.composite import Composite
from millrace.ir.core import OPS, Primitive, none


def reference() -> str:
    """Every operation by family, with its definition for one small sample: Markdown."""
    families: dict[str, list[Any]] = {}
    assert ops  # importing the vocabulary registers it
    for op in OPS.values():
        if issubclass(op, (Primitive, Composite)):
            families.setdefault(op.__module__.rsplit(".", 1)[-1], []).append(op)
    lines = [
        "# Operations",
        "",
        "Made by `make docs` from the operations themselves. Formulas are for one small sample.",
        "",
    ]
    for family in sorted(families):
        lines += [f"## {family}", ""]
        for op in sorted(families[family], key=lambda op: op.__name__):
            lines += entry(op)
    return "\n".join(lines).rstrip() + "\n"


def entry(op: Any) -> list[str]:
    """One operation's section."""
    sample = op.samples(np.random.default_rng(0))[0]
    formula = sample.op.formula(*sample.types)
    inputs = ", ".join(f"`{type}`" for type in sample.types) or "nothing"
    lines = [f"### {op.__name__}", "", *(line.strip() for line in op.__doc__.strip().splitlines()), ""]
    lines.append(f"- from {inputs}")
    if formula is not None:
        lines.append(f"- `{formula}`")
    if isinstance(op.gradient, none):
        lines.append(f"- no gradient: {op.gradient.reason}")
    return [*lines, ""]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference())
