"""The claims of the AlexNet paper as experiments: `millrace experiment NAME` tries one, each is a file here."""

from millrace.experiments.augmentation import AUGMENTATION
from millrace.experiments.depth import DEPTH
from millrace.experiments.dropout import DROPOUT
from millrace.experiments.experiment import Experiment, Outcome, Scale, Setting
from millrace.experiments.kernels import KERNEL_PICTURE
from millrace.experiments.lrn import LRN
from millrace.experiments.neighbours import NEIGHBOURS
from millrace.experiments.overfitting import OVERFITTING
from millrace.experiments.overlapping_pooling import OVERLAPPING_POOLING
from millrace.experiments.pca_colour import PCA_COLOUR
from millrace.experiments.relu_vs_tanh import RELU_VS_TANH
from millrace.experiments.two_towers import TWO_TOWERS
from millrace.ir.errors import one_of

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        RELU_VS_TANH, LRN, OVERLAPPING_POOLING, DROPOUT, AUGMENTATION, PCA_COLOUR, TWO_TOWERS, DEPTH, KERNEL_PICTURE,
        NEIGHBOURS, OVERFITTING,
    )
}  # fmt: skip


def experiment_named(name: str) -> Experiment:
    """An experiment by name.  Raises ArgumentError for an unknown one."""
    if name not in EXPERIMENTS:
        raise one_of("experiment", name, list(EXPERIMENTS))
    return EXPERIMENTS[name]


__all__ = ["EXPERIMENTS", "Experiment", "Outcome", "Scale", "Setting", "experiment_named"]
