"""What is known of a run's data before its first step, as far as the run is judged by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from millrace.data.overlap import Overlap, overlap
from millrace.data.source import ENCODED
from millrace.diagnosis.record import Facts
from millrace.engines.function import function
from millrace.ir.core import Value
from millrace.ir.errors import MillraceError
from millrace.ir.graph import topological
from millrace.ops.contract import Dot
from millrace.ops.convolution import Convolution
from millrace.training.forms import variable_of
from millrace.training.inputs import Input
from millrace.training.step import Steps


def facts_of(steps: Steps, training: Input, held: Input | None) -> Facts:
    """Read the data of a run for what it may have in common with what is held out, and for its scale.

    What cannot be read is not known; the run itself will say so.
    """
    inputs = len(steps.inputs)
    shared = Overlap()
    if held is not None and not (training.is_shared or held.is_shared):
        shared = overlap(training.source, held.source, inputs)
    layer, size = first_input(steps, training)
    return Facts(examples=training.source.count, layer=layer, size=size, **asdict(shared))


def first_input(steps: Steps, training: Input) -> tuple[str, float]:
    """The dense layer that takes the data first, and the root mean square of what it takes of some examples.

    "" where something else comes first, such as a convolution, which pictures of any scale are given to.
    """
    graph = steps.predict.graph
    for node in topological(graph.outputs):
        if isinstance(node.op, (Dot, Convolution)) and any(variable_of(x) is not None for x in node.inputs):
            given = next((x for x in node.inputs if variable_of(x) is None), None)
            if isinstance(node.op, Convolution) or given is None or training.source.elements[0] == ENCODED:
                return "", 0.0
            return node.layer, root_mean_square(graph.inputs, given, training)
    return "", 0.0


def root_mean_square(inputs: Sequence[Value], value: Value, training: Input) -> float:
    """Of a value of the graph for the first batch: by the interpreter, so that nothing is compiled for it."""
    try:
        batch = training.whole_batch(0, 0)
        numbers = function(inputs, value, engine="numpy")(*batch.arrays[: len(inputs)])
        real = np.asarray(numbers, np.float64)[: len(batch.weights)][batch.weights > 0]
    except (MillraceError, IndexError):  # the run itself will say what is wrong with the data
        return 0.0
    return float(np.sqrt(np.mean(np.square(real)))) if real.size else 0.0
