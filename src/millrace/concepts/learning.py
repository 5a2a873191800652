"""The concepts about training, in the order in which they help one another."""

from __future__ import annotations

from millrace.concepts.augmentation import AUGMENTATION
from millrace.concepts.batch_size import BATCH_SIZE
from millrace.concepts.concept import Concept
from millrace.concepts.dropout import DROPOUT
from millrace.concepts.learning_rate import LEARNING_RATE
from millrace.concepts.momentum import MOMENTUM
from millrace.concepts.overfitting import OVERFITTING
from millrace.concepts.regularizing import REGULARIZATION
from millrace.concepts.saturation import SATURATION
from millrace.concepts.softmax import SOFTMAX
from millrace.concepts.weight_decay import WEIGHT_DECAY
from millrace.concepts.why_relu import WHY_RELU

LEARNING: tuple[Concept, ...] = (
    SOFTMAX, LEARNING_RATE, BATCH_SIZE, MOMENTUM, SATURATION, WHY_RELU, OVERFITTING, REGULARIZATION, DROPOUT,
    WEIGHT_DECAY, AUGMENTATION,
)  # fmt: skip
