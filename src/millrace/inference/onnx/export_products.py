"""Products that sum over shared axes, in ONNX: Gemm and MatMul where it is one of them, else Einsum."""

from __future__ import annotations

import string
from typing import Any

from millrace.inference.onnx.export_forms import Form, Order, channels_first, channels_last
from millrace.inference.onnx.export_sheet import Sheet
from millrace.inference.onnx.export_table import exports
from millrace.ir.core import Node, Value
from millrace.ops.contract import Dot
from millrace.ops.shape import Reshape


@exports(Dot)
def dot(sheet: Sheet, node: Node) -> Form:
    op: Any = node.op
    x, y = node.inputs
    rows, columns = op.x_free(x.ndim), op.y_free(y.ndim)
    matrices = x.ndim == y.ndim == 2 and not op.x_batch and len(op.x_contract) == 1
    if matrices and x.type.is_float:
        return gemm(sheet, node)
    one = len(op.x_contract) == 1 and len(columns) <= 1 and (x.ndim > 1 or y.ndim > 1)
    if one and not op.x_batch and (columns or rows):
        left = sheet.read(x, (*rows, *op.x_contract))
        right = sheet.read(y, (*op.y_contract, *columns))
        return sheet.made(node.outputs[0], sheet.through("MatMul", [left, right], x.dtype))
    if one and len(rows) == len(columns) == 1:
        left = sheet.read(x, (*op.x_batch, *rows, *op.x_contract))
        right = sheet.read(y, (*op.y_batch, *op.y_contract, *columns))
        return sheet.made(node.outputs[0], sheet.through("MatMul", [left, right], x.dtype))
    return einsum(sheet, node)


def einsum(sheet: Sheet, node: Node) -> Form:
    """Any other product: a letter for each axis, the same one for axes that belong together."""
    op: Any = node.op
    x, y = node.inputs
    letters = iter(string.ascii_lowercase)
    left = [next(letters) for _ in range(x.ndim)]
    shared = dict(zip(op.y_contract + op.y_batch, op.x_contract + op.x_batch, strict=True))
    right = [left[shared[axis]] if axis in shared else next(letters) for axis in range(y.ndim)]
    out = [left[axis] for axis in op.x_batch + op.x_free(x.ndim)] + [right[axis] for axis in op.y_free(y.ndim)]
    equation = f"{''.join(left)},{''.join(right)}->{''.join(out)}"
    made = sheet.through("Einsum", [sheet.read(x), sheet.read(y)], x.dtype, equation=equation)
    return sheet.made(node.outputs[0], made)


def gemm(sheet: Sheet, node: Node) -> Form:
    """A product of matrices, with the vector that is added to it."""
    op: Any = node.op
    (x, y), (out,) = node.inputs, node.outputs
    found = sheet.bias_after(node)
    flat = flattened(sheet, x) if op.x_contract == (1,) else None
    if flat is not None and sheet.form(y).array is not None and not sheet.form(y).stored:
        left, right = flat, turned_rows(sheet, x, y, op.y_contract)
        transposed = {}
    else:
        left = sheet.read(x, (1 - op.x_contract[0], op.x_contract[0]))
        straight = (op.y_contract[0], 1 - op.y_contract[0])
        hand = sheet.form(y).at_hand()
        transposed = {"transB": 1} if found and hand is not None and straight not in hand else {}
        right = sheet.read(y, straight if not transposed else (straight[1], straight[0]))
    if found is None:
        return sheet.made(out, sheet.through("MatMul", [left, right], x.dtype))
    add, vector = found
    form = sheet.made(out, sheet.through("Gemm", [left, right, sheet.read(vector)], x.dtype, **transposed))
    sheet.forms[add.outputs[0]] = form
    return form


def flattened(sheet: Sheet, x: Value) -> str | None:
    """Maps [batch, *space, channels] that were flattened, flattened as they stand: channels first."""
    if not isinstance(x.op, Reshape) or channels_last(2) in sheet.form(x).names:
        return None
    (maps,) = x.node.inputs
    if maps.ndim < 3 or maps.shape[0] != x.shape[0] or not all(isinstance(size, int) for size in maps.shape[1:]):
        return None
    first: Order = channels_first(maps.ndim)
    hand = sheet.form(maps).at_hand()
    if sheet.form(x).at_hand() or hand is None or first not in hand:
        return None
    with sheet.at(x.node):
        form = sheet.form(x)
        key = (-1, *first)  # not an order of x: its elements in the order of the maps
        if key not in form.names and key not in form.whole:
            form.whole[key] = sheet.node("Flatten", sheet.read(maps, first), axis=1)
        return form.whole[key]


def turned_rows(sheet: Sheet, x: Value, y: Value, contract: Order) -> str:
    """The weights of flattened maps with their rows in the order of channels first."""
    form = sheet.form(y)
    assert form.array is not None
    maps = x.node.inputs[0]
    weights = form.array if contract == (0,) else form.array.T
    space = tuple(int(size) for size in maps.shape[1:])
    first = channels_first(maps.ndim)
    rows = weights.reshape(*space, weights.shape[1]).transpose(*(axis - 1 for axis in first[1:]), len(space))
    return sheet.array(rows.reshape(weights.shape), form.label)
