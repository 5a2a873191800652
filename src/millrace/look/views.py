"""The answers to a page's questions, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from millrace.explain.activations import LayerCall, weight_names
from millrace.ir.errors import ArgumentError
from millrace.look.drawn import AT_ONCE, dots, drawn, shown
from millrace.look.formulas import formula, worked
from millrace.look.looking import Edit, Looking
from millrace.look.meanings import meanings
from millrace.look.sums import convolution, dense, maps, panel_of, pooling, softmax
from millrace.words import words

NAMES = 2_000  # classes that are shown by name
MOST_TOWERS = 4  # groups of channels that are drawn apart
MOST = 64  # maps in one answer
READERS = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "MultiHeadAttention", "Attention")  # across steps
Question = Mapping[str, Any]


class Views:
    """What a page can ask, of one subject and in one language.

    A question may carry `edits`: then all that it is told is as it would be with those weights.
    """

    def __init__(self, looking: Looking, language: str = "en"):
        self.looking, self.language = looking, language
        groups = [int(getattr(call.layer, "groups", 1) or 1) for call in looking.plain]
        self.towers = max((n for n in groups if n <= MOST_TOWERS), default=1)
        self.known: dict[str, Callable[[Question, list[Edit]], dict[str, Any]]] = {
            "network": self.network,
            "layer": self.layer,
            "maps": self.maps,
            "numbers": self.numbers,
        }

    def answer(self, name: str, question: Question) -> dict[str, Any]:
        """The answer to a question.  Raises ArgumentError, DataError or ShapeError for one that has none."""
        if name not in self.known:
            raise ArgumentError(f"unknown question {name!r}.")
        if not isinstance(question, Mapping) or not isinstance(question.get("edits", []), list):
            raise ArgumentError("a question is an object, and its edits are a list.")
        return self.known[name](question, [Edit.of(edit) for edit in question.get("edits", [])])

    def network(self, question: Question, edits: list[Edit]) -> dict[str, Any]:
        """The whole network: every call with its circles, and the answer at the end beside the one without edits."""
        subject, calls = self.looking.subject, self.looking.calls(edits)
        return {
            "name": subject.name,
            "origin": subject.origin,
            "example": subject.about,
            "held": subject.held,
            "truth": subject.truth,
            "calls": [self._summary(call) for call in calls],
            "bars": self._bars(calls),
            "before": self._bars(self.looking.plain)["values"],
        }

    def layer(self, question: Question, edits: list[Edit]) -> dict[str, Any]:
        """What stands above a layer's panel."""
        call = self.looking.call(str(question.get("name")), edits)
        said = words("look", self.language)
        told, where = said["kinds"], said["where"]
        # as many numbers as `parameters` counts: a random state is none
        weights = {name: list(one.shape) for name, one in weight_names(call.layer).items() if one.type.is_float}
        return {
            **self._summary(call),
            "about": told.get(call.kind, told["other"]),
            "formula": formula(call),
            "where": meanings(call, lambda key, **what: where[key].format(**what)),
            "panel": panel_of(call),
            "takes": [list(array.shape) for array in call.given],
            "weights": weights,
            "words": self._tokens(call),
            "colour": self._colour(call),
        }

    def maps(self, question: Question, edits: list[Edit]) -> dict[str, Any]:
        """Maps of a layer, some at a time."""
        name, first = str(question.get("name")), whole(question, "first")
        count = min(max(whole(question, "count", 24), 1), MOST)
        size = drawn(self.looking.call(name, edits)).maps[0].size
        return maps(self.looking, name, first, min(AT_ONCE, count * max(size, 1)), edits)

    def numbers(self, question: Question, edits: list[Edit]) -> dict[str, Any]:
        """What one number, or one map, of a layer is made of."""
        name, number, step = str(question.get("name")), whole(question, "map"), whole(question, "step", -1)
        call = self.looking.call(name, edits)
        panel = panel_of(call)
        if panel in ("convolution", "pooling"):
            return (convolution if panel == "convolution" else pooling)(self.looking, name, number, edits)
        if panel in ("dense", "softmax"):
            return (dense if panel == "dense" else softmax)(self.looking, name, number, step, edits)
        place = question.get("place", [])
        if not isinstance(place, list) or [type(n) for n in place] != [int] * call.output.ndim:
            raise ArgumentError(f"a place in {name} has {call.output.ndim} whole numbers.")
        at = list(place)
        if not all(0 <= n < size for n, size in zip(at, call.output.shape, strict=True)):
            raise ArgumentError(f"{name} has no place {at}.")
        told = words("look", self.language)["worked"]
        lines = worked(call, at, lambda key, **what: told[key].format(**what))
        return {"value": float(call.output[tuple(at)]), "lines": lines}

    # ---- parts of answers

    def _summary(self, call: LayerCall) -> dict[str, Any]:
        one = drawn(call)
        layer: Any = call.layer
        apart = one.form == "maps" and shown(len(one.maps)) % self.towers == len(one.maps) % self.towers == 0
        towers = self.towers if apart else 1
        return {
            "name": call.name,
            "kind": call.kind,
            "shape": list(call.shape),
            "inputs": list(call.inputs),
            "form": one.form,
            "count": len(one.maps[0]) if one.form == "steps" else len(one.maps),
            "dots": dots(one, towers),
            "towers": towers,
            "zero": -one.low / (one.high - one.low),
            "groups": int(getattr(layer, "groups", 1) or 1),
            "parameters": 0 if layer is None else layer.count_params(),
            "joins": joins(call),
        }

    def _bars(self, calls: list[LayerCall]) -> dict[str, Any]:
        """The network's answer: a name and a number for each class; of a sequence its last step's."""
        by_name = {call.name: call for call in calls}
        name = self.looking.watch.output_name
        values = np.asarray(by_name[name].output, np.float64)
        step = len(values) if values.ndim == 2 else 0
        values = values[-1] if values.ndim == 2 else values
        classes = self.looking.subject.classes
        if values.ndim > 1:
            values = values.ravel()[:0]
        if values.ndim == 0:
            values = np.asarray([1 - values, values]) if len(classes) == 2 else values.reshape(1)
        probable = bool(len(values) > 1 and (values >= 0).all() and abs(values.sum() - 1) < 1e-3)
        fits = len(classes) == len(values)
        names = [classes[n] if fits else str(n + 1) for n in range(min(len(values), NAMES))]
        shown = [self._token(name) for name in names]
        return {"names": shown, "values": values[:NAMES].tolist(), "probable": probable, "step": step, "layer": name}

    def _tokens(self, call: LayerCall) -> list[str]:
        """The words or characters of the steps of a sequence, where the network's first input holds them."""
        tokens, first = self.looking.subject.tokens, self.looking.plain[0]
        numbers = (call if call.kind == "Input" else first).output
        if not tokens or numbers.dtype.kind not in "iu" or not 1 <= numbers.ndim <= 2 or len(call.shape) > 2:
            return []
        if call.shape[:1] != numbers.shape[:1]:
            return []
        rows = np.clip(numbers.reshape(len(numbers), -1), 0, len(tokens) - 1)
        return [
            " ".join(self._token(tokens[int(n)]) for n in row if n or len(row) == 1) or self._token("") for row in rows
        ]

    def _token(self, token: str) -> str:
        told = words("look", self.language)["tokens"]
        return {"": told["padding"], "\n": "⏎", " ": "␣", "[UNK]": told["unknown"]}.get(token, token)

    def _colour(self, call: LayerCall) -> list[float] | None:
        """Black and white of an input that is a photograph, for the page to paint it in its colours."""
        if call.kind != "Input" or call.output.ndim != 3 or call.output.shape[-1] != 3:
            return None
        if call.output.dtype == np.uint8:
            return [0.0, 255.0]
        low, high = float(call.output.min()), float(call.output.max())
        return [0.0, 1.0] if low >= 0 and high <= 1 else [low, high]


def joins(call: LayerCall) -> str:
    """How circles are joined with those before: "all" with each, "groups" within groups, "one" to one."""
    if panel_of(call) == "convolution" or call.kind in ("Flatten", "Residual"):
        return "groups" if getattr(call.layer, "groups", 1) > 1 else "all"
    if not call.given or call.kind in READERS or (call.kind in ("Dense", "Neuron") and call.output.ndim < 2):
        return "all"
    if call.output.ndim == 2 and call.given[0].shape[:1] == call.output.shape[:1]:  # each step apart
        return "one"
    same = call.output.ndim and call.given[0].ndim == call.output.ndim
    return "one" if same and call.given[0].shape[-1] == call.output.shape[-1] else "all"


def whole(question: Question, name: str, default: int = 0) -> int:
    """A whole number that a question has.  Raises ArgumentError for another kind of thing."""
    value = question.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ArgumentError(f"{name} must be a whole number, got {value!r}.")
    return value
