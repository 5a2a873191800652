"""`kernels`: the kernels of AlexNet's first layer as a picture, by tower, and how colourful they are (figure 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from millrace.experiments.arms import Arm, Trainee, dropping, train
from millrace.experiments.experiment import Experiment, Outcome, Scale, Setting
from millrace.experiments.given_run import layer_of, model_of
from millrace.experiments.imagenette_pictures import Photographs, imagenette_photographs
from millrace.experiments.kernel_sheet import checked, colourfulness, halves, kernel_sheet, png
from millrace.experiments.small_alexnet import BIAS, FULL, FULL_COST, KERNELS, RATE, front
from millrace.experiments.watch import Watch
from millrace.layers import Conv2D
from millrace.layers.initializers import HeNormal, RandomNormal
from millrace.models.alexnets import VARIANTS, Making, section_3_5
from millrace.training.checkpoint import write_whole
from millrace.training.model import Model, Sequential

STD = 0.003  # of conv1's first kernels; the paper's 0.01 would still cover what a short training learns
GREY = 0.5  # a kernel with less of its weight off the grey axis is mostly grey
CHANCE = 2 / 3  # the colourfulness of random numbers
SPECIAL = 0.75  # the share of a half's kernels that are of a kind, from which on it has specialised
HALVES = ("upper half", "lower half")
PAPER = ("GPU 1: mostly without colour", "GPU 2: mostly of a colour")


@dataclass(frozen=True)
class FirstLayerWhole(Making):
    """AlexNet's layers at some width, but for conv1, which has all of its 96 kernels.

    Those begin so small that what is seen of them later was learned; all others as narrow layers need it.
    """

    @property
    def kernels(self) -> list[int]:
        return [KERNELS, *super().kernels[1:]]

    def convolution(self, filters: int, size: int, name: str, **how: Any) -> Any:
        if name != "conv1":
            return super().convolution(filters, size, name, **how)
        return Conv2D(filters, size, 4, "valid", activation="relu", kernel_initializer=RandomNormal(stddev=STD),
                      name=name)  # fmt: skip


def network(photographs: Photographs, width: int) -> Model:
    """AlexNet whose first layer is the paper's, the others as wide as if that had `width` kernels."""
    make = FirstLayerWhole(VARIANTS["paper"], width / KERNELS, 0.5, "relu", True, (3, 2), BIAS, HeNormal())
    return Sequential([*front(photographs), *section_3_5(make, len(photographs.data.classes))], name="alexnet")


def run(setting: Setting) -> Outcome:
    """Draw the kernels of conv1 of a network that is trained from each seed, or of a run's."""
    if setting.trained is not None:
        model = model_of(setting.trained, setting.say)
        conv1, conv2 = (layer_of(model, name, setting.trained) for name in ("conv1", "conv2"))
        return outcome(setting, {"the run": checked(conv1.kernel.numpy())}, towers=conv2.groups)
    return outcome(setting, {f"seed {seed}": kernels for seed, kernels in trained(setting).items()})


def trained(setting: Setting) -> dict[int, np.ndarray]:
    """The kernels of conv1 after training, by the seed."""
    scale = setting.scale
    photographs = imagenette_photographs(scale)
    watch = Watch(setting.say, len(setting.seeds) * scale.epochs)
    trainee = Trainee(Arm("network", partial(network, photographs, scale.width), dropping(RATE, scale.epochs)))
    found = {}
    for seed in setting.seeds:
        train(trainee, photographs.data, seed, scale.epochs, scale.batch_size, watch)
        assert trainee.model is not None
        conv1: Any = trainee.model.get_layer("conv1")
        found[seed] = conv1.kernel.numpy()
    return found


def outcome(setting: Setting, kernels: dict[str, np.ndarray], towers: int = 2) -> Outcome:
    """Pictures, numbers and a verdict of kernels [height, width, 3, count], by what they are of.

    towers: of the network; where it has one, the halves of its kernels are not apart.
    """
    rows, figures, verdicts, numbers = [], list[Path](), [], {}
    for name, found in kernels.items():
        shares = [colourfulness(half) for half in halves(found)]
        for half, share, paper in zip(HALVES, shares, PAPER, strict=True):
            told = f"{share.mean():.2f} ± {share.std(ddof=1):.2f}"
            rows.append([f"{name}, {half}", paper, told, f"{(share < GREY).sum()} of {len(share)}"])
        figures.append(setting.out / (f"kernels-{name.replace(' ', '-')}.png" if len(kernels) > 1 else "kernels.png"))
        write_whole(figures[-1], png(kernel_sheet(found)))
        said = verdict(*shares) if towers == 2 else "the network has one tower, so its halves say nothing of two."
        verdicts.append(f"{name[0].upper()}{name[1:]}: {said}")
        numbers[name] = {half: share.tolist() for half, share in zip(HALVES, shares, strict=True)}
    return Outcome(
        columns=["Kernels", "Paper", "Colourfulness", "Mostly grey"],
        rows=rows,
        paper="the kernels on GPU 1 are largely without colour, those on GPU 2 largely of a colour, in every run "
        "whatever the first weights, but for which GPU is which (figure 3, section 6.1)",
        verdict=" ".join(verdicts),
        figures=figures,
        numbers={"colourfulness": numbers},
        notes=[
            "Colourfulness: the share of a kernel's squared weights off the grey axis, 0 for grey kernels, 1 for those "
            f"of colours alone, {CHANCE:.2f} for random numbers; mean ± standard deviation over the kernels. Mostly "
            f"grey: below {GREY}. Each kernel is drawn over its own range of numbers."
        ],
    )


def verdict(first: np.ndarray, second: np.ndarray) -> str:
    """Whether two halves have specialised, from the colourfulness [kernels] of each."""
    difference = float(second.mean() - first.mean())
    half = 1.96 * sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
    grey = [float((share < GREY).mean()) for share in (first, second)]
    bounds = f"the lower half's colourfulness less the upper's is {difference:+.2f} ± {half:.2f}, 95%"
    if abs(difference) <= half:
        return f"the halves are alike in colour ({bounds}), so the towers have not specialised as the paper's did."
    which = HALVES[0 if difference > 0 else 1]
    if max(grey) >= SPECIAL and min(grey) <= 1 - SPECIAL:
        return f"the towers have specialised as the paper's did, the {which} in what has no colour ({bounds})."
    return f"the {which} has less colour ({bounds}), but the towers have not specialised as the paper's did."


KERNEL_PICTURE = Experiment(
    name="kernels",
    claim="of the first layer's 96 kernels, one tower's come to see no colour, and the other's mostly colours",
    source="figure 3, section 6.1",
    quick="1,500 photographs of Imagenette, crops of 91 pixels, the paper's first layer, the others at an eighth of "
    "their width, 50 epochs; or a run (--run)",
    full=f"all photographs of Imagenette, crops of 227 pixels, the paper's AlexNet, 90 epochs; {FULL_COST}; or a run "
    "on ImageNet by `millrace train alexnet` (--run)",
    run=run,
    quick_scale=Scale(images=1_500, validation=500, epochs=50, width=12, batch_size=32, size=91),
    full_scale=FULL,
    data=("imagenette",),
    seeds=1,
    reads_run=True,
)
