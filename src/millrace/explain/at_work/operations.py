"""Every operation at work: the node of a real use of it, with the numbers that reach it there; stages in a program."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.explain.at_work import real_inputs as real
from millrace.explain.at_work.cases import Case
from millrace.explain.at_work.functions import FUNCTION_CASES, picture, sobel
from millrace.explain.formulas import operand_names
from millrace.ir.core import OPS, Node, snake
from millrace.ir.dims import dim
from millrace.ir.errors import DataError
from millrace.ir.graph import Graph
from millrace.ir.state import Variable
from millrace.ir.stream import Stage
from millrace.ir.text import text
from millrace.ir.types import TensorType
from millrace.ops import stages

# In which function's case an operation is found, where the function does not have the operation's name.
FOUND_IN = {
    "AllFinite": "all_finite", "AllTrue": "all", "And": "logical_and", "AnyTrue": "any", "ArgMax": "argmax",
    "ArgMin": "argmin", "AveragePool": "average_pool",
    "Broadcast": "broadcast_to", "Concatenate": "concatenate", "Convolution": "conv", "Crop": "random_crop",
    "CumulativeSum": "cumsum", "Dropout": "dropout", "IntegerPower": "square", "IsFinite": "isfinite",
    "MixUp": "mixup", "Not": "logical_not", "Once": "random_erasing", "Or": "logical_or", "Product": "prod",
    "Reverse": "flip", "Select": "where", "ShiftLeft": "left_shift", "ShiftRight": "right_shift",
    "Slice": "slice_axis", "TrainingOnly": "training_only", "Xor": "logical_xor", "Erf": "erf",
}  # fmt: skip


def pooled_gradient(x: Any, g: Any) -> Any:
    return mr.vjp(mr.max_pool(x, 4), [x], g)[0]


def averaged_gradient(x: Any, g: Any) -> Any:
    return mr.vjp(mr.average_pool(x, 4), [x], g)[0]


def twice_pooled(x: Any, g: Any, h: Any) -> Any:
    return mr.vjp(pooled_gradient(x, g), [g], h)[0]


def kernel_gradient(x: Any, k: Any, g: Any) -> Any:
    return mr.vjp(mr.conv(x, k, padding="same"), [k], g)[0]


def input_gradient(x: Any, k: Any, g: Any) -> Any:
    return mr.vjp(mr.conv(x, k, padding="same"), [x], g)[0]


def lrn_gradient(x: Any, g: Any) -> Any:
    return mr.vjp(mr.local_response_normalization(x, 5, 0.05, 1.0), [x], g)[0]


def scale_and_offset(channels: int) -> dict[str, np.ndarray]:
    return {"scale": np.ones(channels, np.float32), "offset": np.zeros(channels, np.float32)}


def pooled() -> np.ndarray:
    """Ones where a pooled picture's gradient is: [1, 16, 16, 1]."""
    return np.ones((1, 16, 16, 1), np.float32)


def softmax_gradient(x: Any, g: Any) -> Any:
    return mr.vjp(mr.softmax(x), [x], g)[0]


def layer_gradient(x: Any, scale: Any, offset: Any, g: Any) -> Any:
    return tuple(mr.vjp(mr.layer_normalization(x, scale, offset), [x, scale, offset], g))


def batch_gradient(x: Any, scale: Any, offset: Any, g: Any) -> Any:
    out, *_ = mr.batch_normalization(x, scale, offset, offset, scale, mr.example_weights(x))
    return tuple(mr.vjp(out, [scale, offset], g))


# Operations that no function builds by itself: what is called, on what.
OWN: dict[str, Callable[[], Case]] = {
    "MaxPoolGradient": lambda: Case(
        "vjp(max_pool(x, 4), [x], g)", {"x": real.grey(), "g": pooled()}, pooled_gradient, "grey_and_ones"
    ),
    "AveragePoolGradient": lambda: Case(
        "vjp(average_pool(x, 4), [x], g)", {"x": real.grey(), "g": pooled()}, averaged_gradient, "grey_and_ones"
    ),
    "MaxPoolGather": lambda: Case(
        "vjp(vjp(max_pool(x, 4), [x], g), [g], h)", {"x": real.grey(), "g": pooled(), "h": real.grey()},
        twice_pooled, "grey_and_ones",
    ),
    "ConvolutionKernelGradient": lambda: Case(
        "vjp(conv(x, k), [k], g)", {"x": real.grey(), "k": sobel(), "g": real.grey()}, kernel_gradient, "grey",
        ("sobel",),
    ),
    "ConvolutionInputGradient": lambda: Case(
        "vjp(conv(x, k), [x], g)", {"x": real.grey(), "k": sobel(), "g": real.grey()}, input_gradient, "grey",
        ("sobel",),
    ),
    "LocalResponseNormalizationGradient": lambda: Case(
        "vjp(local_response_normalization(x), [x], g)",
        {"x": real.edges_in_eight_directions(), "g": np.ones((1, 48, 48, 8), np.float32)}, lrn_gradient, "edges",
        ("strong_lrn",),
    ),
    "SoftmaxGradient": lambda: Case(
        "vjp(softmax(x), [x], g)", {"x": real.scores(), "g": np.eye(10, dtype=np.float32)[3:4]}, softmax_gradient,
        "scores",
    ),
    "LayerNormalizationGradient": lambda: Case(
        "vjp(layer_normalization(x, scale, offset), [x, scale, offset], g)",
        {"x": real.rows_of_a_digit(), **scale_and_offset(8), "g": np.eye(8, dtype=np.float32)[None]}, layer_gradient,
        "rows",
    ),
    "BatchNormalizationGradient": lambda: Case(
        "vjp(batch_normalization(x, scale, offset, mean, variance, weights)[0], [scale, offset], g)",
        {"x": real.digits(16), **scale_and_offset(1), "g": real.digits(16)}, batch_gradient, "digits",
        ("batch_statistics",),
    ),
    "WindowSum": lambda: Case(
        "WindowSum(window=(4, 4), strides=(4, 4), padding=((0, 0), (0, 0)))(x)", {"x": picture()},
        OPS["WindowSum"]((4, 4), (4, 4), ((0, 0), (0, 0))), "picture",  # type: ignore[call-arg]
    ),
}  # fmt: skip


def function_of(operation: str) -> str | None:
    """The function in whose case an operation is found; None where it has a case of its own."""
    if operation in OWN:
        return None
    name = FOUND_IN.get(operation, snake(operation))
    return name if name in FUNCTION_CASES else None


def from_node(case: Case, node: Node) -> Case:
    """The case of one operation alone, on the numbers that reach it in another case."""
    arrays = Graph(case.values, list(node.inputs)).evaluate(list(case.inputs.values())) if node.inputs else []
    names = operand_names(node.op, len(arrays))
    inputs = dict(zip(names, arrays, strict=True))
    named = ("out",) if len(node.outputs) == 1 else tuple(f"out{n}" for n in range(len(node.outputs)))
    return Case(case.code, inputs, node.op, case.real, case.notes, compare=case.compare, named=named)


def operation_case(operation: str) -> Case | None:
    """An operation at work; None for stages and leaves, which `program_lines` shows.

    Raises DataError for an operation that has no real use here.
    """
    if issubclass(OPS[operation], Stage) or operation in LEAVES:
        return None
    if operation in OWN:
        case = OWN[operation]()
    else:
        name = function_of(operation)
        if name is None:
            raise DataError(f"operation {operation} is shown in no use: add it to explain/at_work/operations.py.")
        case = FUNCTION_CASES[name]()
    node = case.node(operation)
    if node is None:
        raise DataError(f"{case.code} builds no {operation}.")
    return from_node(case, node)


LEAVES = ("Placeholder", "Constant", "Read", "Assign", "Size")


@lru_cache
def reading_program() -> str:
    """A small training run on pictures as one graph: reading, a step with a weight, evaluating, recording, saving."""
    record = (TensorType("uint8", (dim("bytes"),)), TensorType("int32", ()))
    records = stages.ReadRecords("imagenette", 9469, record)()
    records = stages.Shuffle(0)(records)
    records = stages.Decode(64, 64, 3)(records)
    records = stages.Convert(("float32", "int32"), (0, 10))(records)
    records = stages.Weigh(1)(records)
    batches = stages.Queue("training", 4, 2)(stages.Batch(32)(records))
    x, y, weight, real_rows = stages.Dequeue()(batches)
    w = Variable(np.float32(0), name="w")
    steps = Variable(np.int64(0), name="steps", trainable=False)
    target = mr.cast(y, "float32")
    guess = mr.mean(x, axis=(1, 2, 3)) * w
    loss = mr.average(mr.square(guess - target), weights=weight * real_rows)
    (slope,) = mr.gradients(loss, [w])
    done = mr.add(steps, np.int64(1))
    when = stages.Every()(done)
    checked = stages.Evaluate("validation")(when)
    effects = [stages.WriteLog("lines", "metrics.jsonl")(checked), stages.Save("checkpoints", 3)(when)]
    return text(Graph([], [loss, *effects], {w: w - 1e-5 * slope, steps: done}), "training")


@lru_cache
def small_program() -> str:
    """The mean of a batch whose size is known only when it arrives."""
    x = mr.Input((8, 8), name="x")
    return text(Graph([x], [mr.mean(x), mr.size(x.shape[0])]), "mean")


def program_lines(operation: str) -> tuple[str, list[str]]:
    """The text of a program that holds the operation, and its lines with it."""
    program = small_program() if operation in ("Placeholder", "Size") else reading_program()
    lines = [line.strip() for line in program.splitlines() if f"= {operation}(" in line]
    return program, lines
