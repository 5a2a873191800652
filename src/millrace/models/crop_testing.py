"""Testing on ten crops: a model's answers for the corners and the middle of a photograph, and mirrored, averaged.

Source: Krizhevsky, Sutskever and Hinton 2012, section 4.1.
"""

from __future__ import annotations

from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.graph import rebuilt, topological
from millrace.ir.leaves import Placeholder
from millrace.layers import CenterCrop, RandomCrop
from millrace.layers.base import Layer
from millrace.training.architecture import Step
from millrace.training.forms import in_use
from millrace.training.model import Model

CROPS = 10


class TenCrops(Layer):
    """The mean of a model's outputs over ten windows of each photograph, in place of the one window that it takes.

    model: it takes one input, crops it by one RandomCrop or CenterCrop, and gives one output, such as probabilities
    [batch, classes]. What stands before the crop is computed once; what follows it, in a loop of ten rounds, so that no
    more memory is needed than for one window. Everything that only training does is left out.

    Raises ArgumentError for another kind of model.  Source: Krizhevsky et al. 2012, section 4.1.
    """

    def __init__(self, model: Model, **common: Any):
        super().__init__(**common)
        self.model = model
        self._crop = crop_of(model)

    def call(self, x: Value) -> Value:
        (given,), (answer,) = self.model.inputs, self.model.outputs
        if x.type != given.type:
            raise ShapeError(
                f"the model takes {given.type}, got {x.type}: apply it to an mr.Input like the model's own."
            )
        (whole,), (window,) = self._crop.inputs, self._crop.outputs
        crop: Any = self._crop.layer
        photographs = rebuilt(topological([whole], frozenset([given])), in_use, {given: x})[whole]
        rest = topological([answer], frozenset([window]))

        def test(total: Value, number: Value) -> tuple[Value, None]:
            seen = mr.crop_of_ten(photographs, number, crop.height, crop.width)
            return total + mr.cast(rebuilt(rest, in_use, {window: seen})[answer], "float32"), None

        # AlexNet, 8 photographs, 2 cores: 2.1 s as a loop, 2.0 s as one batch of 80, 3.1 s as ten copies of the network
        total, _ = mr.scan(test, mr.zeros(answer.shape), mr.arange(CROPS))
        return total / float(CROPS)


def ten_crops(model: Model) -> Model:
    """A model on the same weights that answers with the mean over ten crops: the corners, the middle, and mirrored.

        tested = mr.models.ten_crops(model)
        tested.evaluate(photographs)  # {"loss": ..., "accuracy": ...}

    It takes the photographs that the model takes, such as uint8 [batch, 256, 256, 3], and follows its weights as they
    change. It is compiled like the model, where that is; it learns nothing itself.

    Raises ArgumentError for a model with several inputs or outputs, or without one RandomCrop or CenterCrop layer.
    Source: Krizhevsky et al. 2012, section 4.1.
    """
    answers = TenCrops(model, name="ten_crops")
    (given,) = model.inputs
    x = Placeholder("photograph", given.type)()
    made = Model(x, answers(x), name=f"{model.name}_ten_crops")
    made.trainable = False
    if hasattr(model, "compiled"):
        (goal,) = model.compiled.goals
        engine = model.training_steps.engine
        made.compile("sgd", goal.loss, goal.metrics, engine, weighted_metrics=goal.weighted_metrics)
    return made


def crop_of(model: Model) -> Step:
    """Where a model crops what it is given.  Raises ArgumentError unless that is one place, and all goes through it."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ArgumentError(
            f"ten_crops takes a model with one input and one output, {model.name!r} has {len(model.inputs)} and "
            f"{len(model.outputs)}."
        )
    found = [step for step in model.steps if isinstance(step.layer, (RandomCrop, CenterCrop))]
    if len(found) != 1:
        raise ArgumentError(
            f"ten_crops takes a model that crops its photographs by one RandomCrop or CenterCrop layer; {model.name!r} "
            f"has {len(found)}."
        )
    (window,) = found[0].outputs
    beside = topological(model.outputs, frozenset([window]))
    if any(isinstance(node.op, Placeholder) for node in beside):
        raise ArgumentError(f"{model.name!r} uses its photographs beside the crop, too: ten_crops cannot know how.")
    return found[0]
