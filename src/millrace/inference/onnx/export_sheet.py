"""How the values of a graph come to stand in an ONNX graph: one node after another, by the table of translations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from millrace.inference.onnx.export_forms import Form, Order, Shape, channels_last, only_ones_move, ordered
from millrace.inference.onnx.export_table import EXPORTS, refused
from millrace.inference.onnx.export_writer import Writer
from millrace.ir.core import Node, Value, functional, made_by
from millrace.ir.errors import MillraceError
from millrace.ir.graph import apply, topological
from millrace.ir.leaves import Constant
from millrace.ir.state import Read
from millrace.ops.arithmetic import Add
from millrace.ops.random import RandomBits
from millrace.ops.shape import Broadcast

FOLDED = 4096  # elements that a constant may have which is larger than what it is computed from


class Sheet(Writer):
    """A Writer that knows how each value of Millrace's graph stands in the ONNX graph, and who uses it."""

    root: Sheet

    def __init__(self, outer: Sheet | None = None):
        super().__init__(outer)
        self.outer = outer
        self.forms: dict[Value, Form] = {}
        self.users: defaultdict[Value, list[Node | None]] = defaultdict(list)

    # ---- walking

    def write(self, outputs: Sequence[Value]) -> None:
        """Write everything that these values rest on."""
        nodes = topological(outputs, frozenset(self.forms))
        for node in nodes:
            for value in node.inputs:
                self.users[value].append(node)
        for value in outputs:
            self.users[value].append(None)
        for node in nodes:
            self.visit(node)

    def visit(self, node: Node) -> None:
        """Write one node whose inputs stand."""
        if all(value in self.forms for value in node.outputs):
            return  # an addition that went into the product before it
        with self.at(node):
            made: Any = self.folded(node)
            if made is None and type(node.op) in EXPORTS:
                made = EXPORTS[type(node.op)](self, node)
            if made is None:
                made = self.expanded(node)
        for value, form in zip(node.outputs, made if isinstance(made, list) else [made], strict=True):
            self.forms[value] = form

    def expanded(self, node: Node) -> list[Form]:
        """A node through the operations that define it."""
        op: Any = node.op
        if not hasattr(op, "expand"):
            raise refused(node, "ONNX has nothing for it, and Millrace no translation")
        try:
            with made_by(node):
                outputs = op.expand(functional(), *node.inputs)
        except MillraceError as error:
            raise refused(node, str(error.args[0])) from None
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        self.write(outputs)
        return [self.form(value) for value in outputs]

    def folded(self, node: Node) -> Form | None:
        """A node on numbers that are known now: its result, where that does not make the file larger."""
        if not node.inputs or len(node.outputs) > 1 or isinstance(node.op, (RandomBits, Broadcast)):
            return None
        forms = [self.form(value) for value in node.inputs]
        thin = node.op.pointwise
        for form, value in zip(forms, node.inputs, strict=True):
            if form.array is None or form.stored or not (thin or form.shape == value.shape):
                return None
        if not node.op.pure or not hasattr(node.op, "evaluate") or not (thin or node.outputs[0].type.is_concrete):
            return None
        arrays = [form.array for form in forms if form.array is not None]
        size = sum(array.size for array in arrays)
        if not thin and int(node.outputs[0].type.size) > max(FOLDED, size):  # type: ignore[arg-type]
            return None
        (array,) = apply(node, arrays)
        moved = len(forms) == 1 and node.op.moves
        return Form(
            array.shape, array=array, label=forms[0].label if moved else f"{node.layer}/{node.op.name}".strip("/")
        )

    # ---- values

    def form(self, value: Value) -> Form:
        """How a value stands: here, or in a graph around this one."""
        sheet: Sheet | None = self
        while sheet is not None:
            if value in sheet.forms:
                return sheet.forms[value]
            sheet = sheet.outer
        if isinstance(value.op, (Read, Constant)):
            self.root.visit(value.node)
            return self.root.forms[value]
        raise AssertionError(f"{value.op.name} is used before it is written")

    def owner(self, value: Value) -> Sheet:
        """The sheet on which a value stands."""
        sheet: Sheet | None = self
        while sheet is not None:
            if value in sheet.forms:
                return sheet
            sheet = sheet.outer
        return self.root

    def made(self, value: Value, name: str, order: Order | None = None, shape: Shape | None = None) -> Form:
        """The form of a value that a tensor holds."""
        order = channels_last(value.ndim) if order is None else order
        return Form(tuple(value.shape) if shape is None else shape, {order: name})

    def read(self, value: Value, order: Order | None = None, thin: bool = False) -> str:
        """The name of a value with its axes in this order; thin: 1 will do along axes where it is repeated.

        A constant that is thin may lack its first axes of size 1.
        """
        form, order = self.form(value), channels_last(value.ndim) if order is None else order
        owner = self.owner(value)
        if thin and form.array is not None and form.shape != value.shape and not form.stored:
            return self.root.array(without_first_ones(form.array.transpose(order)), form.label)
        name = owner.tensor(form, order)
        if thin or form.shape == value.shape:
            return name
        if order not in form.whole:
            sizes = [full if size != full else 1 for size, full in zip(form.shape, value.shape, strict=True)]
            with owner.at(form.node):
                shape = owner.shape(ordered(sizes, order))
                form.whole[order] = owner.through("Expand", [name], value.dtype, shape)
        return form.whole[order]

    def tensor(self, form: Form, order: Order) -> str:
        """The name of a form in an order, transposed where it does not stand in it yet."""
        if form.array is not None:
            return self.root.array(form.array.transpose(order), form.label)
        if order in form.names:
            return form.names[order]
        with self.at(form.node):
            name = form.make(order) if form.make is not None else None
            if name is None:
                hand = form.at_hand() or [channels_last(len(order))]
                near = [given for given in hand if only_ones_move(form.shape, given, order)]
                given = (near or hand)[0]
                name = self.turned(self.tensor(form, given), form.shape, given, order)
        form.names[order] = name
        return name

    def turned(self, name: str, shape: Shape, before: Order, after: Order) -> str:
        """A tensor with its axes in another order."""
        if before == after:
            return name
        if only_ones_move(shape, before, after):
            return self.reshaped(name, ordered(shape, before), ordered(shape, after))
        return self.node("Transpose", name, perm=[before.index(axis) for axis in after])

    def best_order(self, *values: Value) -> Order:
        """The order in which fewest of these values need a transpose."""
        hands = [hand for value in values if (hand := self.form(value).at_hand()) is not None]
        candidates = list(dict.fromkeys(order for hand in hands for order in hand))
        if not candidates:
            return channels_last(values[0].ndim)
        return min(candidates, key=lambda order: sum(order not in hand for hand in hands))

    def pointwise(self, node: Node, *op_types: str, write: Callable[..., str] | None = None) -> Form:
        """One operator after another on the node's operands, in whichever order of axes those stand."""
        dtype = node.inputs[0].dtype

        def make(order: Order) -> str:
            names = [self.read(value, order, thin=True) for value in node.inputs]
            if write is not None:
                return write(*names)
            for op_type in op_types:
                names = [self.through(op_type, names, dtype)]
            return names[0]

        return self.anywhere(node, make)

    def anywhere(self, node: Node, make: Callable[[Order], str]) -> Form:
        """The form of a node that is computed element by element, by `make(order)`."""
        forms = [self.form(value) for value in node.inputs]
        sizes = zip(*(form.shape for form in forms), node.outputs[0].shape, strict=True)
        shape = tuple(1 if all(size == 1 for size in given) else full for *given, full in sizes)
        if all(form.at_hand() is None for form in forms):  # of weights: in the order that their user wants
            return Form(shape, make=make, node=node)
        order = self.best_order(*node.inputs)
        return Form(shape, {order: make(order)}, node=node)

    # ---- what stands around a node

    def is_known(self, value: Value) -> bool:
        """Whether a value rests on weights and constants alone, and can stand in any order."""
        if any(value in sheet.forms for sheet in self._sheets()):
            return self.form(value).at_hand() is None
        if isinstance(value.op, (Read, Constant)):
            return True
        return value.op.pure and bool(value.node.inputs) and all(map(self.is_known, value.node.inputs))

    def _sheets(self) -> Iterator[Sheet]:
        sheet: Sheet | None = self
        while sheet is not None:
            yield sheet
            sheet = sheet.outer

    def only_user(self, value: Value) -> Node | None:
        """The node that alone uses a value."""
        users = self.users[value]
        return users[0] if len(users) == 1 else None

    def bias_after(self, node: Node) -> tuple[Node, Value] | None:
        """The addition of a vector along the last axis that alone uses a product, and the vector."""
        add = self.only_user(node.outputs[0])
        if add is None or not isinstance(add.op, Add) or add.inputs[0] is add.inputs[1]:
            return None
        other = add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]
        if not isinstance(other.op, Broadcast) or other.op.axes != (other.ndim - 1,):
            return None
        vector = other.node.inputs[0]
        if vector.shape != other.shape[-1:] or not self.is_known(vector):
            return None
        for before in topological([vector], frozenset(v for sheet in self._sheets() for v in sheet.forms)):
            self.visit(before)
        return add, vector


def without_first_ones(array: np.ndarray) -> np.ndarray:
    """An array without its first axes of size 1: ONNX puts them back where it meets a tensor with more axes."""
    while array.ndim and array.shape[0] == 1:
        array = array[0]
    return array
