"""How Millrace's operations are said in ONNX: the table of translations.

    @exports(Relu)
    def relu(sheet, node):
        return sheet.pointwise(node, "Relu")

A translation gets the sheet that is being written and the node; it gives the form of the node's output, a list of them
for several outputs, or None where it leaves the node to the operations that define it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millrace.ir.core import Node, Op
from millrace.ir.errors import GraphError

Translation = Callable[[Any, Node], Any]
EXPORTS: dict[type[Op], Translation] = {}


def exports(*ops: type[Op]) -> Callable[[Translation], Translation]:
    """Register a translation for these operations."""

    def register(translation: Translation) -> Translation:
        for op in ops:
            EXPORTS[op] = translation
        return translation

    return register


class UnexportedError(GraphError):
    """A node of a graph that ONNX cannot say: which one, and why."""


def refused(node: Node, why: str) -> Exception:
    """The error that a node cannot be exported, and why, with its layer and the user's line."""
    return UnexportedError(f"node {node.op.name} cannot be exported to ONNX: {why}.").at(node.place())
