"""The references of operations and of layers, made from their own docstrings and formulas: `make docs`."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from millrace import ops
from millrace.ir.composite import Composite
from millrace.ir.core import OPS, Primitive, none
from millrace.layers.base import COMMON, LAYERS


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


ROOMS = (
    "core", "rectifiers", "heads", "convolution", "pooling", "normalization", "scaling", "noise", "augmentation",
    "recurrent", "cells", "sequences", "attention", "memory", "hopfield", "merging",
)  # fmt: skip


def layer_reference() -> str:
    """Every layer by family: its arguments, shapes, parameters, use and source: Markdown."""
    lines = [
        "# Layers",
        "",
        "Made by `make docs` from the layers themselves. Every layer also takes `name`, `trainable`, `dtype` and",
        "`activity_regularizer`.",
        "",
    ]
    for room in ROOMS:
        module = import_module(f"millrace.layers.{room}")
        known = [x for x in vars(module).values() if isinstance(x, type) and x.__module__ == module.__name__]
        shown = [layer for layer in known if LAYERS.get(layer.__name__) is layer]
        about = (module.__doc__ or "").strip().partition(": ")
        lines += [f"## {about[0]}", "", *([f"{about[2][:1].upper()}{about[2][1:]}", ""] if about[2] else [])]
        for layer in sorted(shown, key=lambda layer: layer.__name__):
            lines += layer_entry(layer)
    return "\n".join(lines).rstrip() + "\n"


def layer_entry(layer: Any) -> list[str]:
    """One layer's section."""
    parameters = [p for p in inspect.signature(layer.__init__).parameters.values() if p.name != "self"]
    own = [p.replace(annotation=p.empty) for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in COMMON]
    more = ["..."] if any(p.kind is p.VAR_KEYWORD and p.name != "common" for p in parameters) else []
    call = f"{layer.__name__}({', '.join([*map(str, own), *more])})"
    doc = inspect.cleandoc(layer.__doc__ or "").splitlines()
    fixed: list[str] = []
    for line in doc:
        starts = line.startswith(("Raises", "Source"))
        fixed += ["", line] if starts and fixed and fixed[-1] else [line]
    return [f"### {layer.__name__}", "", f"`{call}`", "", *fixed, ""]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "ops.md").write_text(reference())
    (folder / "layers.md").write_text(layer_reference())
