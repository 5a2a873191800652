"""How a value of the graph stands in an ONNX graph: under which names, with its axes in which order.

Millrace has channels last, ONNX has them first. A transpose around each convolution would cost more than many a
convolution, so a value may stand in any order of its axes, in several at once, and is brought into another one only
where an operation needs that. A value that a Broadcast repeats stands as it was before: ONNX repeats it itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from millrace.ir.core import Node
from millrace.ir.dims import Size, product

Order = tuple[int, ...]  # which axis of Millrace's value each axis of the ONNX tensor is
Shape = tuple[Size, ...]


def channels_last(ndim: int) -> Order:
    """Millrace's own order."""
    return tuple(range(ndim))


def channels_first(ndim: int) -> Order:
    """The order of ONNX's windows: batch, channels, space."""
    return (0, ndim - 1, *range(1, ndim - 1))


def inverse(order: Order) -> Order:
    return tuple(order.index(axis) for axis in range(len(order)))


def ordered(shape: Sequence[Size], order: Order) -> Shape:
    """A shape as a tensor in this order has it."""
    return tuple(shape[axis] for axis in order)


def only_ones_move(shape: Shape, before: Order, after: Order) -> bool:
    """Whether axes of size 1 alone change places, so that the numbers stay where they are in memory."""
    long = [[axis for axis in order if shape[axis] != 1] for order in (before, after)]
    return long[0] == long[1]


@dataclass
class Form:
    """A value in an ONNX graph.

    shape: the value's, but 1 along axes where it is repeated. names: the tensors that hold it, by their order; whole:
    those in which it is repeated. array: its numbers, where they are known now; label: what to call them; stored:
    whether they are kept in few bits, int8 or bfloat16, and must stay so in the file. make: writes it in an order when
    somebody asks, where nothing is written yet; it gives None for an order that costs a transpose. orders: those that
    cost none; None for all. node: what made it, after which nodes are named.
    """

    shape: Shape
    names: dict[Order, str] = field(default_factory=dict)
    array: np.ndarray | None = None
    label: str = ""
    make: Callable[[Order], str | None] | None = None
    orders: Callable[[], list[Order] | None] | None = None
    stored: bool = False
    whole: dict[Order, str] = field(default_factory=dict)
    node: Node | None = None

    def at_hand(self) -> list[Order] | None:
        """The orders that cost nothing; None for all."""
        if self.array is not None or (self.make is not None and self.orders is None):
            return None
        more = self.orders() if self.orders is not None else []
        return None if more is None else [*self.names, *(order for order in more if order not in self.names)]


@dataclass(frozen=True)
class Regrouping:
    """What a reshape does to axes: groups of axes that hold the same elements before and after, ones left out."""

    before: Shape
    after: Shape
    groups: tuple[tuple[Order, Order], ...]

    @staticmethod
    def of(before: Shape, after: Shape) -> Regrouping:
        """The finest groups there are."""
        axes = [[axis for axis, size in enumerate(shape) if size != 1] for shape in (before, after)]
        cuts = [_cuts(shape, kept) for shape, kept in zip((before, after), axes, strict=True)]
        groups, last = [], (0, 0)
        for size, here in cuts[0].items():
            if size in cuts[1]:
                there = cuts[1][size]
                groups.append((tuple(axes[0][last[0] : here]), tuple(axes[1][last[1] : there])))
                last = here, there
        return Regrouping(before, after, tuple(groups))

    def order_before(self, order: Order, at_hand: Sequence[Order]) -> Order | None:
        """The order of the tensor before that a plain reshape turns into `order`; None where there is none."""
        long = _moved([axis for axis in order if self.after[axis] != 1], [(b, a) for a, b in self.groups])
        if long is None:
            return None
        for given in at_hand:
            if [axis for axis in given if self.before[axis] != 1] == long:
                return given
        return _with_ones(long, self.before)

    def order_after(self, order: Order) -> Order | None:
        """The order of the result, where a tensor in `order` is reshaped as it lies; None where that mixes axes."""
        long = _moved([axis for axis in order if self.before[axis] != 1], list(self.groups))
        return None if long is None else _with_ones(long, self.after)


def _cuts(shape: Shape, axes: list[int]) -> dict[Size, int]:
    """After how many of the axes the product of their sizes is what."""
    return {product(tuple(shape[axis] for axis in axes[:n])): n for n in range(1, len(axes) + 1)}


def _moved(long: list[int], groups: list[tuple[Order, Order]]) -> list[int] | None:
    """Axes as the groups rename them; None where a group's axes do not follow each other."""
    by_first = {before[0]: (before, after) for before, after in groups if before}
    made: list[int] = []
    while long:
        before, after = by_first.get(long[0], ((), ()))
        if not before or tuple(long[: len(before)]) != before:
            return None
        made += after
        long = long[len(before) :]
    return made


def _with_ones(long: list[int], shape: Shape) -> Order:
    """An order with axes of size 1 put in, each behind the axis before it."""
    order = list(long)
    for axis, size in enumerate(shape):
        if size == 1:
            order.insert(order.index(axis - 1) + 1 if axis else 0, axis)
    return tuple(order)
