"""What is found out about a subject before anything is said: mathematics, sizes and numbers, in no language."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.explain.at_work import beside
from millrace.explain.at_work.cases import Case
from millrace.explain.at_work.functions import FUNCTION_CASES
from millrace.explain.at_work.layers import LAYER_CASES
from millrace.explain.at_work.losses import Trial, trial
from millrace.explain.at_work.operations import operation_case, program_lines
from millrace.explain.at_work.optimizers import Path, path, plain, shown_as, update_rule
from millrace.explain.at_work.sequences import STATES
from millrace.explain.formulas import Mathematics, counted, mathematics, opened, short_names, together
from millrace.explain.subjects import Subject
from millrace.ir.core import Value, none
from millrace.ir.dims import product
from millrace.ir.graph import Graph, topological
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.printing import is_implied
from millrace.ir.stream import Stage
from millrace.ir.types import TensorType
from millrace.layers.base import COMMON, Layer

assert STATES and beside  # importing them registers their cases
POINTS = 161
CURVED = ("spread", "above_zero")  # inputs on which a function of one number is drawn as a curve


@dataclass(frozen=True)
class Weight:
    """One weight of a layer: its shape, how many numbers that is, and whether an optimizer changes them."""

    name: str
    shape: str
    product: str
    count: int
    trained: bool


@dataclass(frozen=True)
class Curve:
    """A function of one number and its slope: x, f(x), f'(x); no slope where there is no gradient."""

    x: np.ndarray
    y: np.ndarray
    slope: np.ndarray | None


@dataclass(frozen=True)
class Facts:
    """All that a page about a subject is made of, but for its words. None: the subject has no such thing.

    types: of what goes in and comes out, by name. descent: an optimizer's path beside plain gradient descent's, and the
    settings it was shown with. program: a program's text and its lines with the operation.
    """

    subject: Subject
    call: str
    mathematics: Mathematics
    goes_in: Mapping[str, str]
    comes_out: Mapping[str, str]
    weights: tuple[Weight, ...] = ()
    case: Case | None = None
    curve: Curve | None = None
    trial: Trial | None = None
    descent: tuple[Path, Path, Mapping[str, Any]] | None = None
    slots: tuple[str, ...] = ()
    program: tuple[str, list[str]] | None = None


@lru_cache(maxsize=512)
def facts(subject: Subject) -> Facts:
    """The facts about a subject; worked out once, whatever the language."""
    match subject.kind:
        case "layer":
            return of_case(subject, layer_case(subject))
        case "function":
            return of_case(subject, FUNCTION_CASES[subject.name]() if subject.name in FUNCTION_CASES else None)
        case "loss":
            return of_loss(subject)
        case "optimizer":
            return of_optimizer(subject)
    return of_operation(subject)


def layer_case(subject: Subject) -> Case | None:
    return LAYER_CASES[subject.name]() if subject.name in LAYER_CASES else None


def types_of(values: Mapping[str, Value]) -> dict[str, str]:
    return {name: str(value.type) for name, value in values.items()}


def of_case(subject: Subject, case: Case | None) -> Facts:
    """Of a layer or a function; nothing but its call where nobody has shown it at work."""
    call = signature(subject)
    if case is None:
        return Facts(subject, call, Mathematics(), {}, {})
    inputs = dict(zip(case.inputs, case.values, strict=True))
    found = mathematics(inputs, case.outputs, subject.kind == "function", case.step() if case.step else None)
    return Facts(
        subject, call, found, types_of(inputs), types_of(case.outputs), weights_of(case.layer), case, curve_of(case),
    )  # fmt: skip


def weights_of(layer: Layer | None) -> tuple[Weight, ...]:
    """The weights of a built layer, with the layers that it holds; random states are none."""
    variables = [v for v in layer.weights if v.type.is_float] if layer is not None else []
    names = short_names(variables)
    return tuple(
        Weight(names[v], str(list(v.shape)), counted(v.shape), int(product(v.shape)), v.trainable) for v in variables
    )


def curve_of(case: Case) -> Curve | None:
    """The case's function of one number, where each output comes from the input at its own place alone."""
    if case.real not in CURVED or len(case.inputs) != 1 or len(case.outputs) != 1:
        return None
    nodes = topological(case.graph.outputs)
    work = [n for n in nodes if not isinstance(n.op, (Placeholder, Constant)) and not is_implied(n)]
    if not all(n.op.pointwise or n.op.name == "Cast" for n in work):
        return None
    low = -4.0 if case.real == "spread" else 0.05
    x = np.linspace(low, 4.0, POINTS).astype(np.float32)
    open_x = Placeholder("x", TensorType.of(x))()
    made = case.call(open_x)
    y = mr.as_value(made[0] if isinstance(made, list) else made)
    values = Graph([open_x], [y]).evaluate([x])[0].astype(np.float64)
    if not y.type.is_float:
        return Curve(x, values, None)
    (slope,) = mr.gradients(mr.sum(y), [open_x], unconnected="zero")
    return Curve(x, values, Graph([open_x], [slope]).evaluate([x])[0].astype(np.float64))


def of_loss(subject: Subject) -> Facts:
    """Of a loss: differentiated with respect to the prediction."""
    shown = trial(subject.thing)
    if shown is None:
        return Facts(subject, signature(subject), Mathematics(), {}, {})
    case = shown.case
    inputs = dict(zip(case.inputs, case.values, strict=True))
    found = mathematics(inputs, case.outputs, wrt=("y_pred",))
    inside = {name: spelt for name, spelt in (found.inside or {}).items() if name != "Mean"}  # of one number: itself
    return Facts(
        subject, signature(subject), replace(found, inside=inside), types_of(inputs), types_of(case.outputs),
        case=case, trial=shown,
    )  # fmt: skip


def of_optimizer(subject: Subject) -> Facts:
    """Of an optimizer: its rule instead of a formula; it takes gradients and has none."""
    settings = shown_as(subject.thing)
    optimizer = subject.thing(**settings)
    _, new = update_rule(subject.thing(**settings))
    values, _ = opened(list(new.values()))
    rule = together(dict(zip(new, values, strict=True)))
    found = Mathematics(rule, missing={"w": "optimizer"})
    return Facts(
        subject, signature(subject), found, {"w": "float32[...]", "g": "float32[...]"}, {"w'": "float32[...]"},
        descent=(path(optimizer), plain(), settings), slots=tuple(optimizer.slots),
    )  # fmt: skip


def of_operation(subject: Subject) -> Facts:
    """Of an operation: by index for the sizes at hand, its gradient built by its own rule."""
    case = operation_case(subject.name)
    if case is not None:
        inputs = dict(zip(case.inputs, case.values, strict=True))
        found = mathematics(inputs, case.outputs)
        return Facts(
            subject, signature(subject), found, types_of(inputs), types_of(case.outputs), case=case,
            curve=curve_of(case),
        )  # fmt: skip
    program, lines = program_lines(subject.name)
    kind = "stage" if issubclass(subject.thing, Stage) else "leaf"
    if isinstance(getattr(subject.thing, "gradient", None), none):
        kind = subject.thing.gradient.reason
    made = lines[0].rsplit(" : ", 1)[-1]
    given = dict(operands(program, lines[0]))
    return Facts(
        subject, signature(subject), Mathematics(missing={"": kind}), given, {"out": made}, program=(program, lines)
    )  # fmt: skip


def operands(program: str, line: str) -> list[tuple[str, str]]:
    """The values that a line of a graph's text takes, with the types that the lines before give them."""
    taken = line.rsplit(" : ", 1)[0].rsplit("(", 1)[1].rstrip(")").split(", ")
    made: dict[str, str] = {}
    for one in program.splitlines():
        if " = " in one and " : " in one:
            names, types = (
                one.split(" = ", 1)[0].strip().split(", "),
                one.rsplit(" : ", 1)[1].split(" @ ")[0].split("; "),
            )
            made |= dict(zip(names, types, strict=False))
    return [(name, made[name]) for name in taken if name in made]


def signature(subject: Subject) -> str:
    """How it is called, with the arguments' defaults, without what every layer takes."""
    thing = subject.thing if subject.kind == "function" else subject.thing.__init__
    if thing is object.__init__:
        return f"{subject.name}()"
    parameters = [p for p in inspect.signature(thing).parameters.values() if p.name != "self"]
    own = [p.replace(annotation=p.empty) for p in parameters if p.name not in COMMON and p.kind is not p.VAR_KEYWORD]
    return f"{subject.name}({', '.join(map(str, own))})"
