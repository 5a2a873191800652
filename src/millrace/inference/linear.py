"""Linear operations of an input and weights: which of their axes are channels, and what scales them."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.ir.core import Node, Op
from millrace.ops.contract import Dot
from millrace.ops.convolution import Convolution, ConvolutionInputGradient

Axes = tuple[int, ...]


def sides(op: Op) -> Axes:
    """Which operands of an operation may be its weights; () where it is not linear in this sense."""
    if isinstance(op, (Convolution, ConvolutionInputGradient)):  # the latter is transposed convolution
        return (1,)
    return (1, 0) if isinstance(op, Dot) else ()


def channels(node: Node, side: int) -> dict[int, int]:
    """The axes of a linear operation's result along which each place has weights of its own: output axis to axis of
    the weights.
    """
    op: Any = node.op
    if isinstance(op, Dot):
        x, y = node.inputs
        free = (op.x_free(x.ndim), op.y_free(y.ndim))[side]
        first = len(op.x_batch) + (len(op.x_free(x.ndim)) if side == 1 else 0)
        return dict(enumerate((op.x_batch, op.y_batch)[side])) | {first + n: axis for n, axis in enumerate(free)}
    return {node.outputs[0].ndim - 1: node.inputs[1].ndim - (1 if isinstance(op, Convolution) else 2)}


def lies_along(node: Node, side: int, lane: np.ndarray) -> bool:
    """Whether numbers, with an axis for each of the result's, vary along its channels alone."""
    own = channels(node, side)
    return all(size == 1 or axis in own for axis, size in enumerate(lane.shape))


def scaled(node: Node, side: int, weights: np.ndarray, lane: np.ndarray) -> np.ndarray:
    """The weights with which the operation gives its result times `lane`, which lies along its channels."""
    op: Any = node.op
    if isinstance(op, ConvolutionInputGradient) and lane.size > 1:
        # Channel n is number n % width of group n // width, which has its own share of the kernel's last axis.
        by_group = lane.reshape(op.groups, -1).T
        return weights * np.repeat(by_group, weights.shape[-1] // op.groups, axis=1)
    own = channels(node, side)
    kept = sorted(own, key=own.__getitem__)
    others = [axis for axis in range(lane.ndim) if axis not in own]
    turned = lane.transpose(*kept, *others).reshape([lane.shape[axis] for axis in kept])
    return weights * np.expand_dims(turned, tuple(a for a in range(weights.ndim) if a not in own.values()))
