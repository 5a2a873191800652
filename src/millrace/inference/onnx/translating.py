"""How ONNX's operations are said in Millrace: the table of translations, and a node as a translation sees it.

    @translates("Relu")
    def relu(mr, call):
        return mr.relu(call.value(0))

A translation gets the functional namespace and the call; it gives a value, an array where the result is known now, or
a tuple of them, one for each output. Where all inputs are known arrays, what it gives is computed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.core import Value, functional
from millrace.ir.dims import Dim, Size
from millrace.ir.errors import FileError
from millrace.ir.leaves import Constant
from millrace.ir.state import Read

Given = Value | np.ndarray | None  # an array where it is known now; its elements may be dimensions such as batch
Translation = Callable[..., Any]
TRANSLATIONS: dict[str, Translation] = {}


def translates(*names: str) -> Callable[[Translation], Translation]:
    """Register a translation for the operations of these names."""

    def register(translation: Translation) -> Translation:
        for name in names:
            TRANSLATIONS[name] = translation
        return translation

    return register


def value_of(given: Value | np.ndarray) -> Value:
    """What is given as a value of the graph."""
    if isinstance(given, Value):
        return given
    mr = functional()
    if given.dtype == object:  # open dimensions: numbers of the graph once data arrives
        sizes = [mr.size(size, "int64") for size in given.reshape(-1).tolist()]
        made: Value = mr.reshape(mr.stack(sizes), given.shape)
    else:
        made = mr.constant(given)
    return made


class UntranslatedError(FileError):
    """A node of an ONNX model that Millrace cannot say: which one, and why."""


@dataclass
class Call:
    """One node of an ONNX graph.

    label: how messages call it.
    inputs: values; arrays where they are known now, of dtype object where they hold open dimensions; None for one that
    is left out. wanted: how many outputs somebody may use. opset: the version of ONNX's operators that counts.
    within: what runs a graph among the attributes, a loop's body or a branch, on its inputs. outputs: how many outputs
    the node has, used or not.
    """

    op_type: str
    label: str
    inputs: Sequence[Given]
    attributes: Mapping[str, Any]
    wanted: int
    opset: int
    within: Callable[[Any, Sequence[Given]], list[Given]] | None = None
    outputs: int = 1

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index: int) -> Value:
        """An input as a value of the graph; a constant where it is known now."""
        given = self.inputs[index] if self.has(index) else None
        if given is None:
            raise self.refused(f"it lacks its input {index}")
        return value_of(given)

    def known(self, index: int, what: str) -> np.ndarray:
        """An input that has to be known now; what: what it is called, for the message."""
        given = self.inputs[index] if self.has(index) else None
        if isinstance(given, Value) and isinstance(given.op, Constant):
            return given.op.literal.array
        if isinstance(given, Value) and isinstance(given.op, Read):  # a tensor of the model, as it is in the file
            return given.op.variable.numpy()
        if given is None:
            raise self.refused(f"it lacks its {what}")
        if isinstance(given, Value):
            raise self.refused(f"its {what} is computed from data, and has to be known when the model is read")
        return given

    def sizes(self, index: int, what: str) -> list[Size]:
        """An input that is a shape, axes or the like: whole numbers, or open dimensions."""
        return [size if isinstance(size, Dim) else int(size) for size in self.known(index, what).reshape(-1)]

    def numbers(self, index: int, name: str) -> list[Any] | None:
        """What versions have as an attribute first and as an input later; None where it is not given."""
        if self.has(index):
            return self.sizes(index, name)
        given = self.attribute(name)
        return None if given is None else [*given]

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute as Python has it: numbers, strings, lists, arrays; the default where it is not given."""
        return self.attributes.get(name, default)

    def refused(self, why: str) -> UntranslatedError:
        """The error that this node cannot be imported, and why."""
        return UntranslatedError(f"node {self.label} cannot be imported: {why[:1000]}.")
