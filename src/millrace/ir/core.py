"""Values, the nodes that make them, and the operations that nodes apply.

An operation is a frozen dataclass: its fields are its attributes, its methods are its facets. Nothing
here knows any particular operation; `millrace.ops` holds the vocabulary.
"""

from __future__ import annotations

import contextvars
import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from millrace.ir.bounds import count_node
from millrace.ir.dims import Dim, bind
from millrace.ir.errors import ArgumentError, DTypeError, GradientError, MillraceError, ShapeError
from millrace.ir.formula import Formula
from millrace.ir.location import Location, here
from millrace.ir.types import TensorType
from millrace.ir.typeset import from_notation

_serial = itertools.count()
_layer: contextvars.ContextVar[str] = contextvars.ContextVar("layer", default="")
_location: contextvars.ContextVar[Location | None] = contextvars.ContextVar("location", default=None)

OPS: dict[str, type[Op]] = {}


class _Functional:
    """The functional namespace, once it has introduced itself: it stands above and cannot be imported."""

    namespace: ModuleType | None = None


def set_functional(namespace: ModuleType) -> None:
    """Called by `millrace.functional` when it is imported."""
    _Functional.namespace = namespace


def functional() -> Any:
    if _Functional.namespace is None:
        raise ArgumentError("composite operations need `import millrace`")
    return _Functional.namespace


@contextmanager
def layer_scope(name: str) -> Iterator[str]:
    """Nodes that are made inside belong to the layer `name` (inside an outer scope: `outer/name`)."""
    outer = _layer.get()
    path = f"{outer}/{name}" if outer else name
    token = _layer.set(path)
    try:
        yield path
    finally:
        _layer.reset(token)


def current_layer() -> str:
    """The path of the layer whose nodes are being made, "" outside of any."""
    return _layer.get()


@contextmanager
def outside_layers() -> Iterator[None]:
    """Nodes that are made inside belong to no layer, wherever they are made."""
    token = _layer.set("")
    try:
        yield
    finally:
        _layer.reset(token)


@contextmanager
def made_by(node: Node) -> Iterator[None]:
    """Nodes that are made inside were caused by `node`: they keep its layer and the user's line."""
    layer, location = _layer.set(node.layer), _location.set(node.location)
    try:
        yield
    finally:
        _layer.reset(layer)
        _location.reset(location)


class Expression:
    """What values and variables share: a type, and Python's operators.

    `millrace.functional` installs the operators: it knows broadcasting and promotion.
    """

    __slots__ = ()
    __array_priority__ = 1000  # NumPy arrays leave `array * value` to us

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.type.shape

    @property
    def dtype(self) -> str:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return self.type.ndim

    def __eq__(self, other: object) -> bool:
        """Whether it is the same value, for dictionaries; numbers are compared with mr.equal."""
        if isinstance(other, (bool, int, float, np.ndarray, np.generic)):
            raise ArgumentError("== tells whether two values are the same node: compare numbers with mr.equal(x, y).")
        return self is other

    __hash__ = object.__hash__

    def __len__(self) -> int:
        if not self.shape or not isinstance(self.shape[0], int):
            raise ArgumentError(f"{self.type} has no length that is known now.")
        return self.shape[0]

    def __bool__(self) -> bool:
        raise ArgumentError(
            "a value of a graph has no truth value yet: use mr.where(condition, a, b) to choose, "
            "or call a function and test what it returns."
        )

    def __iter__(self) -> Iterator[Value]:
        if not self.shape or not isinstance(self.shape[0], int):
            raise ShapeError(f"cannot iterate over {self.type}: its first dimension is not a known number")
        return iter(self[i] for i in range(self.shape[0]))

    if TYPE_CHECKING:
        type: TensorType

        def __add__(self, other: Any) -> Value: ...
        def __radd__(self, other: Any) -> Value: ...
        def __sub__(self, other: Any) -> Value: ...
        def __rsub__(self, other: Any) -> Value: ...
        def __mul__(self, other: Any) -> Value: ...
        def __rmul__(self, other: Any) -> Value: ...
        def __truediv__(self, other: Any) -> Value: ...
        def __rtruediv__(self, other: Any) -> Value: ...
        def __pow__(self, other: Any) -> Value: ...
        def __rmatmul__(self, other: Any) -> Value: ...
        def __neg__(self) -> Value: ...
        def __matmul__(self, other: Any) -> Value: ...
        def __getitem__(self, index: Any) -> Value: ...
        def __lt__(self, other: Any) -> Value: ...
        def __le__(self, other: Any) -> Value: ...
        def __gt__(self, other: Any) -> Value: ...
        def __ge__(self, other: Any) -> Value: ...


class Value(Expression):
    """What flows on an edge: a type, and the node, with which of its outputs, that made it."""

    __slots__ = ("__weakref__", "index", "node", "type")

    def __init__(self, node: Node, index: int, type: TensorType):
        self.node, self.index, self.type = node, index, type

    @property
    def op(self) -> Op:
        return self.node.op


class Node:
    """One application of an operation to values."""

    __slots__ = ("__weakref__", "inputs", "layer", "location", "op", "outputs", "serial")

    def __init__(self, op: Op, inputs: Sequence[Value]):
        count_node()
        self.op, self.inputs = op, tuple(inputs)
        self.serial = next(_serial)
        self.layer = _layer.get()
        self.location = _location.get() or here()
        for value in self.inputs:
            if not isinstance(value, Value):
                raise ArgumentError(f"{op.name} takes values of the graph, not {type(value).__name__}")
        try:
            types = op.infer(*(value.type for value in self.inputs))
        except MillraceError as error:
            raise error.at(self.place()) from None
        types = types if isinstance(types, tuple) else (types,)
        self.outputs = tuple(Value(self, index, type) for index, type in enumerate(types))

    def place(self) -> str:
        """Where the user made this node, for messages."""
        layer = f"in layer {self.layer!r} " if self.layer else ""
        return f"{layer}{self.location or ''}".strip()


Samples = Sequence["Sample"]
Bad = tuple[Callable[[], object], str]


@dataclass
class Sample:
    """A valid use of an operation: concrete inputs for its generic tests."""

    op: Op
    inputs: tuple[np.ndarray, ...]

    @property
    def types(self) -> tuple[TensorType, ...]:
        return tuple(TensorType.of(x) for x in self.inputs)


class none:
    """A gradient that does not exist, with the reason that a user is told."""

    def __init__(self, reason: str):
        self.reason = reason

    def __call__(self, *_: object) -> None:
        raise GradientError(self.reason)


class Op:
    """An operation of the language. A subclass is registered and its facets are checked when it is made."""

    facets: ClassVar[tuple[str, ...]] = ()
    gradient: ClassVar[Any]
    pure: ClassVar[bool] = True  # may be merged, folded and dropped by rewrites
    pointwise: ClassVar[bool] = False  # each element of the output comes from those at its own place alone
    accumulates: ClassVar[bool] = False  # adds up or multiplies many numbers: 16 bits are too few for it
    moves: ClassVar[bool] = False  # brings numbers elsewhere, names them or writes them down: no arithmetic
    views: ClassVar[bool] = False  # the same numbers in the same memory, or read from it several times

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if abstract:
            return
        missing = [facet for facet in cls.facets if getattr(cls, facet, None) is None]
        if missing:
            raise TypeError(f"operation {cls.__name__} lacks {', '.join(missing)}")
        if not (cls.__doc__ or "").strip() or (cls.__doc__ or "").startswith(cls.__name__ + "("):
            raise TypeError(f"operation {cls.__name__} lacks a docstring")
        OPS[cls.__name__] = cls

    @property
    def name(self) -> str:
        return type(self).__name__

    def __call__(self, *inputs: Value) -> Any:
        outputs = Node(self, inputs).outputs
        return outputs[0] if len(outputs) == 1 else outputs

    infer: Callable[..., Any]

    def flop(self, *inputs: TensorType) -> int:
        """How many additions, multiplications and comparisons it takes, for inputs whose shapes have no names left.

        One for each element of its outputs, where an operation does not say otherwise.
        """
        if self.moves:
            return 0
        types = self.infer(*inputs)
        return sum(int(type.size) for type in (types if isinstance(types, tuple) else (types,)))

    def notation(self, *operands: str) -> str:
        """The operation as it is printed among mathematics; operands are already in parentheses."""
        fields = [f"{f.name}={attribute_text(getattr(self, f.name))}" for f in dataclasses.fields(self)]  # type: ignore[arg-type]
        return f"{snake(self.name)}({', '.join([*operands, *fields])})"

    def latex(self, *operands: str) -> str:
        """The operation as it is set among mathematics: its notation, unless LaTeX has a form of its own for it."""
        return from_notation(self.notation, operands)

    def inference(self, mr: Any, *inputs: Value) -> Any:
        """What stands in its place once training is over; None if the same."""
        return None

    def bind(self, sizes: Mapping[str, int]) -> Op:
        """The operation with named dimensions in its attributes replaced by numbers."""
        changes = {}
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            before = getattr(self, f.name)
            after = bind_attribute(before, sizes)
            if after is not before:
                changes[f.name] = after
        return dataclasses.replace(self, **changes) if changes else self  # type: ignore[type-var]


class Primitive(Op, abstract=True):
    """A pure operation with every facet of its own."""

    facets = ("infer", "evaluate", "gradient", "lower", "formula", "samples", "errors")
    evaluate: Callable[..., Any]
    lower: Callable[..., Any]
    formula: Callable[..., Formula | None]
    samples: Callable[..., Samples]
    errors: Callable[..., Sequence[Bad]]


def snake(name: str) -> str:
    """CamelCase as snake_case: MaxPool -> max_pool, Conv2D -> conv2d."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def attribute_text(value: Any) -> str:
    """An attribute as text that `ir.text` reads back."""
    if isinstance(value, tuple):
        return f"({', '.join(map(attribute_text, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, TensorType):
        return f"type({value.dtype!r}, {attribute_text(value.shape)})"
    return str(value) if isinstance(value, Dim) else repr(value)


def bind_attribute(value: Any, sizes: Mapping[str, int]) -> Any:
    if isinstance(value, Dim):
        return bind(value, sizes)
    if isinstance(value, tuple):
        items = tuple(bind_attribute(item, sizes) for item in value)
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    if isinstance(value, TensorType):
        return value if value.is_concrete else value.bind(sizes)
    if hasattr(value, "bind_sizes"):
        return value.bind_sizes(sizes)
    return value


def require_float(op: Op, *types: TensorType) -> None:
    for type in types:
        if not type.is_float:
            raise DTypeError(
                f"{snake(op.name)} takes floating-point values, got {type}. Convert with mr.cast(x, 'float32')."
            )


def require_same(op: Op, *types: TensorType) -> None:
    """All the same dtype and shape: primitives neither broadcast nor promote."""
    from millrace.ir.dims import same

    first = types[0]
    for type in types[1:]:
        if type.dtype != first.dtype:
            raise DTypeError(f"{snake(op.name)} takes one dtype, got {first} and {type}. Convert with mr.cast.")
        if type.ndim != first.ndim or not all(same(a, b) for a, b in zip(first.shape, type.shape, strict=True)):
            raise ShapeError(f"{snake(op.name)} takes one shape, got {first} and {type}. Broadcast them first.")
