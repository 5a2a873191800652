"""What `millrace explain` has pages about, besides concepts: every public layer, function, optimizer and loss, and
every operation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from millrace import functional, layers, ops
from millrace.engines.function import evaluate, function
from millrace.engines.processes import join_processes
from millrace.ir.core import OPS
from millrace.ir.dims import dim
from millrace.ir.rewrite import rules, simplify
from millrace.ir.text import parse
from millrace.layers.activations import activation
from millrace.layers.base import Layer, set_seed
from millrace.layers.calls import mask_of
from millrace.layers.policy import set_dtype_policy
from millrace.training.loss import Loss
from millrace.training.losses import SHORT
from millrace.training.model import load_model
from millrace.training.optimizers import Optimizer

KINDS = ("concept", "layer", "function", "optimizer", "loss", "operation")  # where a name has several, the first
BESIDE = {  # public functions that are no mathematics: `millrace.api` offers them beside NumPy's names
    "activation": activation, "dim": dim, "evaluate": evaluate, "function": function,
    "join_processes": join_processes, "load_model": load_model, "mask_of": mask_of, "parse": parse, "rewrites": rules,
    "set_dtype_policy": set_dtype_policy, "set_seed": set_seed, "simplify": simplify,
}  # fmt: skip
# What people call things besides, in speech and in other frameworks; a name that something really has goes first.
CALLED = {
    "Adam": ("adaptive moments",), "Attention": ("self attention",), "AveragePooling2D": ("avg pool", "mean pool"),
    "BatchNormalization": ("batch norm", "bn"), "Conv2D": ("conv", "conv layer"), "convolution": ("conv",),
    "Dense": ("dense layer", "fully connected", "fully connected layer", "fc", "linear"),
    "Embedding": ("word embedding", "word vectors"), "GroupNormalization": ("group norm",),
    "LayerNormalization": ("layer norm",), "LSTM": ("long short term memory",), "GRU": ("gated recurrent unit",),
    "MaxPooling2D": ("maxpool",), "MultiHeadAttention": ("multi head", "transformer"), "log": ("ln",),
    "Residual": ("skip connection", "residual connection", "resnet block"), "RMSNormalization": ("rms norm",),
    "SGD": ("gradient descent", "stochastic gradient descent"), "silu": ("swish",), "power": ("pow",),
    "sigmoid": ("logistic",), "feedback-and-memory": ("rnn", "recurrent network", "recurrent neural network"),
    "why-relu": ("activation",), "MeanSquaredError": ("l2 loss",), "MeanAbsoluteError": ("l1 loss",),
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """One thing to explain: its kind, its name, what it is in Python, and other names that it is found by.

    also: names that the code takes for it, too, such as "adam"; called: what people say.
    """

    kind: str
    name: str
    thing: Any
    also: tuple[str, ...] = ()
    called: tuple[str, ...] = ()

    @property
    def doc(self) -> str:
        """Its docstring, without indentation."""
        import inspect

        return inspect.cleandoc(self.thing.__doc__ or "")

    @property
    def source(self) -> str:
        """What its docstring says under `Source`; "" where it names none."""
        found = re.search(r"Source: *(.*?)(?:\n\n|\Z)", self.doc, re.DOTALL)
        return " ".join(found[1].split()) if found else ""

    @property
    def file(self) -> str:
        """The file of Millrace that defines it, such as millrace/layers/core.py."""
        return self.thing.__module__.replace(".", "/") + ".py"


@lru_cache
def subjects() -> tuple[Subject, ...]:
    """All of them, kind by kind."""
    assert ops  # importing the vocabulary registers it
    shown = [(name, getattr(layers, name)) for name in layers.__all__]
    made = [Subject("layer", n, t) for n, t in shown if isinstance(t, type) and issubclass(t, Layer) and t is not Layer]
    made += [Subject("function", name, getattr(functional, name)) for name in functional.__all__]
    made += [Subject("function", name, thing) for name, thing in BESIDE.items()]
    of_house = {n: t for n, t in Optimizer.known.items() if t.__module__.startswith("millrace.")}
    made += [Subject("optimizer", cls.__name__, cls, (name,)) for name, cls in of_house.items()]
    for name, cls in Loss.known.items():
        if cls.__module__.startswith("millrace."):
            short = tuple(key for key, full in SHORT.items() if full == name and key.islower())
            made.append(Subject("loss", cls.__name__, cls, (name, *short)))
    made += [Subject("operation", n, op) for n, op in OPS.items() if op.__module__.startswith("millrace.")]
    named = [replace(s, called=CALLED[s.name]) if s.name in CALLED else s for s in made if s.kind != "operation"]
    named += [s for s in made if s.kind == "operation"]
    return tuple(sorted(named, key=lambda s: (KINDS.index(s.kind), s.name.lower(), s.name)))


def loosened(name: str) -> str:
    """A name without what people leave out: case, underscores, dashes and spaces."""
    return re.sub(r"[\s_\-]", "", name).lower()


def found(name: str, known: Sequence[Subject], kind: str | None = None) -> list[Subject]:
    """Every subject of that name, the one that is meant first: exactly its name, loosely, or as people say; by kind."""
    fitting = [s for s in known if kind in (None, s.kind)]
    exact = [s for s in fitting if name in (s.name, *s.also)]
    wanted = loosened(name)
    loose = [s for s in fitting if wanted in {loosened(n) for n in (s.name, *s.also)} and s not in exact]
    said = [s for s in fitting if wanted in map(loosened, s.called) and s not in exact + loose]
    return [s for group in (exact, loose, said) for s in sorted(group, key=lambda s: KINDS.index(s.kind))]


def nearest(name: str, known: Sequence[Subject], count: int = 5) -> list[str]:
    """Names that look like one that is unknown, or hold it."""
    from difflib import get_close_matches

    by_loose: dict[str, str] = {}
    for subject in known:
        for one in (subject.name, *subject.also, *subject.called):
            by_loose.setdefault(loosened(one), one)
    wanted = loosened(name)
    near = get_close_matches(wanted, list(by_loose), n=count)
    near += [one for one in by_loose if len(wanted) > 2 and wanted in one and one not in near]
    return [by_loose[one] for one in near[:count]]


def related(subject: Subject, known: Sequence[Subject]) -> list[Subject]:
    """The same thing under another kind: function, layer and operation of one name."""
    return [other for other in found(subject.name, known) if other is not subject]


def by_kind(known: Sequence[Subject]) -> Mapping[str, list[Subject]]:
    """The subjects of each kind, in the order of kinds."""
    made: dict[str, list[Subject]] = {kind: [] for kind in KINDS}
    for subject in known:
        made[subject.kind].append(subject)
    return made
