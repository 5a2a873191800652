"""A subject being looked at: its layer calls, as they are and as they would be with other weights."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millrace.explain.activations import LayerCall, Watch, weight_of
from millrace.ir.errors import ArgumentError, DataError
from millrace.look.subject import Subject

REMEMBERED = 4  # what as many last edits led to
LARGEST = float(np.finfo(np.float32).max)
MOST_CHANGES = 100_000  # numbers of one edit


@dataclass(frozen=True)
class Edit:
    """Other numbers for some of a layer's kernel: `values[n]` at the index `at[n]`."""

    layer: str
    at: tuple[tuple[int, ...], ...]
    values: tuple[float, ...]
    weight: str = "kernel"

    @staticmethod
    def of(given: Any) -> Edit:
        """An edit from what a page sent.  Raises ArgumentError or DataError for what is none."""
        try:
            layer, at, values = str(given["layer"]).partition("#")[0], given["at"], given["values"]
            places = tuple(tuple(int(n) for n in place) for place in at)
            numbers = tuple(float(value) for value in values)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ArgumentError("an edit says its layer, at which indices, and the values there.") from None
        if len(places) != len(numbers) or len(places) > MOST_CHANGES:
            raise ArgumentError(f"an edit has a value for each index, {MOST_CHANGES:,} at most.")
        if not all(abs(value) <= LARGEST for value in numbers):
            raise DataError(f"a weight must be a finite number, at most {LARGEST:.3g} in size.")
        return Edit(layer, places, numbers)

    def applied(self, array: np.ndarray) -> np.ndarray:
        """A copy of the weight with the edit made.  Raises ArgumentError for an index outside it."""
        made = array.copy()
        for place, value in zip(self.at, self.values, strict=True):
            inside = len(place) == made.ndim and all(0 <= n < size for n, size in zip(place, made.shape, strict=True))
            if not inside:
                raise ArgumentError(f"{self.layer}/{self.weight} has no place {list(place)}.")
            made[place] = value
        return made


@dataclass
class Looking:
    """A subject with the function that looks at it. Its weights are never changed: an edit is part of a question."""

    subject: Subject
    watch: Watch = field(init=False)
    plain: list[LayerCall] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _edited: OrderedDict[tuple[Edit, ...], list[LayerCall]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self.watch = Watch(self.subject.model)
        self.plain = self.watch(self.subject.example)

    def calls(self, edits: Sequence[Edit] = ()) -> list[LayerCall]:
        """All layer calls, with some weights as edits say.  Raises ArgumentError for an edit that does not fit."""
        key = self._ordered(edits)
        if not key:
            return self.plain
        with self._lock:
            if key not in self._edited:
                calls = self.plain
                for edit in key:  # each recomputes what follows it, so those that come first must be first
                    calls = self.watch.changed(calls, edit.layer, edit.weight, self.weight(edit.layer, [edit]))
                if not all(np.isfinite(call.output).all() for call in calls if call.output.dtype.kind == "f"):
                    raise DataError("these numbers lead to others that are too large to write: take smaller ones.")
                self._edited[key] = calls
            self._edited.move_to_end(key)
            while len(self._edited) > REMEMBERED:
                self._edited.popitem(last=False)
            return self._edited[key]

    def weight(self, layer: str, edits: Sequence[Edit] = (), weight: str = "kernel") -> np.ndarray:
        """A layer's weight, as edits say."""
        array = weight_of(self.subject.model, layer, weight).numpy()
        for edit in edits:
            if edit.layer == layer and edit.weight == weight:
                array = edit.applied(array)
        return array

    def call(self, name: str, edits: Sequence[Edit] = ()) -> LayerCall:
        """A layer call by name.  Raises ArgumentError for an unknown one."""
        for call in self.calls(edits):
            if call.name == name:
                return call
        raise ArgumentError(f"the network has no layer {name!r}.")

    def _ordered(self, edits: Sequence[Edit]) -> tuple[Edit, ...]:
        """Edits in the order of the network, one for each layer."""
        places: Mapping[str, int] = {call.name: n for n, call in enumerate(self.plain)}
        names = [edit.layer for edit in edits]
        if len(set(names)) < len(names):
            raise ArgumentError("an edit of a layer holds all that is changed in it: send one for each.")
        for name in names:
            if name not in places:
                raise ArgumentError(f"the network has no layer {name!r}.")
        return tuple(sorted((edit for edit in edits if edit.at), key=lambda edit: places[edit.layer]))
