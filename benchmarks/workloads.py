"""What is measured: networks, batch sizes, and how much arithmetic one step is; and what new processes do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from math import log, prod
from typing import TypeVar


@dataclass(frozen=True)
class Network:
    """A network that every contender has in its own words.

    shape: one example, channels last. forward: multiply-adds for one example; first: those of the products that
    touch the input, whose gradient nobody asks for. width: times the kernels and units of every layer but the last,
    where the network's words take that. below: for examples that are whole numbers, what they are smaller than.
    only: the peers that have it in their words; all of them unless given.
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    optimizer: str  # "adam", or "sgd": momentum 0.9
    forward: int
    first: int
    weight_decay: float = 0.0
    unit: str = "images"
    width: float = 1.0
    below: int = 0
    only: tuple[str, ...] = ()

    @property
    def spatial(self) -> bool:
        """Whether it has convolutions over images or volumes, so that the layout of memory is a choice."""
        return len(self.shape) >= 3

    @property
    def first_loss(self) -> float:
        """The loss of a network that knows nothing."""
        return log(self.classes)


@dataclass(frozen=True)
class Workload:
    """One thing that all contenders do: training steps of a network, or predictions with it.

    dtype: "float32", or "bfloat16" for mixed precision: products in bfloat16, weights in float32.
    """

    name: str
    network: Network
    batch: int
    training: bool = True
    dtype: str = "float32"

    @property
    def flop(self) -> int:
        """Floating point operations of one step in convolutions and products.

        A training step does each product three times: output, input's gradient, weight's gradient.
        """
        each = 3 * self.network.forward - self.network.first if self.training else self.network.forward
        return 2 * self.batch * each

    @property
    def kind(self) -> str:
        return "training" if self.training else "inference"

    @property
    def about(self) -> str:
        what = "training step" if self.training else "prediction"
        mixed = "" if self.dtype == "float32" else f", {self.dtype}"
        return f"{self.network.name}, {what}, batch {self.batch}{mixed}, {self.flop / 1e9:.3g} GFLOP"


@dataclass(frozen=True)
class Fresh:
    """What a new process does each time: import a framework, or all that comes before a first finished step.

    workload: whose first step is waited for; None where importing is all. cached: whether compiled programs of an
    earlier run may be found on disk.
    """

    name: str
    workload: Workload | None = None
    cached: bool = False

    @property
    def kind(self) -> str:
        return "start" if self.workload else "import"

    @property
    def about(self) -> str:
        if self.workload is None:
            return "from the start of a process until the framework is imported"
        caches = "caches of an earlier run" if self.cached else "empty caches"
        return f"{self.workload.about}: from the start of a process to the first finished step, {caches}"


One = TypeVar("One", bound=Workload | Fresh)


def conv(out: int, kernel: int, channels: int, filters: int, groups: int = 1) -> int:
    """Multiply-adds of a convolution: output [out, out, filters]."""
    return out * out * kernel * kernel * channels // groups * filters


def dense(*widths: int) -> int:
    """Multiply-adds of dense layers, one after another."""
    return sum(prod(pair) for pair in pairwise(widths))


def resnet18(side: int, classes: int) -> tuple[int, int]:
    """Multiply-adds of ResNet-18, and of its first convolution."""
    first = conv(side // 2, 7, 3, 64)
    total, channels, out = first, 64, side // 4
    for stage, filters in enumerate((64, 128, 256, 512)):
        out = out // 2 if stage else out
        total += conv(out, 3, channels, filters) + 3 * conv(out, 3, filters, filters)
        total += conv(out, 1, channels, filters) if stage else 0
        channels = filters
    return total + dense(512, classes), first


def recurrent(name: str, gates: int, steps: int, width: int, units: int) -> Network:
    """A recurrent layer whose last output goes through a dense layer."""
    first = steps * width * gates * units
    forward = first + steps * units * gates * units + dense(units, 10)
    return Network(name, (steps, width), 10, "adam", forward, first, unit="sequences")


def alexnet(width: float = 1.0, classes: int = 1000) -> tuple[int, int]:
    """Multiply-adds of AlexNet, and of its first convolution."""
    k1, k2, k3, units = (int(n * width) for n in (96, 256, 384, 4096))
    first = conv(55, 11, 3, k1)
    middle = conv(27, 5, k1, k2, 2) + conv(13, 3, k2, k3) + conv(13, 3, k3, k3, 2) + conv(13, 3, k3, k2, 2)
    return first + middle + dense(36 * k2, units, units, classes), first


MOBILE = ((64, 1), (128, 2), (128, 1), (256, 2))  # filters and stride of each pair of depthwise and 1x1 convolutions


def mobile(side: int, classes: int) -> tuple[int, int]:
    """Multiply-adds of a small MobileNet, and of its first convolution."""
    first = total = conv(side, 3, 3, 32)
    channels = 32
    for filters, stride in MOBILE:
        side //= stride
        total += conv(side, 3, channels, channels, channels) + conv(side, 1, channels, filters)
        channels = filters
    return total + dense(channels, classes), first


def transformer(steps: int, width: int, inner: int, blocks: int, classes: int) -> int:
    """Multiply-adds of an encoder's blocks: projections, scores and sums of attention, two dense layers."""
    attention = 4 * width * width + 2 * steps * width
    return blocks * steps * (attention + 2 * width * inner) + dense(width, classes)


TOY_WIDTH = 1 / 16
LENET_FIRST, CIFAR_FIRST, DIGITS_FIRST = conv(28, 5, 1, 6), conv(32, 5, 3, 32), conv(8, 3, 1, 32)
FASHION_FIRST = conv(28, 3, 1, 32)
VOLUMES_FIRST = 16 * 32 * 32 * 27 * 16
USED = ("millrace", "torch", "onnxruntime")  # who has the networks that are measured in use alone
BOTH = ("millrace", "torch")

NETWORKS = {
    network.name: network
    for network in (
        Network("alexnet", (227, 227, 3), 1000, "sgd", *alexnet(), weight_decay=5e-4),
        Network(
            "alexnet_toy", (227, 227, 3), 10, "sgd", *alexnet(TOY_WIDTH, 10), weight_decay=5e-4, width=TOY_WIDTH
        ),
        Network(
            "lenet", (28, 28, 1), 10, "adam", LENET_FIRST + conv(10, 5, 6, 16) + dense(400, 120, 84, 10), LENET_FIRST
        ),
        Network(
            "cifar_quick", (32, 32, 3), 10, "adam",
            CIFAR_FIRST + conv(16, 5, 32, 32) + conv(8, 5, 32, 64) + dense(1024, 10), CIFAR_FIRST,
        ),
        Network("mlp", (784,), 10, "adam", dense(784, 512, 512, 10), dense(784, 512)),
        recurrent("lstm", 4, 28, 28, 128),
        recurrent("gru", 3, 28, 28, 128),
        recurrent("lstm_long", 4, 100, 64, 256),
        recurrent("gru_long", 3, 100, 64, 256),
        Network("resnet18", (64, 64, 3), 1000, "sgd", *resnet18(64, 1000)),
        Network(
            "digits", (8, 8, 1), 10, "adam", DIGITS_FIRST + conv(8, 3, 32, 64) + dense(1024, 128, 10), DIGITS_FIRST
        ),
        Network(
            "fashion", (28, 28, 1), 10, "adam",
            FASHION_FIRST + conv(14, 3, 32, 64) + conv(7, 3, 64, 128) + dense(1152, 256, 10), FASHION_FIRST,
            only=USED,
        ),
        Network(
            "char_rnn", (100,), 67, "adam", 100 * (4 * dense(64 + 256, 256) + dense(256, 67)), 0, unit="sequences",
            below=67, only=USED,
        ),
        Network(
            "mobile", (32, 32, 3), 10, "sgd", *mobile(32, 10), only=BOTH,
        ),
        Network(
            "volumes", (16, 32, 32, 1), 10, "adam", VOLUMES_FIRST + 8 * 16 * 16 * 27 * 16 * 32 + dense(8192, 10),
            VOLUMES_FIRST, unit="volumes", only=BOTH,
        ),
        Network(
            "transformer", (64, 128), 10, "adam", transformer(64, 128, 256, 2, 10), 3 * 64 * 128 * 128,
            unit="sequences", only=BOTH,
        ),
        Network(
            "sentiment", (40,), 2, "adam", 2 * 40 * 3 * dense(64 + 48, 48) + dense(96, 2), 0, unit="sentences",
            below=12_000, only=USED,
        ),
    )
}  # fmt: skip

BATCHES = {
    "alexnet32": ("alexnet", 32),
    "alexnet128": ("alexnet", 128),
    "lenet": ("lenet", 64),
    "cifar_quick": ("cifar_quick", 128),
    "mlp": ("mlp", 128),
    "lstm": ("lstm", 128),
    "gru": ("gru", 128),
    "lstm_long": ("lstm_long", 64),
    "gru_long": ("gru_long", 64),
    "resnet18": ("resnet18", 32),
    "mobile": ("mobile", 64),
    "volumes": ("volumes", 16),
    "transformer": ("transformer", 32),
}
TRAINING = [Workload(name, NETWORKS[network], batch) for name, (network, batch) in BATCHES.items()]

# the networks that people use once they are trained
IN_USE = (
    "alexnet", "lenet", "cifar_quick", "digits", "fashion", "mlp", "lstm", "gru", "resnet18", "char_rnn", "sentiment",
)  # fmt: skip
INFERENCE = [
    Workload(f"{name}_predict{batch}", NETWORKS[name], batch, training=False) for batch in (1, 64) for name in IN_USE
]

STARTED = [Workload("digits", NETWORKS["digits"], 64), TRAINING[0]]
FRESH = [
    *(
        Fresh(f"start_{workload.name}_{'cached' if cached else 'cold'}", workload, cached)
        for workload in STARTED
        for cached in (False, True)
    ),
    Fresh("import"),
]

EVERY: list[Workload | Fresh] = [*TRAINING, *INFERENCE, *FRESH]
GROUPS: dict[str, list[Workload | Fresh]] = {
    "training": list(TRAINING),
    "inference": list(INFERENCE),
    "startup": [one for one in FRESH if one.workload],
}

DTYPES = ("float32", "bfloat16")


def on_gpu(network: str, batches: tuple[int, ...]) -> list[Workload]:
    """Training steps of a network with each of the batches, in each dtype."""
    return [
        Workload(f"{network}{batch}_{dtype}", NETWORKS[network], batch, dtype=dtype)
        for batch in batches
        for dtype in DTYPES
    ]


GPU = on_gpu("alexnet", (128, 512, 1024))
TOYS = on_gpu("alexnet_toy", (4, 8))  # the same on a processor, to see that it runs

# what a contender's process is asked for by name
WORKLOADS = {workload.name: workload for workload in (*TRAINING, *INFERENCE, *STARTED, *GPU, *TOYS)}


def wanted(patterns: str | None) -> list[Workload | Fresh]:
    """The workloads that patterns and names of groups mean, in the order of the list; all of them for None.

    Raises ValueError for a pattern that means none.
    """
    return among(EVERY, patterns, GROUPS)


def among(every: Sequence[One], patterns: str | None, groups: Mapping[str, Sequence[One]]) -> list[One]:
    """Those of a list that patterns and names of groups mean, in its order; all of them for None.

    Raises ValueError for a pattern that means none.
    """
    names: set[str] = set()
    for pattern in split(patterns or "*"):
        found = groups.get(pattern) or [one for one in every if fnmatchcase(one.name, pattern)]
        if not found:
            also = f"; and the groups {', '.join(groups)}" if groups else ""
            raise ValueError(
                f"no workload is called {pattern!r}. There are: {', '.join(one.name for one in every)}{also}."
            )
        names |= {one.name for one in found}
    return [one for one in every if one.name in names]


def split(patterns: str) -> list[str]:
    """Patterns between commas.  Raises ValueError where there is none."""
    found = [part.strip() for part in patterns.split(",") if part.strip()]
    if not found:
        raise ValueError(f"a comma-separated list of names, got {patterns!r}")
    return found
