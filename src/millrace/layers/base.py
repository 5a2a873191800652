"""A layer: weights, and the piece of graph that it builds from its input."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.ir.core import Value, current_layer, layer_scope, snake
from millrace.ir.dims import product, shape_text
from millrace.ir.errors import ArgumentError, MillraceError
from millrace.ir.location import here
from millrace.ir.state import Variable
from millrace.ir.types import TensorType
from millrace.layers import initializers
from millrace.layers.activations import activation_name
from millrace.layers.initializers import initializer
from millrace.ops.shape import Reshape

LAYERS: dict[str, type[Layer]] = {}
_names: Counter[str] = Counter()


def set_seed(seed: int) -> None:
    """The seed of all weights and dropout masks of layers built from now on; automatic names start anew.

    So the same program after the same seed builds the same network.
    Raises ArgumentError for a seed outside 0 ... 2^32 - 1.
    """
    initializers.set_seed(seed)
    _names.clear()


@dataclass(frozen=True)
class Call:
    """One use of a layer: the values that it was given and those that it made."""

    layer: Layer
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


_calls: weakref.WeakKeyDictionary[Value, Call] = weakref.WeakKeyDictionary()


def call_of(value: Value) -> Call | None:
    """The layer call that made a value, or None if no layer did."""
    return _calls.get(value)


class Layer:
    """Base of all layers. A layer of one's own defines `call(x)`, and `build(type)` if it has weights.

        class Scale(mr.layers.Layer):
            def build(self, x):
                self.factor = self.add_weight("factor", (x.shape[-1],), "ones")
            def call(self, x):
                return x * self.factor

    name: unique within a model; made from the class where None. trainable: whether optimizers update it.
    """

    # What an instance was made with, for saving it.
    arguments: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__name__.startswith("_"):
            LAYERS[cls.__name__] = cls
        if "__init__" in vars(cls):
            cls.__init__ = _naming_the_layer(cls.__init__)  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **kwargs: Any) -> Layer:
        layer = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        try:
            bound = signature.bind(layer, *args, **kwargs)
        except TypeError as error:
            takes = ", ".join(list(signature.parameters)[1:])
            raise ArgumentError(f"{cls.__name__}: {error}. It takes: {takes or 'nothing'}.") from None
        given = dict(list(bound.arguments.items())[1:])
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                given |= given.pop(parameter.name, {})
        layer.arguments = given
        layer.name = ""
        layer.trainable = True
        layer.built = False
        layer.variables, layer.updates, layer.calls = [], [], []
        return layer

    name: str
    trainable: bool
    built: bool
    variables: list[Variable]
    updates: list[tuple[Variable, Value]]
    calls: list[Call]

    def __init__(self, name: str | None = None, trainable: bool = True):
        self.set_name(name)
        self.trainable = trainable

    def set_name(self, name: str | None) -> None:
        if name is None:
            base = snake(type(self).__name__)
            count = _names[base]
            _names[base] += 1
            name = f"{base}_{count}" if count else base
        if not isinstance(name, str) or not name or any(c.isspace() or c in "/@" for c in name):
            raise ArgumentError(f"layer name {name!r}: use letters, digits, '_', '-' and '.' alone.")
        self.name = name

    def build(self, *types: TensorType) -> None:
        """Make the weights, now that the input's type is known."""

    def call(self, *inputs: Value) -> Any:
        """The layer's output for its inputs, as values of the graph."""
        raise MillraceError(f"layer {type(self).__name__} does not define call(self, x)")

    def __call__(self, inputs: Any) -> Any:
        """Apply the layer to a value, or to a list of values.

        Raises ShapeError, DTypeError or ArgumentError that names the layer and what it was given.
        """
        if not self.name:
            self.set_name(None)  # a layer of one's own need not call super().__init__()
        many = isinstance(inputs, (list, tuple))
        values = tuple(mr.as_value(x) for x in (inputs if many else [inputs]))
        try:
            inspect.signature(self.call).bind(*values)
        except TypeError:
            takes = ", ".join(inspect.signature(self.call).parameters)
            raise ArgumentError(
                f"layer {self.name!r} ({type(self).__name__}) takes {takes}, but was given {len(values)} values."
            ) from None
        with layer_scope(self.name) as path:
            try:
                if not self.built:
                    self.build(*(value.type for value in values))
                    self.built = True
                result = self.call(*values)
            except MillraceError as error:
                given = ", ".join(str(value.type) for value in values)
                where = f"in layer {path!r} ({type(self).__name__}), given {given}, {here() or ''}".rstrip(", ")
                raise error.at(where) from None
            outputs = tuple(mr.as_value(x) for x in (result if isinstance(result, (list, tuple)) else [result]))
            # a layer that hands its input on has made this use of it too: a value of its own says so
            outputs = tuple(Reshape(x.shape)(x) if x in values else x for x in outputs)
        call = Call(self, values, outputs)
        self.calls.append(call)
        _calls.update(dict.fromkeys(outputs, call))
        return list(outputs) if isinstance(result, (list, tuple)) else outputs[0]

    def add_weight(
        self,
        name: str,
        shape: Sequence[int],
        initial: Any = "glorot_uniform",
        trainable: bool = True,
        dtype: str = "float32",
    ) -> Variable:
        """A variable of this layer, called `layer/name`; `initial` is an initializer or an array."""
        sizes = tuple(shape)
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ArgumentError(
                f"weight {name!r} cannot have the shape {shape_text(sizes)}: sizes must be known and above 0."
            )
        full = f"{current_layer() or self.name}/{name}"
        array = initial if hasattr(initial, "dtype") else initializer(initial)(sizes, full, dtype)
        variable = Variable(array, name=full, trainable=trainable)
        self.variables.append(variable)
        return variable

    def add_update(self, variable: Variable, value: Value) -> None:
        """A new value that training gives a variable at each step, such as a count or a running mean."""
        self.updates.append((variable, value))

    @property
    def sublayers(self) -> list[Layer]:
        """The layers that this one holds as attributes, alone or in lists."""
        held = [x for v in vars(self).values() for x in (v if isinstance(v, (list, tuple)) else [v])]
        return [x for x in held if isinstance(x, Layer)]

    @property
    def weights(self) -> list[Variable]:
        """Every variable of this layer and of the layers that it holds, each once."""
        inner = [v for layer in self.sublayers for v in layer.weights]
        return list(dict.fromkeys([*self.variables, *inner]))

    @property
    def all_updates(self) -> list[tuple[Variable, Value]]:
        return [*self.updates, *(update for layer in self.sublayers for update in layer.all_updates)]

    @property
    def trainable_weights(self) -> list[Variable]:
        if not self.trainable:
            return []
        inner = [v for layer in self.sublayers for v in layer.trainable_weights]
        return list(dict.fromkeys([*(v for v in self.variables if v.trainable), *inner]))

    def count_params(self) -> int:
        """The number of numbers that the layer learns or keeps."""
        return sum(int(product(v.shape)) for v in self.weights if v.type.is_float)

    def get_config(self) -> dict[str, Any]:
        """What makes this layer anew: `Layer.from_config`."""
        return {**{k: saved_form(v) for k, v in self.arguments.items()}, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """A layer from what `get_config` gave; one of the user's own need not take a name."""
        takes = inspect.signature(cls.__init__).parameters
        named = "name" in takes or any(p.kind is p.VAR_KEYWORD for p in takes.values())
        layer = cls(**{k: v for k, v in config.items() if named or k != "name"})
        layer.set_name(config.get("name"))
        return layer

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.arguments.items() if k != "name")
        return f"{type(self).__name__}({shown})  # {self.name}"


def _naming_the_layer(init: Any) -> Any:
    """A constructor whose complaints say which layer they are about."""

    @functools.wraps(init)
    def naming(self: Layer, *args: Any, **kwargs: Any) -> None:
        try:
            init(self, *args, **kwargs)
        except MillraceError as error:
            kind = type(self).__name__
            if not str(error.args[0]).startswith((kind, "layer ")):
                name = self.arguments.get("name")
                error.args = (f"layer {name!r} ({kind}): {error.args[0]}" if name else f"{kind}: {error.args[0]}",)
            raise

    return naming


def saved_form(value: Any) -> Any:
    """An argument as JSON has it."""
    value = activation_name(value)
    if hasattr(value, "get_config"):
        return value.get_config()
    if isinstance(value, (list, tuple)):
        return [saved_form(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ArgumentError(
        f"{value!r} cannot be saved: give an activation or initializer by name, or define get_config on the layer."
    )


def whole(value: Any, name: str, least: int = 1) -> int:
    """A whole number that is large enough.  Raises ArgumentError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return int(value)


def whole_each(value: Any, rank: int, name: str) -> tuple[int, ...]:
    """One whole number for all axes, or one for each."""
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * rank
    if len(values) != rank:
        raise ArgumentError(f"{name} must be one whole number or {rank} of them, got {value!r}.")
    return tuple(whole(v, name) for v in values)
