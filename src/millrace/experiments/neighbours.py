"""`neighbours`: the training photographs whose activations in fc7 are nearest to a photograph's (figure 4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from millrace.data.datasets import IMAGENETTE_CLASSES
from millrace.experiments.arms import Arm, Trainee, dropping, train
from millrace.experiments.comparison import seeds_text
from millrace.experiments.experiment import Experiment, Outcome, Scale, Setting
from millrace.experiments.given_run import layer_of, model_of
from millrace.experiments.imagenette_pictures import Selection, imagenette_parts, imagenette_photographs
from millrace.experiments.kernel_sheet import png
from millrace.experiments.neighbour_sheet import CELL, Pictured, neighbour_sheet
from millrace.experiments.small_alexnet import FULL, FULL_COST, RATE, network
from millrace.experiments.spread import Difference
from millrace.experiments.watch import Watch
from millrace.explain.nearest import by_chance, nearest, shared
from millrace.ir.errors import ArgumentError
from millrace.training.checkpoint import write_whole
from millrace.training.model import Model

NEAREST = 6  # training photographs beside each query, as in figure 4
QUERIES = 5
PIXELS = 32  # of a side of the photographs whose pixels are compared
BATCH = 100  # photographs a step without training
LAYER = "fc7"


def run(setting: Setting) -> Outcome:
    """Find the nearest by fc7 of networks that are trained from each seed, or of a run's, and by pixels."""
    train_part, held_part = imagenette_parts(setting.scale)
    found = [
        nearest(features(model, held_part), features(model, train_part), NEAREST)
        for model in ([given(setting, setting.trained)] if setting.trained else trained(setting))
    ]
    held, known = (part.pixels(PIXELS).reshape(len(part.numbers), -1) for part in (held_part, train_part))
    return outcome(setting, train_part, held_part, found, nearest(held, known, NEAREST))


def trained(setting: Setting) -> Sequence[Model]:
    """Up to fc7, one network for each seed."""
    scale = setting.scale
    photographs = imagenette_photographs(scale)
    watch = Watch(setting.say, len(setting.seeds) * scale.epochs)
    made = []
    for seed in setting.seeds:
        trainee = Trainee(Arm("network", partial(network, photographs, scale.width), dropping(RATE, scale.epochs)))
        train(trainee, photographs.data, seed, scale.epochs, scale.batch_size, watch)
        assert trainee.model is not None
        made.append(up_to_fc7(trainee.model))
    return made


def given(setting: Setting, path: Path) -> Model:
    """The network of a run up to fc7.  Raises ArgumentError for one that takes no photographs as files hold them."""
    model = model_of(path, setting.say)
    layer_of(model, LAYER, path)  # raises where there is none
    (taken,) = model.inputs if len(model.inputs) == 1 else (None,)
    if taken is None or taken.dtype != "uint8" or taken.ndim != 4 or taken.shape[1] != taken.shape[2]:
        raise ArgumentError(
            f"the network of {path} takes {', '.join(str(value.type) for value in model.inputs)}, but photographs are "
            "uint8 [batch, side, side, 3]: give a run of `millrace train alexnet`."
        )
    return up_to_fc7(model)


def up_to_fc7(model: Model) -> Model:
    """The part of AlexNet that ends with fc7, after its ReLU."""
    return Model(model.inputs, model.get_layer(LAYER).output)


def features(model: Model, part: Selection) -> np.ndarray:
    """A model's outputs for pictures of the size that it takes: [pictures, features]."""
    side = model.inputs[0].shape[1]
    assert isinstance(side, int)
    made: np.ndarray = model.predict(part.pixels(side), batch_size=BATCH)
    return made


def outcome(
    setting: Setting, train_part: Selection, held_part: Selection, found: Sequence[np.ndarray], by_pixels: np.ndarray
) -> Outcome:
    """The table, the verdict and the sheet of what is near each held-out picture, [queries, NEAREST] for each seed.

    by_pixels [queries, NEAREST]: what is near by the pixels themselves.
    """
    labels, own = train_part.labels, held_part.labels
    each = [shared(near, labels, own) for near in found]
    ours, pixels = np.mean(each, axis=0), shared(by_pixels, labels, own)
    chance = by_chance(labels, own)
    path = setting.out / "neighbours.png"
    write_whole(path, png(sheet(train_part, held_part, found[0])))
    over = "a run's network" if setting.trained is not None else seeds_text(len(setting.seeds))
    return Outcome(
        columns=["Nearest by", "Of the same class", "Difference to pixels, points"],
        rows=[
            [f"activations of {LAYER}", f"{ours.mean():.1%}", difference(ours, pixels).text()],
            ["pixels", f"{pixels.mean():.1%}", "-"],
            ["chance", f"{chance:.1%}", "-"],
        ],
        paper=f"photographs that are near by {LAYER}'s 4,096 activations show the same thing, though their pixels are "
        "generally not near (figure 4, section 6.1; shown, not counted)",
        verdict=verdict(ours, pixels, chance),
        figures=[path],
        numbers={
            "share of the same class by fc7": [float(share.mean()) for share in each],
            "share of the same class by pixels": float(pixels.mean()),
            "share of the same class by chance": chance,
        },
        notes=[
            f"Of the {NEAREST} training photographs nearest to each of {len(own):,} held-out ones; {over}. By pixels: "
            f"of {PIXELS} x {PIXELS}. Differences: mean ± half of the 95% interval over the held-out photographs. The "
            f"picture has the first held-out photograph of {QUERIES} classes, and the names of other classes pale."
        ],
    )  # fmt: skip


def difference(ours: np.ndarray, pixels: np.ndarray) -> Difference:
    """In points, query by query."""
    return Difference((100 * ours).tolist(), (100 * pixels).tolist())


def verdict(ours: np.ndarray, pixels: np.ndarray, chance: float) -> str:
    """What the shares of neighbours of the same class [queries] say, by fc7 and by pixels."""
    against = difference(ours, pixels)
    times = f"{ours.mean() / chance:.1f} times as many as by chance"
    if not against.clear:
        return (
            f"of the nearest by {LAYER}, {ours.mean():.0%} are of the same class ({times}), which is not clearly "
            f"more than of the nearest by pixels ({against.text()} points): the network has not learned what the "
            "paper's has."
        )
    if against.mean < 0:
        return f"of the nearest by {LAYER}, fewer are of the same class than by pixels ({against.text()} points)."
    return (
        f"of the nearest by {LAYER}, {ours.mean():.0%} are of the same class, {times} and {against.text()} points more "
        f"than of the nearest by pixels: as the paper shows."
    )


def sheet(train_part: Selection, held_part: Selection, near: np.ndarray) -> np.ndarray:
    """Some queries beside their neighbours, as a picture: uint8 [height, width, 3]."""
    own, names = held_part.labels, tuple(IMAGENETTE_CLASSES.values())
    present = np.unique(own)
    some = [int(np.argmax(own == label)) for label in present[:: max(1, len(present) // QUERIES)][:QUERIES]]
    rows = []
    for query in some:
        parts = held_part.some([query]), train_part.some(near[query])
        (shown,), others = (
            [Pictured(*one) for one in zip(part.pixels(CELL), (names[n] for n in part.labels), strict=True)]
            for part in parts
        )
        rows.append((shown, others))
    return neighbour_sheet(rows, ("held out", f"nearest of those trained on, by {LAYER}"))


NEIGHBOURS = Experiment(
    name="neighbours",
    claim="photographs that are near each other in the last hidden layer show the same thing",
    source="figure 4, section 6.1",
    quick="1,500 photographs of Imagenette, crops of 67 pixels, AlexNet of a quarter of the width, 40 epochs; or a run "
    "(--run)",
    full=f"all photographs of Imagenette, crops of 227 pixels, the paper's AlexNet, 90 epochs; {FULL_COST}; or a run "
    "on ImageNet by `millrace train alexnet` (--run)",
    run=run,
    quick_scale=Scale(images=1_500, validation=500, epochs=40, width=24, batch_size=32, size=67),
    full_scale=FULL,
    data=("imagenette",),
    seeds=1,
    reads_run=True,
)
