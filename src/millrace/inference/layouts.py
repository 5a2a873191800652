"""How PyTorch lays out each layer's weights: names, axes, the order of gates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from millrace import layers
from millrace.ir.errors import ArgumentError
from millrace.ir.state import Variable
from millrace.layers import cells, convolution, recurrent
from millrace.layers.base import Layer
from millrace.layers.calls import call_of

Loaded = Iterator[tuple[Variable, np.ndarray]]
_KINDS: list[type[Layout]] = []


class Layout:
    """One layer's weights in PyTorch's form. `needed` are the keys that must be there, `optional` may be."""

    of: ClassVar[tuple[type[Layer], ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _KINDS.append(cls)

    def __init__(self, layer: Any):
        self.layer = layer

    @property
    def kind(self) -> str:
        return type(self.layer).__name__

    @property
    def needed(self) -> list[str]:
        return list(self.export())

    @property
    def optional(self) -> list[str]:
        return []

    @property
    def suffixes(self) -> list[str]:
        return [*self.needed, *self.optional]

    def export(self) -> dict[str, np.ndarray]:
        """The weights as PyTorch has them."""
        raise AssertionError

    def load(self, state: Mapping[str, np.ndarray]) -> Loaded:
        """Each variable with its new value."""
        raise AssertionError


def layout_of(layer: Layer) -> Layout | None:
    """How PyTorch lays out a layer; None for one that only holds others."""
    for kind in _KINDS:
        if kind.of and isinstance(layer, kind.of):
            return kind(layer)
    return None


class _Plain(Layout):
    """One weight, another order of axes, and a bias."""

    kernel = "kernel"

    def out(self, kernel: np.ndarray) -> np.ndarray:
        return kernel

    def back(self, weight: np.ndarray) -> np.ndarray:
        return weight

    def export(self) -> dict[str, np.ndarray]:
        made = {"weight": self.out(getattr(self.layer, self.kernel).numpy())}
        if getattr(self.layer, "bias", None) is not None:
            made["bias"] = self.layer.bias.numpy()
        return made

    def load(self, state: Mapping[str, np.ndarray]) -> Loaded:
        yield getattr(self.layer, self.kernel), self.back(state["weight"])
        if getattr(self.layer, "bias", None) is not None:
            yield self.layer.bias, state["bias"]


class _Dense(_Plain):
    """kernel [D, units] is weight [units, D]; after a Flatten of images, D counts channels first there."""

    of = (layers.Dense,)

    def out(self, kernel: np.ndarray) -> np.ndarray:
        order = _channels_first(self.layer)
        return (kernel if order is None else kernel[order]).T

    def back(self, weight: np.ndarray) -> np.ndarray:
        order = _channels_first(self.layer)
        kernel = weight.T
        return kernel if order is None else kernel[np.argsort(order)]


def _channels_first(layer: Layer) -> np.ndarray | None:
    """For each number of PyTorch's Flatten before this layer, which of ours it is; None where they are the same."""
    shape = _flattened(layer)
    if shape is None:
        return None
    places = np.arange(np.prod(shape)).reshape(shape)
    return np.moveaxis(places, -1, 0).ravel()


def _flattened(layer: Layer) -> tuple[int, ...] | None:
    """The shape [*space, channels] that a Flatten before this layer took apart, or None."""
    value = layer.calls[0].inputs[0] if layer.calls else None
    while value is not None:
        call = call_of(value)
        if call is None:
            return None
        before = call.inputs[0]
        if isinstance(call.layer, layers.Flatten):
            return tuple(before.shape[1:]) if before.ndim > 2 else None
        if before.shape != value.shape:
            return None
        value = before
    return None


class _PReLU(Layout):
    """alpha, one for each channel, is weight [channels]; where PyTorch has a single one, it serves all channels.

    Raises ArgumentError for an alpha of each place, which PyTorch's PReLU does not have.
    """

    of = (layers.PReLU,)

    def export(self) -> dict[str, np.ndarray]:
        alpha = self.layer.alpha.numpy()
        if alpha.size != (alpha.shape or (1,))[-1]:
            raise ArgumentError(
                f"layer {self.layer.name!r} (PReLU) has an alpha for each place, {alpha.shape}; PyTorch's has one "
                "for each channel: shared_axes=(1, 2) makes such a layer."
            )
        order = _channels_first(self.layer)
        return {"weight": alpha.ravel() if order is None else alpha[order]}

    def load(self, state: Mapping[str, np.ndarray]) -> Loaded:
        weight, shape = state["weight"], self.layer.alpha.shape
        order = _channels_first(self.layer)
        if weight.size == 1:
            yield self.layer.alpha, np.full(shape, weight.item(), weight.dtype)
        else:
            yield self.layer.alpha, weight.reshape(shape) if order is None else weight[np.argsort(order)]


class _Neuron(Layout):
    """kernel [D] is weight [1, D]."""

    of = (layers.Neuron,)

    def export(self) -> dict[str, np.ndarray]:
        made = {"weight": self.layer.kernel.numpy()[None]}
        return made if self.layer.bias is None else {**made, "bias": self.layer.bias.numpy()[None]}

    def load(self, state: Mapping[str, np.ndarray]) -> Loaded:
        yield self.layer.kernel, state["weight"][0]
        if self.layer.bias is not None:
            yield self.layer.bias, state["bias"][0]


class _Convolution(_Plain):
    """kernel [*kernel, in, out] is weight [out, in, *kernel]; transposed ones have [in, out, *kernel] there."""

    of = (convolution._Convolution, convolution._Transposed)

    def out(self, kernel: np.ndarray) -> np.ndarray:
        return np.moveaxis(kernel, (-1, -2), (0, 1))

    def back(self, weight: np.ndarray) -> np.ndarray:
        return np.moveaxis(weight, (0, 1), (-1, -2))


class _Separable(Layout):
    """PyTorch has no such layer: a depthwise convolution, then one of 1x1, as `depthwise` and `pointwise`."""

    of = (convolution._Separable,)

    def export(self) -> dict[str, np.ndarray]:
        made = {
            "depthwise.weight": _depthwise_out(self.layer.depthwise_kernel.numpy()),
            "pointwise.weight": np.moveaxis(self.layer.pointwise_kernel.numpy(), (-1, -2), (0, 1)),
        }
        return made if self.layer.bias is None else {**made, "pointwise.bias": self.layer.bias.numpy()}

    def load(self, state: Mapping[str, np.ndarray]) -> Loaded:
        yield self.layer.depthwise_kernel, _depthwise_back(state["depthwise.weight"], self.layer.depthwise_kernel)
        yield self.layer.pointwise_kernel, np.moveaxis(state["pointwise.weight"], (0, 1), (-1, -2))
        if self.layer.bias is not None:
            yield self.layer.bias, state["pointwise.bias"]


def _depthwise_out(kernel: np.ndarray) -> np.ndarray:
    """[*kernel, channels, multiplier] -> [channels * multiplier, 1, *kernel]."""
    flat = kernel.reshape(*kernel.shape[:-2], -1)
    return np.moveaxis(flat, -1, 0)[:, None]


def _depthwise_back(weight: np.ndarray, variable: Variable) -> np.ndarray:
    flat = np.moveaxis(weight[:, 0], 0, -1)
    return flat.reshape(*flat.shape[:-1], *variable.shape[-2:])


class _Depthwise(_Plain):
    """depthwise_kernel [*kernel, channels, multiplier] is a weight of as many groups as channels."""

    of = (convolution._Depthwise,)
    kernel = "depthwise_kernel"

    def out(self, kernel: np.ndarray) -> np.ndarray:
        return _depthwise_out(kernel)

    def back(self, weight: np.ndarray) -> np.ndarray:
        return _depthwise_back(weight, self.layer.depthwise_kernel)


class _Embedding(_Plain):
    """embeddings are weight."""

    of = (layers.Embedding,)
    kernel = "embeddings"


class _Scaled(Layout):
    """gamma and beta are weight and bias."""

    of: ClassVar[tuple[type[Layer], ...]] = (layers.LayerNormalization, layers.GroupNormalization)
    names: ClassVar[dict[str, str]] = {"weight": "gamma", "bias": "beta"}

    def export(self) -> dict[str, np.ndarray]:
        held = {suffix: getattr(self.layer, mine) for suffix, mine in self.names.items()}
        return {suffix: variable.numpy() for suffix, variable in held.items() if variable is not None}

    def load(self, state: Mapping[str, np.ndarray]) -> Loaded:
        for suffix in self.needed:
            yield getattr(self.layer, self.names[suffix]), state[suffix]


class _BatchNormalization(_Scaled):
    """And the running statistics. PyTorch's running variance is divided by n - 1 in training; used alike."""

    of: ClassVar[tuple[type[Layer], ...]] = (layers.BatchNormalization,)
    names: ClassVar[dict[str, str]] = {
        "weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance",
    }  # fmt: skip


class _Recurrent(Layout):
    """kernel [D, gates * units] is weight_ih_l0 [gates * units, D], recurrent_kernel is weight_hh_l0.

    PyTorch has two biases: their sum is ours, but for GRU, which keeps them apart. Its GRU counts the gates
    r, z, n; ours z, r, h. Cells one above the other are layers 0, 1, ...; a backward layer ends in _reverse.
    """

    of = (recurrent.RNN, layers.Bidirectional)

    def parts(self) -> list[tuple[str, Any]]:
        layer = self.layer
        if isinstance(layer, layers.Bidirectional):
            ways = [(layer.forward_layer, ""), (layer.backward_layer, "_reverse")]
        else:
            ways = [(layer, "")]
        found = [(f"_l{n}{end}", cell) for way, end in ways for n, cell in enumerate(way.cells)]
        for _, cell in found:
            known = isinstance(cell, (cells.SimpleRNNCell, cells.LSTMCell, cells.GRUCell))
            if not known or (isinstance(cell, cells.GRUCell) and not cell.reset_after):
                what = "GRU with reset_after=False" if isinstance(cell, cells.GRUCell) else type(cell).__name__
                raise ArgumentError(f"layer {layer.name!r}: PyTorch has no {what}.")
        return found

    def export(self) -> dict[str, np.ndarray]:
        made: dict[str, np.ndarray] = {}
        for end, cell in self.parts():
            made[f"weight_ih{end}"] = _gates(cell, cell.kernel.numpy()).T
            made[f"weight_hh{end}"] = _gates(cell, cell.recurrent_kernel.numpy()).T
            if cell.bias is not None:
                bias = _gates(cell, cell.bias.numpy())
                pair = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
                made[f"bias_ih{end}"], made[f"bias_hh{end}"] = pair
        return made

    def load(self, state: Mapping[str, np.ndarray]) -> Loaded:
        for end, cell in self.parts():
            yield cell.kernel, _gates(cell, state[f"weight_ih{end}"].T)
            yield cell.recurrent_kernel, _gates(cell, state[f"weight_hh{end}"].T)
            if cell.bias is not None:
                first, second = (_gates(cell, state[f"bias_{which}{end}"]) for which in ("ih", "hh"))
                yield cell.bias, np.stack([first, second]) if isinstance(cell, cells.GRUCell) else first + second


def _gates(cell: Any, array: np.ndarray) -> np.ndarray:
    """The last axis in the other order of gates: GRU's first two change places, which is its own inverse."""
    if not isinstance(cell, cells.GRUCell):
        return array
    first, second, third = np.split(array, 3, axis=-1)
    return np.concatenate([second, first, third], axis=-1)


class _MultiHeadAttention(Layout):
    """The kernels of query, key and value are in_proj_weight, one above the other, or apart where D differs."""

    of = (layers.MultiHeadAttention,)

    def _together(self) -> bool:
        sizes = {
            self.layer.query_pair[0].shape[0],
            self.layer.key_pair[0].shape[0],
            self.layer.value_pair[0].shape[0],
        }
        return len(sizes) == 1

    def _check(self) -> None:
        heads, width, out = self.layer.output_pair[0].shape
        size = self.layer.query_pair[0].shape[0]
        if not heads * width == heads * self.layer.key_dim == size == out:
            raise ArgumentError(
                f"layer {self.layer.name!r}: PyTorch's MultiheadAttention needs num_heads * key_dim = {size}, the "
                f"width of the query; here num_heads={heads}, key_dim={self.layer.key_dim}, value_dim={width} and "
                f"output_shape={out}."
            )

    def export(self) -> dict[str, np.ndarray]:
        self._check()
        triple = (self.layer.query_pair, self.layer.key_pair, self.layer.value_pair)
        weights = [kernel.numpy().reshape(kernel.shape[0], -1).T for kernel, _ in triple]
        made = (
            {"in_proj_weight": np.concatenate(weights)}
            if self._together()
            else dict(zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), weights, strict=True))
        )
        kernel, bias = self.layer.output_pair
        made["out_proj.weight"] = kernel.numpy().reshape(-1, kernel.shape[-1]).T
        if bias is not None:
            made["in_proj_bias"] = np.concatenate([b.numpy().ravel() for _, b in triple])
            made["out_proj.bias"] = bias.numpy()
        return made

    def load(self, state: Mapping[str, np.ndarray]) -> Loaded:
        triple = (self.layer.query_pair, self.layer.key_pair, self.layer.value_pair)
        if self._together():
            weights = np.split(state["in_proj_weight"], 3)
        else:
            weights = [state[f"{name}_proj_weight"] for name in "qkv"]
        for (kernel, _), weight in zip(triple, weights, strict=True):
            yield kernel, weight.T.reshape(kernel.shape)
        kernel, bias = self.layer.output_pair
        yield kernel, state["out_proj.weight"].T.reshape(kernel.shape)
        if bias is not None:
            for (_, b), array in zip(triple, np.split(state["in_proj_bias"], 3), strict=True):
                yield b, array.reshape(b.shape)
            yield bias, state["out_proj.bias"]
