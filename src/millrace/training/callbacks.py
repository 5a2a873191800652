"""What happens beside the steps: progress on the terminal, records on disk, checkpoints, early ends."""

from typing import TYPE_CHECKING, Any

from millrace.layers.keras_names import absent
from millrace.training.advice import Advice
from millrace.training.callback import Callback, History, Logs, in_order, put_arrays, restore, states, take_arrays
from millrace.training.monitors import (
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    Monitor,
    ReduceLROnPlateau,
)
from millrace.training.progress import Progress, duration, shown
from millrace.training.records import CSVLogger, JsonLines, Measurements, TensorBoard, read_lines
from millrace.training.saving import Checkpoint, ModelCheckpoint

__all__ = [
    "Advice",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "JsonLines",
    "LambdaCallback",
    "LearningRateScheduler",
    "Logs",
    "Measurements",
    "ModelCheckpoint",
    "Monitor",
    "Progress",
    "ReduceLROnPlateau",
    "TensorBoard",
    "duration",
    "in_order",
    "put_arrays",
    "read_lines",
    "restore",
    "shown",
    "states",
    "take_arrays",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise absent("callbacks", name, __all__)
