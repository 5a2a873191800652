"""The page of a subject in a language: what it is for, its mathematics, its sizes, and how it is at work."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from millrace.explain.at_work.operations import function_of
from millrace.explain.at_work.parts import descent_parts, program_parts, trial_parts, work_parts
from millrace.explain.facts import Facts, facts
from millrace.explain.formulas import Mathematics
from millrace.explain.pages import Code, Listing, Math, Page, Part, Section, Text
from millrace.explain.subjects import Subject, related, subjects
from millrace.explain.textbook import TEXTBOOK
from millrace.explain.wording import indexed, math
from millrace.ir import typeset
from millrace.ir.core import snake
from millrace.words import Table, words

PARTS = {"layer": "layers", "function": "functions", "optimizer": "optimizers", "loss": "losses"}
# Operations that are what a layer or function does, where it does more besides; a sum or a product says little.
IDEAS = {"Convolution", "ConvolutionInputGradient", "Dot", "MaxPool", "Pad", "Concatenate"}
WEIGHTS_OF_DIGITS = 151_306  # of the network that `millrace train digits` trains


def part_of(subject: Subject) -> tuple[str, str]:
    """Where a subject's texts are: the part of the texts, and the name of its table. An operation's stand with the
    functions, under its name in lower case."""
    if subject.kind == "operation":
        return "functions", snake(subject.name)
    return PARTS[subject.kind], subject.name


def texts_of(subject: Subject, language: str) -> Table:
    """Its purpose, use and avoid."""
    part, name = part_of(subject)
    return words(part, language)[name]


def subject_page(subject: Subject, language: str = "en") -> Page:
    """Everything about a subject, in a language.

    Raises ArgumentError for a language that there are no texts in.
    """
    say = words("page", language)
    own = texts_of(subject, language)
    known = facts(subject)
    sections = [
        Section(say["heading"]["formula"], list(formula_parts(known, say))),
        Section(say["heading"]["gradient"], list(gradient_parts(known, say))),
        Section(say["heading"]["sizes"], list(size_parts(known, say))),
        Section(say["heading"]["work"], list(working(known, say))),
        Section(say["heading"]["use"], [Text(say["use"][key].format(text=own[key])) for key in ("use", "avoid")]),
        Section(say["heading"]["source"], list(source_parts(subject, say))),
        Section(say["heading"]["call"], list(call_parts(known, say))),
    ]
    see = [say["marks"]["title"].format(title=other.name, kind=say["kind"][other.kind]) for other in others(subject)]
    return Page(subject.name, say["kind"][subject.kind], own["purpose"], sections, language, see)


def others(subject: Subject) -> list[Subject]:
    """The same under another kind: of one name, or the function in which an operation is found."""
    made = related(subject, subjects())
    function = function_of(subject.name) if subject.kind == "operation" else None
    beside = [s for s in subjects() if s.kind == "function" and s.name == function and s not in made]
    return [*made, *beside]


def textbook_parts(name: str, say: Mapping[str, Table]) -> Iterator[Part]:
    """The formula as textbooks write it, and where its letters are in the layer."""
    told, formula = say["textbook"], TEXTBOOK[name]
    yield Text(told["formula"])
    yield Math("\n".join(text for text, _ in formula.lines), typeset.rows(*(latex for _, latex in formula.lines)))
    yield Text(told[formula.note])
    if formula.bound:
        yield Text(told["bound"])
        yield Code("\n".join(formula.bound))


def formula_parts(known: Facts, say: Mapping[str, Table]) -> Iterator[Part]:
    """A textbook's formula, what it builds, its definition by index, what it is made of, and one step of a loop."""
    told, found = say["formula"], known.mathematics
    kind = known.subject.kind
    if known.program is not None:
        yield Text(say["work"]["program"])
        yield Code("\n".join(known.program[1]))
        return
    taught = kind == "layer" and known.subject.name in TEXTBOOK
    if taught:
        yield from textbook_parts(known.subject.name, say)
    if found.index is not None and (known.case is None or known.case.step is None):
        operation, index = found.index
        whole = kind == "operation" or alone(found)
        index_parts: list[Part] = [
            Text(told["index" if whole else "index_of"].format(operation=operation)),
            indexed(index, say),
        ]
        own = operation in IDEAS or operation.lower() == known.subject.name.lower()
        if taught or not (whole or own):
            index_parts = []
    else:
        index_parts = []
    if kind == "operation" and index_parts:
        yield from index_parts
    elif found.whole is not None:
        if kind == "optimizer":
            yield Text(told["rule"])
        elif kind == "loss":
            yield Text(told["loss"])
        elif known.case is not None:
            yield Text(told["built"].format(code=known.case.code))
        yield math(found.whole, say)
        yield from index_parts
    if found.step is not None:
        yield Text(told["step"])
        yield math(found.step, say)
    for operation, spelt in (found.inside or {}).items():
        yield Text(told["inside"].format(operation=operation))
        yield math(spelt, say)


def alone(found: Mathematics) -> bool:
    """Whether what is shown by index is all that it does."""
    return found.whole is not None and found.whole.text.count("(") <= 2 and " + " not in found.whole.text


def gradient_parts(known: Facts, say: Mapping[str, Table]) -> Iterator[Part]:
    """The gradient, and why there is none where there is none."""
    told, found = say["gradient"], known.mathematics
    if found.gradient is not None:
        step = any(name.endswith("'") for name in known.comes_out) or (
            known.case is not None and known.case.step is not None
        )
        yield Text(told["derived_loss" if known.subject.kind == "loss" else "derived_step" if step else "derived"])
        yield math(found.gradient, say)
    why: dict[str, list[str]] = {}
    for name, reason in (found.missing or {}).items():
        why.setdefault(reason, []).append(name)
    for reason, names in why.items():
        shown = say["marks"]["comma"].join(f"`{name}`" for name in names if name)
        if reason in told:
            yield Text(told[reason].format(names=shown))
        elif shown:
            yield Text(told["reason"].format(names=shown, reason=reason))
        else:
            yield Text(told["reason"].format(names="x", reason=reason))


def size_parts(known: Facts, say: Mapping[str, Table]) -> Iterator[Part]:
    """Shapes of what goes in and comes out, each weight's, and how many parameters that makes."""
    told = say["sizes"]
    rows = [(told["input"], name, type) for name, type in known.goes_in.items()]
    rows += [(told["output"], name, type) for name, type in known.comes_out.items()]
    yield Listing([told["what"], told["name"], told["shape"]], rows)
    if known.weights:
        columns = [told["what"], told["name"], told["shape"], told["numbers"]]
        yield Listing(columns, [
            (told["weight" if w.trained else "kept"], w.name, w.shape, f"{w.product} = {w.count:,}")
            if "*" in w.product else (told["weight" if w.trained else "kept"], w.name, w.shape, f"{w.count:,}")
            for w in known.weights
        ])  # fmt: skip
        total, trained = sum(w.count for w in known.weights), sum(w.count for w in known.weights if w.trained)
        text = told["total"].format(sum=" + ".join(w.product for w in known.weights), total=f"{total:,}")
        if trained < total:
            text += say["work"]["between"] + told["and_kept"].format(
                trained=f"{trained:,}", kept=f"{total - trained:,}"
            )
        yield Text(text)
    elif known.subject.kind == "layer":
        yield Text(told["none"])
    elif known.descent is not None:
        count = len(known.slots)
        more = f"{count * WEIGHTS_OF_DIGITS:,}"
        slots = say["marks"]["comma"].join(f"`{slot}`" for slot in known.slots)
        numbers = told["number"] if count == 1 else told["many"].format(count=count)
        yield Text(told["slots"].format(numbers=numbers, slots=slots, more=more) if count else told["no_slots"])


def working(known: Facts, say: Mapping[str, Table]) -> Iterator[Part]:
    """The subject on something real."""
    if known.program is not None:
        yield from program_parts(known.program, say)
    elif known.descent is not None:
        yield from descent_parts(known.subject.name, *known.descent, say)
    elif known.trial is not None:
        yield from trial_parts(known.subject.name, known.trial, say)
    elif known.case is not None:
        yield from work_parts(known.subject.name, known.case, known.curve, say)


def source_parts(subject: Subject, say: Mapping[str, Table]) -> Iterator[Part]:
    """The papers and libraries that its docstring names, and the file that defines it."""
    told = say["source"]
    if subject.source:
        yield Text(subject.source)
        yield Text(told["defined"].format(file=subject.file))
    else:
        yield Text(told["none"].format(file=subject.file))


def call_parts(known: Facts, say: Mapping[str, Table]) -> Iterator[Part]:
    """The arguments with their defaults, and the docstring, which says what each is."""
    subject, told = known.subject, say["call"]
    yield Code(known.call)
    if subject.kind == "layer":
        yield Text(told["more"])
    if subject.also:
        names = say["marks"]["comma"].join(f'`"{name}"`' for name in subject.also)
        yield Text(told["optimizer"].format(name=subject.name, names=names))
    yield Text(told["doc"])
    for paragraph in re.sub(r"\s*Source:.*?(?=\n\n|\Z)", "", subject.doc, flags=re.DOTALL).split("\n\n"):
        if paragraph.startswith("  "):
            yield Code(paragraph)
        elif paragraph:
            yield Text(" ".join(paragraph.split()).replace("**", "∗∗"))
