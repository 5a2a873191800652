"""A derivation as a page: the formula taken apart, rule by rule backwards, the simplification, and a check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from rich.cells import cell_len

from millrace.explain.derivation import Derivation, Part, Rule
from millrace.explain.pages import Code, Listing, Math, Page, Section, Text
from millrace.explain.pages import Part as PagePart
from millrace.explain.trial import STEP, Trial
from millrace.explain.wording import typeset_words
from millrace.ir.core import snake
from millrace.ir.printing import Spelt, Written
from millrace.ir.typeset import rows
from millrace.words import words

GOOD = 1e-6  # how far apart gradient and difference may be


def derivation_page(derivation: Derivation, language: str = "en") -> Page:
    """The page that `millrace explain --gradient` shows."""
    said = words("derivation", language)["page"]
    text, loss = derivation.expression.text, derivation.loss.text
    names = said["comma"].join(gradient.name for gradient in derivation.gradients)
    sections: list[tuple[str, Iterable[PagePart]]] = [
        (said["forward"], _forward(derivation, said)),
        (said["backward"], _backward(derivation, said, language)),
        (said["raw"], (equation(g.by, g.raw, said["where"]) for g in derivation.gradients)),
        (said["simplified"], _simplified(derivation, said, language)),
        (said["result"], _result(derivation, said)),
        (said["check"], _check(derivation.trial, loss, said)),
        (said["latex"], [Code("\n".join(map(breakable, _latex_lines(derivation))))]),
    ]
    return Page(
        said["title"].format(expression=text),
        said["kind"],
        said["lead"].format(loss=loss, expression=text, names=names),
        [Section(heading, [worded(part, language) for part in parts]) for heading, parts in sections],
        language,
    )


def worded(part: PagePart, language: str) -> PagePart:
    """A part whose mathematics has its few words, such as `else`, in the page's language."""
    return replace(part, latex=typeset_words(part.latex, words("page", language))) if isinstance(part, Math) else part


def equation(left: Spelt, right: Written, where: str = "") -> Math:
    """left = right, with what its names stand for below; where: the word before them, none in plain LaTeX."""
    lead = rf"\text{{{where} }} " if where else ""
    below = [f"{name.latex} = {meaning.latex}" for name, meaning in right.named]
    below = [f"{'' if n else lead}{line}" for n, line in enumerate(below)]
    text = right.text
    if where:
        text = text.replace("\n        ", "\n" + " " * (3 + cell_len(where))).replace("\n  where ", f"\n  {where} ", 1)
    return Math(f"{left.text} = {text}", rows(f"{left.latex} = {right.whole.latex}", *below))


def _forward(derivation: Derivation, said: Mapping[str, str]) -> Iterator[PagePart]:
    shapes = said["comma"].join(f"{name} {shape}" for name, shape in derivation.shapes.items())
    yield Text(said["shapes"].format(shapes=shapes))
    yield _lines([(f"{n.text} = {m.text}", f"{n.latex} = {m.latex}") for n, m in derivation.forward])


def _lines(pairs: list[tuple[str, str]]) -> Math:
    return Math("\n".join(text for text, _ in pairs), rows(*(latex for _, latex in pairs)))


def _backward(derivation: Derivation, said: Mapping[str, str], language: str) -> Iterator[PagePart]:
    loss = derivation.loss
    yield Text(said["chain"].format(loss=loss.text))
    yield Math(f"d{loss.text}/d{loss.text} = 1", rf"\frac{{\partial {loss.latex}}}{{\partial {loss.latex}}} = 1")
    rules = words("derivation", language)["rules"]
    for number, step in enumerate(derivation.steps, 1):
        op = snake(step.op)
        rule = said["vectors"] if step.of_vectors else rules.get(step.op) or said["any"].format(op=op)
        if step.inside:
            rule = said["inside"].format(op=op, count=step.inside)
        yield Text(said["step"].format(number=number, made=step.made.text, meaning=step.meaning.text, rule=rule))
        yield _lines([pair for part in step.parts for pair in _given(part)])
        for part in step.parts:
            if part.total is not None:
                yield Text(said["several"].format(name=part.name.text, count=part.count))
                yield equation(part.of, part.total, said["where"])


def _given(part: Part) -> Iterator[tuple[str, str]]:
    """What one input gets: `dL/dx = ...`, or its share `(dL/dx)_1 = ...` where there are several."""
    left = part.of
    if part.count > 1:
        left = Spelt(f"({left.text})_{part.number}", rf"\left({left.latex}\right)_{{{part.number}}}")
    shown = equation(left, part.rule)
    yield shown.text, shown.latex


def _simplified(derivation: Derivation, said: Mapping[str, str], language: str) -> Iterator[PagePart]:
    about = words("derivation", language)["rewrites"]
    if not derivation.rules:
        yield Text(said["nothing"])
    for number, rule in enumerate(derivation.rules, 1):
        pattern = said["times"] if rule.times > 1 else said["rewritten"]
        told = pattern.format(number=number, rule=rule.name, times=rule.times)
        yield Text(said["because"].format(told=told, why=about[rule.name]) if rule.name in about else told)
        yield change(rule)


def change(rule: Rule) -> Math:
    """Before -> after, with what the names in both stand for below; where nothing looks different, once."""
    named = {name.text: (name, meaning) for side in (rule.before, rule.after) for name, meaning in side.named}
    where = [Math(f"{n.text} = {m.text}", f"{n.latex} = {m.latex}") for n, m in named.values()]
    before, after = rule.before.whole, rule.after.whole
    same = before.text == after.text
    text = before.text if same else f"{before.text}  ->  {after.text}"
    latex = before.latex if same else rf"{before.latex} \;\to\; {after.latex}"
    return _lines([(text, latex), *((f"  {x.text}", x.latex) for x in where)])


def _result(derivation: Derivation, said: Mapping[str, str]) -> Iterator[PagePart]:
    for gradient in derivation.gradients:
        yield equation(gradient.by, gradient.simple, said["where"])
        if gradient.whole.text != gradient.simple.text:
            yield Text(said["written_out"])
            yield equation(gradient.by, gradient.whole, said["where"])
    before, after = derivation.nodes
    yield Text(said["nodes"].format(before=before, after=after))


def _check(trial: Trial | None, loss: str, said: Mapping[str, str]) -> Iterator[PagePart]:
    if trial is None:
        yield Text(said["unchecked"])
        return
    numbers = said["comma"].join(f"{name} = {_array(array)}" for name, array in trial.numbers.items())
    yield Text(said["numbers"].format(numbers=numbers, loss=loss, value=f"{trial.loss:.6f}", step=f"{STEP:g}"))
    cells = [[row.name, f"{row.gradient:.8f}", f"{row.difference:.8f}"] for row in trial.rows]
    yield Listing([said["name"], said["gradient"], said["difference"]], cells)
    yield Text(said["error" if trial.error < GOOD else "unlike"].format(error=f"{trial.error:.1g}"))


def _array(array: np.ndarray) -> str:
    return np.array2string(array, separator=", ", threshold=12, edgeitems=2).replace("\n", "")


def breakable(latex: str) -> str:
    """LaTeX with spaces, which mean nothing to it, wherever a narrow terminal may break a line."""
    return latex.replace(r"\left(", r"\left( ").replace(r"\right)", r" \right)")


def _latex_lines(derivation: Derivation) -> Iterator[str]:
    for name, meaning in derivation.forward:
        yield f"{name.latex} = {meaning.latex}"
    for step in derivation.steps:
        yield from (latex for part in step.parts for _, latex in _given(part))
    for gradient in derivation.gradients:
        yield equation(gradient.by, gradient.raw).latex
    for rule in derivation.rules:
        yield change(rule).latex
    for gradient in derivation.gradients:
        yield equation(gradient.by, gradient.whole).latex
