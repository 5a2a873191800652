"""A value as LaTeX: what `ir/printing.py` prints, set by a typesetter.

An operation says its LaTeX beside its notation, where its notation does not say it already.
"""

from __future__ import annotations

from millrace.ir.core import Value
from millrace.ir.printing import simpler, written
from millrace.ir.typeset import symbol


def latex(value: Value, name: str | None = None, simplified: bool = True) -> str:
    r"""`value` in LaTeX: an expression, and below it a line for each part that is used twice.

    name: what it is called on the left of an equals sign, as LaTeX such as r"\\frac{dL}{dw}", or a plain name.
    simplified: whether every rewrite is applied first. What it uses, `latex2mathml` turns into MathML.
    """
    text = written(simpler(value) if simplified else value).latex
    if name is None:
        return text
    head = name if "\\" in name or "_" in name else symbol(name)
    start = r"\begin{array}{l} "
    return f"{start}{head} = {text.removeprefix(start)}" if text.startswith(start) else f"{head} = {text}"
