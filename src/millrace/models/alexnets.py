"""AlexNet: five convolutions and three dense layers, the network that turned computer vision to deep learning.

`alexnet()` reads as section 3.5 of the paper does: what each layer's kernels are, and what follows which. The two
towers, one on each of the paper's two GPUs, are `groups=2`: conv2, conv4 and conv5 see only the maps of their own
half; conv3 and the dense layers see all. 60,965,224 parameters and 659,272 neurons for 1,000 classes.

**Biases of 1, and their trap.** A rectified unit learns only from images for which it is above 0. First kernels are
normal numbers of deviation 0.01, and behind a few of them what an image adds to a unit is faint. First biases of 1 in
conv2, conv4, conv5, fc6 and fc7 lift nearly every unit above 0 for nearly every image, so that all learn from the first
step (section 5). The price: what fc8 sees is 4,096 units of about 1, whatever the image. A step along that common part
changes the scores by rate * (sum of squares) times their error; with dropout the sum is 8,192, the loss's curvature
that over the number of classes, and momentum of 0.9 shoots over where rate * curvature is above 2 (1 + 0.9) = 3.8. At
0.01 it is 0.08 with 1,000 classes, but 8 with ten. Then scores swing, the errors that are sent down push fc7 below 0
for every image, a silent layer learns no more, and the loss lies flat at log(classes). Wider first kernels and longer
steps end there, too; Caffe's authors met it with settings of their own. Measured on ten classes of photographs, batches
of 32, a rate of 0.01: a loss of 18 in the first epoch, then 2.30 = log(10), and 0.2% of fc7 above 0 for any of 32
photographs. The way out is Caffe's, `alexnet(bias=0.1)`, a sum of squares a hundred times smaller: there the loss fell
in each epoch, to 2.15 after as many steps, with 89% of fc7 above 0. Shorter steps are another.

Source: Krizhevsky, Sutskever and Hinton 2012, sections 3.3 to 3.5, 4.2 and 5; the released configuration
(computerhistory/AlexNet-Source-Code, 2025); for "torchvision", Krizhevsky 2014 as torchvision builds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from millrace.ir.errors import ArgumentError, one_of
from millrace.layers import (
    Activation,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    LocalResponseNormalization,
    MaxPooling2D,
    MeanSubtraction,
    RandomCrop,
    RandomFlip,
)
from millrace.layers.arguments import flag, number, whole, whole_each
from millrace.layers.base import Layer
from millrace.layers.initializers import Constant, Initializer, RandomNormal, VarianceScaling
from millrace.training.model import Model, Sequential
from millrace.training.optimizers import SGD

FILE_SIZE = 256  # pixels: what a photograph is scaled and cut to before training (section 2)
MEAN = (123.68, 116.78, 103.94)  # red, green and blue of ImageNet's training set, as VGG's authors give them
NORMAL = RandomNormal(stddev=0.01)  # the first kernels (section 5)
PYTORCH = VarianceScaling(1 / 3, "fan_in", "uniform")  # within 1 / sqrt(inputs of a unit) of 0: PyTorch's default
TOWER = "tower"  # the axis of a mesh whose two devices are the paper's two GPUs
MIDDLE = ("conv3", "conv4", "conv5", "fc6", "fc7")  # what section 7 removes one of


@dataclass(frozen=True)
class Variant:
    """In what one form of the network differs from another. The defaults are the paper's text.

    kernels: how many conv1 to conv5 have. towers: halves that see each other in conv3 and the dense layers alone. size:
    pixels of a side of the input. edge: the padding of conv1. norm: how LRN differs. relu1_last: whether conv1's ReLU
    comes after norm1 and pool1. kernel: how kernels begin; kernel_3_to_5: those of conv3 to conv5. bias: of conv2,
    conv4, conv5, fc6 and fc7 at first.
    """

    kernels: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256)
    towers: int = 2
    size: int = 227  # the text says 224, but 55 positions of conv1 need (55 - 1) * 4 + 11 = 227 pixels
    edge: Any = "valid"
    norm: Mapping[str, Any] = field(default_factory=dict)
    relu1_last: bool = False
    kernel: Initializer = NORMAL
    kernel_3_to_5: Initializer = NORMAL
    bias: float = 1.0


VARIANTS = {
    "paper": Variant(),
    "one_gpu": Variant(kernels=(48, 128, 192, 192, 256), towers=1),
    "release": Variant(
        size=224, edge=((0, 3), (0, 3)),  # the last window of conv1 hangs over by three pixels
        norm={"alpha_divided_by_n": True, "groups": 2}, relu1_last=True, kernel_3_to_5=RandomNormal(stddev=0.03),
    ),
    "torchvision": Variant(
        kernels=(64, 192, 384, 256, 256), towers=1, size=224, edge=2, kernel=PYTORCH, kernel_3_to_5=PYTORCH, bias=0.0,
    ),
}  # fmt: skip


def alexnet(
    variant: str = "paper", classes: int = 1000, *, width: float = 1.0, size: int | None = None, dropout: float = 0.5,
    activation: Any = "relu", normalization: bool = True, pool: tuple[int, int] = (3, 2), bias: float | None = None,
    kernel_initializer: Any = None, without: str | None = None, front: Sequence[Any] = (),
) -> Model:  # fmt: skip
    """The network: photograph [batch, 227, 227, 3], RGB less its mean, to probabilities [batch, classes].

    variant: "paper" (two towers), "one_gpu" (one tower of half as many kernels, section 3.2), "release" (as the
    authors' own configuration has it: LRN in each half apart and before conv1's ReLU, alpha / n, kernels of conv3 to
    conv5 of deviation 0.03, 224 pixels) or "torchvision" (Krizhevsky 2014: no LRN, no towers, 224 pixels, 61,100,840
    parameters; kernels as PyTorch's default has them at first, biases 0).

    The rest makes other networks of it. width: times the kernels and units of every layer but the last, rounded to
    what the towers divide. size: pixels of a side of the input, at least 67 with the paper's pooling. dropout: the
    share of fc6 and fc7 that is set to 0; 0 leaves it out. normalization: whether there is LRN. pool: window and
    stride of the three poolings. bias: at first, of the layers where it is 1; this page's head says when that fails.
    kernel_initializer: of all kernels. without: a middle layer to leave out, "conv3", "conv4", "conv5", "fc6" or "fc7"
    (section 7). front: an Input and layers that make the network's input of it, such as `photographs()`; then `size`
    is theirs.

    Raises ArgumentError for an unknown variant or layer, or a number out of range; ShapeError for a size too small.
    """
    if variant not in VARIANTS:
        raise one_of("variant of AlexNet", variant, list(VARIANTS))
    if without is not None and without not in MIDDLE:
        raise one_of("layer to leave out", without, list(MIDDLE))
    if front and size is not None:
        raise ArgumentError(f"size={size} beside front: the layers of front make the input, so leave size out.")
    chosen = VARIANTS[variant]
    side = chosen.size if size is None else whole(size, "size")
    start = list(front) or [Input((side, side, 3), name="image")]
    make = Making(
        chosen, number(width, "width", 0, open_low=True), number(dropout, "dropout", 0, 1, open_high=True), activation,
        flag(normalization, "normalization"), whole_each(pool, 2, "pool"), chosen.bias if bias is None else bias,
        kernel_initializer,
    )  # fmt: skip
    layers = torchvision(make, classes) if variant == "torchvision" else section_3_5(make, classes)
    absent = (without, f"drop{without[-1]}") if without in ("fc6", "fc7") else (without,)
    return Sequential([*start, *(layer for layer in layers if layer.name not in absent)], name="alexnet")


def section_3_5(make: Making, classes: int) -> list[Layer]:
    """The paper's layers. Where a layer's bias is `one`, it is 1 at first: see the trap above."""
    k1, k2, k3, k4, k5 = make.kernels
    how, one = make.variant, make.bias
    return [
        make.convolution(k1, 11, "conv1", strides=4, padding=how.edge, linear=how.relu1_last),
        *make.norm("norm1"),
        make.pooling("pool1"),
        *([Activation(make.activation, name="relu1")] if how.relu1_last else []),
        make.convolution(k2, 5, "conv2", bias=one, groups=how.towers),
        *make.norm("norm2"),
        make.pooling("pool2"),
        make.convolution(k3, 3, "conv3", kernel=how.kernel_3_to_5),  # sees the maps of both towers
        make.convolution(k4, 3, "conv4", bias=one, groups=how.towers, kernel=how.kernel_3_to_5),
        make.convolution(k5, 3, "conv5", bias=one, groups=how.towers, kernel=how.kernel_3_to_5),
        make.pooling("pool5"),
        Flatten(name="flatten"),
        make.dense(make.units, "fc6", bias=one),
        *make.drop("drop6"),
        make.dense(make.units, "fc7", bias=one),
        *make.drop("drop7"),
        make.dense(classes, "fc8", activation="softmax"),
    ]


def torchvision(make: Making, classes: int) -> list[Layer]:
    """The later network, one tower wide (Krizhevsky 2014), with dropout before fc6 and fc7 instead of after them."""
    k1, k2, k3, k4, k5 = make.kernels
    return [
        make.convolution(k1, 11, "conv1", strides=4, padding=make.variant.edge),
        make.pooling("pool1"),
        make.convolution(k2, 5, "conv2", bias=make.bias),
        make.pooling("pool2"),
        make.convolution(k3, 3, "conv3"),
        make.convolution(k4, 3, "conv4", bias=make.bias),
        make.convolution(k5, 3, "conv5", bias=make.bias),
        make.pooling("pool5"),
        Flatten(name="flatten"),
        *make.drop("drop6"),
        make.dense(make.units, "fc6", bias=make.bias),
        *make.drop("drop7"),
        make.dense(make.units, "fc7", bias=make.bias),
        make.dense(classes, "fc8", activation="softmax"),
    ]


@dataclass(frozen=True)
class Making:
    """How layers are made: the variant, and what `alexnet` was asked for of every layer."""

    variant: Variant
    width: float
    dropout: float
    activation: Any
    normalization: bool
    pool: tuple[int, ...]
    bias: float
    kernel_initializer: Any

    @property
    def kernels(self) -> list[int]:
        """How many each convolution has: whole, and as many in one tower as in the other."""
        towers = self.variant.towers
        return [max(1, round(count * self.width / towers)) * towers for count in self.variant.kernels]

    @property
    def units(self) -> int:
        return max(1, round(4096 * self.width))

    def convolution(
        self, filters: int, size: int, name: str, bias: float = 0.0, kernel: Any = None, linear: bool = False,
        padding: Any = "same", **how: Any,
    ) -> Layer:  # fmt: skip
        begins = self.beginning(kernel, bias)
        return Conv2D(filters, size, padding=padding, activation=None if linear else self.activation, name=name,
                      **self.shard(filters), **begins, **how)  # fmt: skip

    def dense(self, units: int, name: str, bias: float = 0.0, activation: Any = None) -> Layer:
        return Dense(units, activation or self.activation, name=name, **self.shard(units),
                     **self.beginning(None, bias))  # fmt: skip

    def shard(self, count: int) -> dict[str, Any]:
        """Half of the kernels or units on each device of the mesh axis "tower", where a mesh has it (section 3.2)."""
        return {"shard": TOWER} if self.variant.towers == 2 and count % 2 == 0 else {}

    def beginning(self, kernel: Any, bias: float) -> dict[str, Any]:
        """How weights begin: as asked for, or as this layer or all kernels of the variant do; and one bias for all."""
        rule = self.kernel_initializer or kernel or self.variant.kernel
        return {"kernel_initializer": rule, "bias_initializer": Constant(bias)}

    def norm(self, name: str) -> list[Layer]:
        return [LocalResponseNormalization(name=name, **self.variant.norm)] if self.normalization else []

    def pooling(self, name: str) -> Layer:
        window, strides = self.pool
        return MaxPooling2D(window, strides, name=name)

    def drop(self, name: str) -> list[Layer]:
        return [Dropout(self.dropout, name=name)] if self.dropout else []


def photographs(size: int = 227, file_size: int = FILE_SIZE, mean: Any = MEAN) -> list[Any]:
    """A front for `alexnet`: photographs as files hold them, uint8 [batch, 256, 256, 3], to its input.

    In training each is cropped to `size` and mirrored at random (section 4.1), in use its middle is taken. mean: what
    is subtracted, one for each channel, or for each pixel of a crop (section 2).
    """
    return [
        Input((file_size, file_size, 3), dtype="uint8", name="photograph"),
        RandomCrop(size, size, name="crop"),
        RandomFlip("horizontal", name="reflection"),
        MeanSubtraction(mean, name="centred"),
    ]


def optimizer(learning_rate: float = 0.01, variant: str = "paper") -> SGD:
    """The rule of section 5: v <- 0.9 v - 0.0005 rate w - rate g, w <- w + v, with g the mean gradient of a batch.

    For "release" biases learn at twice the rate, and do not decay.
    Raises ArgumentError for an unknown variant.
    """
    if variant not in VARIANTS:
        raise one_of("variant of AlexNet", variant, list(VARIANTS))
    biases: dict[str, Any] = {"learning_rate_multipliers": {"/bias$": 2.0}, "weight_decay_exclude": ["/bias$"]}
    apart = biases if variant == "release" else {}
    return SGD(learning_rate, momentum=0.9, weight_decay=0.0005, **apart)
