"""The networks in plain JAX: dictionaries of weights, and functions of `jax.numpy` and `jax.lax`.

As JAX's own documentation writes them: convolutions [batch, height, width, channels] with `feature_group_count`,
pooling as `reduce_window`, recurrent layers as `scan` with the products of all inputs taken before the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn

Weights = dict[str, Any]

BLOCKS = [(f"block{stage}_{n}", 64 * 2**stage, 2 if stage and not n else 1) for stage in range(4) for n in range(2)]


@dataclass(frozen=True)
class Net:
    """shapes: of each weight. apply(weights, statistics, x, key, training): scores, and new statistics."""

    shapes: dict[str, tuple[int, ...]]
    apply: Callable[..., Any]
    statistics: dict[str, tuple[int, ...]]

    def start(self, seed: int = 0) -> tuple[Weights, Weights]:
        """First weights, and first running statistics of normalization."""
        random = np.random.default_rng(seed)
        weights = {name: jnp.asarray(first(name, shape, random)) for name, shape in self.shapes.items()}
        return weights, {name: jnp.full(shape, float("var" in name)) for name, shape in self.statistics.items()}


def first(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Glorot and Bengio's uniform kernels, scales of 1, other vectors of 0."""
    if name.endswith(("bias", "offset")):
        return np.zeros(shape, np.float32)
    if name.endswith("scale"):
        return np.ones(shape, np.float32)
    window = int(np.prod(shape[:-2]))
    limit = (6 / (window * (shape[-2] + shape[-1]))) ** 0.5
    return random.uniform(-limit, limit, shape).astype(np.float32)


def shapes_of(**kernels: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The kernels, each with its bias."""
    made: dict[str, tuple[int, ...]] = {}
    for name, shape in kernels.items():
        made |= {name: shape, f"{name}_bias": shape[-1:]}
    return made


def conv(x: Any, kernel: Any, stride: int = 1, padding: Any = "SAME", groups: int = 1) -> Any:
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


def max_pool(x: Any, window: int, stride: int, padding: Any = "VALID") -> Any:
    if not isinstance(padding, str):
        padding = ((0, 0), *padding, (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), padding)


def mean_pool(x: Any, window: int, stride: int, padding: str = "VALID") -> Any:
    """Means of windows; where windows hang over the edge, of what they have inside."""

    def total(y: Any) -> Any:
        return lax.reduce_window(y, 0.0, lax.add, (1, window, window, 1), (1, stride, stride, 1), padding)

    return total(x) / (total(jnp.ones((1, *x.shape[1:3], 1))) if padding == "SAME" else window * window)


def response_normalization(x: Any) -> Any:
    """Krizhevsky et al. 2012, section 3.3: over 5 neighbouring channels."""
    total = lax.reduce_window(x * x, 0.0, lax.add, (1, 1, 1, 5), (1, 1, 1, 1), "SAME")
    return x / (2.0 + 1e-4 * total) ** 0.75


def dropout(x: Any, key: Any, training: bool, rate: float = 0.5) -> Any:
    if not training:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0.0)


def flat(x: Any) -> Any:
    return x.reshape(x.shape[0], -1)


def alexnet(classes: int, width: float = 1.0) -> Net:
    k1, k2, k3, units = (int(n * width) for n in (96, 256, 384, 4096))
    shapes = shapes_of(
        conv1=(11, 11, 3, k1), conv2=(5, 5, k1 // 2, k2), conv3=(3, 3, k2, k3), conv4=(3, 3, k3 // 2, k3),
        conv5=(3, 3, k3 // 2, k2), fc6=(36 * k2, units), fc7=(units, units), fc8=(units, classes),
    )  # fmt: skip

    def apply(w: Weights, statistics: Weights, x: Any, key: Any, training: bool) -> Any:
        key6, key7 = jax.random.split(key)
        x = nn.relu(conv(x, w["conv1"], 4, "VALID") + w["conv1_bias"])
        x = max_pool(response_normalization(x), 3, 2)
        x = nn.relu(conv(x, w["conv2"], groups=2) + w["conv2_bias"])
        x = max_pool(response_normalization(x), 3, 2)
        x = nn.relu(conv(x, w["conv3"]) + w["conv3_bias"])
        x = nn.relu(conv(x, w["conv4"], groups=2) + w["conv4_bias"])
        x = flat(max_pool(nn.relu(conv(x, w["conv5"], groups=2) + w["conv5_bias"]), 3, 2))
        x = dropout(nn.relu(x @ w["fc6"] + w["fc6_bias"]), key6, training)
        x = dropout(nn.relu(x @ w["fc7"] + w["fc7_bias"]), key7, training)
        return x @ w["fc8"] + w["fc8_bias"], statistics

    return Net(shapes, apply, {})


def lenet() -> Net:
    shapes = shapes_of(c1=(5, 5, 1, 6), c3=(5, 5, 6, 16), c5=(400, 120), f6=(120, 84), out=(84, 10))

    def apply(w: Weights, statistics: Weights, x: Any, key: Any, training: bool) -> Any:
        x = mean_pool(jnp.tanh(conv(x, w["c1"]) + w["c1_bias"]), 2, 2)
        x = mean_pool(jnp.tanh(conv(x, w["c3"], padding="VALID") + w["c3_bias"]), 2, 2)
        x = jnp.tanh(flat(x) @ w["c5"] + w["c5_bias"])
        x = jnp.tanh(x @ w["f6"] + w["f6_bias"])
        return x @ w["out"] + w["out_bias"], statistics

    return Net(shapes, apply, {})


def cifar_quick() -> Net:
    shapes = shapes_of(conv1=(5, 5, 3, 32), conv2=(5, 5, 32, 32), conv3=(5, 5, 32, 64), out=(1024, 10))

    def apply(w: Weights, statistics: Weights, x: Any, key: Any, training: bool) -> Any:
        x = nn.relu(max_pool(conv(x, w["conv1"]) + w["conv1_bias"], 3, 2, "SAME"))
        x = mean_pool(nn.relu(conv(x, w["conv2"]) + w["conv2_bias"]), 3, 2, "SAME")
        x = mean_pool(nn.relu(conv(x, w["conv3"]) + w["conv3_bias"]), 3, 2, "SAME")
        return flat(x) @ w["out"] + w["out_bias"], statistics

    return Net(shapes, apply, {})


def digits() -> Net:
    shapes = shapes_of(conv1=(3, 3, 1, 32), conv2=(3, 3, 32, 64), dense1=(1024, 128), dense2=(128, 10))

    def apply(w: Weights, statistics: Weights, x: Any, key: Any, training: bool) -> Any:
        key1, key2 = jax.random.split(key)
        x = nn.relu(conv(x, w["conv1"]) + w["conv1_bias"])
        x = max_pool(nn.relu(conv(x, w["conv2"]) + w["conv2_bias"]), 2, 2)
        x = nn.relu(flat(dropout(x, key1, training, 0.25)) @ w["dense1"] + w["dense1_bias"])
        return dropout(x, key2, training) @ w["dense2"] + w["dense2_bias"], statistics

    return Net(shapes, apply, {})


def mlp() -> Net:
    shapes = shapes_of(dense1=(784, 512), dense2=(512, 512), dense3=(512, 10))

    def apply(w: Weights, statistics: Weights, x: Any, key: Any, training: bool) -> Any:
        x = nn.relu(x @ w["dense1"] + w["dense1_bias"])
        x = nn.relu(x @ w["dense2"] + w["dense2_bias"])
        return x @ w["dense3"] + w["dense3_bias"], statistics

    return Net(shapes, apply, {})


def lstm(width: int, units: int, classes: int) -> Net:
    """One bias: plain JAX has no reason for two."""
    shapes = shapes_of(kernel=(width, 4 * units), out=(units, classes)) | {"recurrent": (units, 4 * units)}

    def apply(w: Weights, statistics: Weights, x: Any, key: Any, training: bool) -> Any:
        def step(state: Any, given: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(given + h @ w["recurrent"], 4, axis=-1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
            return (nn.sigmoid(o) * jnp.tanh(c), c), None

        zero = jnp.zeros((x.shape[0], units))
        (h, _), _ = lax.scan(step, (zero, zero), jnp.swapaxes(x, 0, 1) @ w["kernel"] + w["kernel_bias"])
        return h @ w["out"] + w["out_bias"], statistics

    return Net(shapes, apply, {})


def gru(width: int, units: int, classes: int) -> Net:
    """With two biases, as PyTorch and Keras have it: r meets the state after its product."""
    shapes = shapes_of(kernel=(width, 3 * units), recurrent=(units, 3 * units), out=(units, classes))

    def apply(w: Weights, statistics: Weights, x: Any, key: Any, training: bool) -> Any:
        def step(h: Any, given: Any) -> Any:
            xz, xr, xh = jnp.split(given, 3, axis=-1)
            hz, hr, hh = jnp.split(h @ w["recurrent"] + w["recurrent_bias"], 3, axis=-1)
            z, r = nn.sigmoid(xz + hz), nn.sigmoid(xr + hr)
            return z * h + (1 - z) * jnp.tanh(xh + r * hh), None

        zero = jnp.zeros((x.shape[0], units))
        h, _ = lax.scan(step, zero, jnp.swapaxes(x, 0, 1) @ w["kernel"] + w["kernel_bias"])
        return h @ w["out"] + w["out_bias"], statistics

    return Net(shapes, apply, {})


def resnet18(classes: int) -> Net:
    kernels: dict[str, tuple[int, ...]] = {"first": (7, 7, 3, 64)}
    channels = 64
    for name, filters, stride in BLOCKS:
        kernels |= {f"{name}_a": (3, 3, channels, filters), f"{name}_b": (3, 3, filters, filters)}
        if stride > 1:
            kernels[f"{name}_c"] = (1, 1, channels, filters)
        channels = filters
    shapes = shapes_of(out=(512, classes))
    statistics: dict[str, tuple[int, ...]] = {}
    for name, shape in kernels.items():
        shapes |= {name: shape, f"{name}_scale": shape[-1:], f"{name}_offset": shape[-1:]}
        statistics |= {f"{name}_mean": shape[-1:], f"{name}_var": shape[-1:]}

    def apply(w: Weights, statistics: Weights, x: Any, key: Any, training: bool) -> Any:
        kept = dict(statistics)

        def normalized(x: Any, name: str) -> Any:
            mean, var = statistics[f"{name}_mean"], statistics[f"{name}_var"]
            if training:
                mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
                for what, now in (("mean", mean), ("var", var)):
                    kept[f"{name}_{what}"] = 0.9 * statistics[f"{name}_{what}"] + 0.1 * now
            return (x - mean) * lax.rsqrt(var + 1e-5) * w[f"{name}_scale"] + w[f"{name}_offset"]

        def layer(x: Any, name: str, stride: int, padding: int) -> Any:
            return normalized(conv(x, w[name], stride, ((padding, padding),) * 2), name)

        x = max_pool(nn.relu(layer(x, "first", 2, 3)), 3, 2, ((1, 1), (1, 1)))
        for name, _, stride in BLOCKS:
            inner = layer(nn.relu(layer(x, f"{name}_a", stride, 1)), f"{name}_b", 1, 1)
            x = nn.relu(inner + (layer(x, f"{name}_c", stride, 0) if stride > 1 else x))
        return x.mean((1, 2)) @ w["out"] + w["out_bias"], kept

    return Net(shapes, apply, statistics)


def network(chosen: Any) -> Net:
    """The network of a workload: examples to scores [batch, classes]."""
    units = 256 if chosen.name.endswith("_long") else 128
    match chosen.name.removesuffix("_long"):
        case "alexnet" | "alexnet_toy":
            return alexnet(chosen.classes, chosen.width)
        case "resnet18":
            return resnet18(chosen.classes)
        case "lstm":
            return lstm(chosen.shape[-1], units, chosen.classes)
        case "gru":
            return gru(chosen.shape[-1], units, chosen.classes)
        case name:
            return {"lenet": lenet, "cifar_quick": cifar_quick, "digits": digits, "mlp": mlp}[name]()
