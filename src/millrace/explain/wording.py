"""Mathematics from the graph in the page's language: the few English words in notations, as text and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping

from millrace.explain.formulas import WHERE
from millrace.explain.pages import Math
from millrace.ir.formula import Formula
from millrace.ir.printing import Spelt
from millrace.words import Table

Say = Mapping[str, Table]

# A key of the texts' table "formula", and what it stands for in text and in LaTeX; groups fill its holes.
AXES, SET_AXES = r"(?P<{}>\([\d, ]*\))", r"(?P<{}>\\left\([^a-z()]*\\right\))"
WORDS = (
    (
        "steps_back", r"(?<=scan\[)(?P<count>\S+) steps backwards",
        r"(?<=scan}\\left\[)(?P<count>[^\\]+)\\ \\mathrm{steps}\\ \\mathrm{backwards}",
    ),
    ("steps", r"(?<=scan\[)(?P<count>\S+) steps", r"(?<=scan}\\left\[)(?P<count>[^\\]+)\\ \\mathrm{steps}"),
    (
        "over", f"sum over {AXES.format('x')} and {AXES.format('y')}",
        r"\\mathrm{sum}\\ \\mathrm{over}\\ " + SET_AXES.format("x") + r"\\ \\mathrm{and}\\ " + SET_AXES.format("y"),
    ),
    ("otherwise", None, r"\\text{else}"),
)  # fmt: skip


def math(spelt: Spelt, say: Say) -> Math:
    """An expression of the graph."""
    told = say["formula"]
    text = re.sub(r"^  where ", f"  {told['where']} ", spelt.text, flags=re.MULTILINE)
    latex = spelt.latex.replace(WHERE, rf"\text{{{told['where'].strip()}}}")
    for key, plain, _ in WORDS:
        if plain is not None:
            text = re.sub(plain, lambda found, key=key: told[key].format(**found.groupdict()), text)  # type: ignore[misc]
    return Math(text, typeset_words(latex, say))


def typeset_words(latex: str, say: Say) -> str:
    """LaTeX with its words in the page's language; the English ones are there already."""
    told = say["formula"]
    if told["otherwise"] == "else":
        return latex
    for key, _, typeset in WORDS:
        latex = re.sub(typeset, lambda found, key=key: upright(told[key].format(**found.groupdict())), latex)  # type: ignore[misc]
    return latex


def upright(text: str) -> str:
    """Letters outside ASCII as text in LaTeX."""
    return re.sub(r"[^\x00-\x7f]+", r"\\text{\g<0>}", text)


def indexed(index: Formula, say: Say) -> Math:
    """A definition by index, with what is read beyond an edge."""
    told = (say["formula"]["outside"].format(name=name, value=f"{v:g}") for name, v in index.outside.items())
    note = say["marks"]["comma"].join(told)
    text = say["marks"]["note"].format(text=f"{index.text}  ", note=note) if note else index.text
    return Math(text, typeset_words(index.latex(), say))
