"""Recurrent cells: what one step of a sequence does with the state of the step before.

A cell of one's own is a layer with `state_size` and `call(x, states)`, which returns the output and the new
states; `RNN(cell)` runs it over a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.dims import Dim
from millrace.ir.errors import ShapeError
from millrace.ir.types import TensorType
from millrace.layers.activations import activation
from millrace.layers.arguments import whole
from millrace.layers.base import Layer
from millrace.layers.initializers import initializer

_activation = activation
States = Sequence[Value]


class Cell(Layer):
    """Base of cells that work out beforehand, for all steps at once, what needs no state.

    `project(x)` [..., D] -> [..., P] is that part; `step(p, states)` is the rest, given one step of it.
    recurrent_mask: dropout's mask for the state, where there is one.
    """

    state_size: Any
    recurrent_mask: Value | None = None

    def project(self, x: Value) -> Value:
        return x

    def step(self, p: Value, states: States) -> tuple[Value, States]:
        raise AssertionError("a cell defines step(p, states)")

    def call(self, x: Value, states: Any) -> Any:
        out, new = self.step(self.project(x), states)
        return out, list(new)


class _Gated(Cell):
    """Cells with one kernel for the input and one for the state, `gates` times `units` wide."""

    gates: ClassVar[int] = 1

    def __init__(
        self, units: int, activation: Any = "tanh", use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.units, self.use_bias = whole(units, "units"), bool(use_bias)
        self.activation = _activation(activation)
        self.kernel_initializer, self.recurrent_initializer = kernel_initializer, recurrent_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer, self.recurrent_regularizer = kernel_regularizer, recurrent_regularizer
        self.bias_regularizer = bias_regularizer

    @property
    def state_size(self) -> Any:
        return self.units

    def build(self, x: TensorType, *states: Any) -> None:
        if isinstance(x.shape[-1], Dim):
            raise ShapeError(f"a recurrent layer takes [batch, steps, D] with a known D, got {x}.")
        width = self.gates * self.units
        self.kernel = self.add_weight(
            "kernel", (x.shape[-1], width), self.kernel_initializer, regularizer=self.kernel_regularizer
        )
        self.recurrent_kernel = self.add_weight(
            "recurrent_kernel", (self.units, width), self.recurrent_initializer, regularizer=self.recurrent_regularizer
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias", self.bias_shape(width), self.first_bias, regularizer=self.bias_regularizer
            )

    def bias_shape(self, width: int) -> tuple[int, ...]:
        return (width,)

    @property
    def first_bias(self) -> Any:
        return self.bias_initializer

    def project(self, x: Value) -> Value:
        out = mr.matmul(x, self.kernel)
        return out if self.bias is None else out + self.bias

    def recur(self, h: Value, kernel: Any = None) -> Value:
        """The state through the recurrent kernel, after dropout of the state."""
        h = h if self.recurrent_mask is None else h * self.recurrent_mask
        return mr.matmul(h, self.recurrent_kernel if kernel is None else kernel)

    def parts(self, z: Value) -> list[Value]:
        """z cut into its gates."""
        return mr.split(z, self.gates, -1)


class SimpleRNNCell(_Gated):
    """One step of Elman's network: h' = activation(x @ kernel + h @ recurrent_kernel + bias).

    x [batch, D], state h [batch, units]. Source: Keras SimpleRNNCell; Elman 1990.
    """

    def step(self, p: Value, states: States) -> tuple[Value, States]:
        h = self.activation(p + self.recur(states[0]))
        return h, [h]


class LSTMCell(_Gated):
    """One step of long short-term memory: gates decide what the cell c forgets, takes in and shows.

    i, f, o = sigmoid(...), c' = f * c + i * tanh(...), h' = o * tanh(c'). x [batch, D], states h and c [batch,
    units]; kernel [D, 4 * units] in the order i, f, c, o. unit_forget_bias: the forget gate starts at bias 1,
    so that at first little is forgotten.
    Source: Keras LSTMCell; Hochreiter and Schmidhuber 1997; Gers et al. 2000 (the forget gate).
    """

    gates = 4

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        unit_forget_bias: bool = True, **more: Any,
    ):  # fmt: skip
        super().__init__(units, activation, use_bias, **more)
        self.recurrent_activation = _activation(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)

    @property
    def state_size(self) -> Any:
        return [self.units, self.units]

    @property
    def first_bias(self) -> Any:
        if not self.unit_forget_bias:
            return self.bias_initializer
        first = initializer(self.bias_initializer)

        def with_open_gate(shape: tuple[int, ...], stream: str, dtype: str = "float32") -> np.ndarray:
            made = np.array(first(shape, stream, dtype))
            made[self.units : 2 * self.units] = 1
            return made

        return with_open_gate

    def step(self, p: Value, states: States) -> tuple[Value, States]:
        h, c = states
        i, f, g, o = self.parts(p + self.recur(h))
        gate = self.recurrent_activation
        c = gate(f) * c + gate(i) * self.activation(g)
        h = gate(o) * self.activation(c)
        return h, [h, c]


class GRUCell(_Gated):
    """One step of a gated recurrent unit: z keeps the old state, r decides what of it the new one sees.

    z, r = sigmoid(...), n = tanh(x part + r * (state part)), h' = z * h + (1 - z) * n. x [batch, D], state h
    [batch, units]; kernel [D, 3 * units] in the order z, r, h. reset_after: r meets the state after its
    product, and the bias is [2, 3 * units] (as cuDNN and PyTorch have it); otherwise before, and [3 * units].
    Source: Keras GRUCell; Cho et al. 2014.
    """

    gates = 3

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        reset_after: bool = True, **more: Any,
    ):  # fmt: skip
        super().__init__(units, activation, use_bias, **more)
        self.recurrent_activation, self.reset_after = _activation(recurrent_activation), bool(reset_after)

    def bias_shape(self, width: int) -> tuple[int, ...]:
        return (2, width) if self.reset_after else (width,)

    def project(self, x: Value) -> Value:
        out = mr.matmul(x, self.kernel)
        if self.bias is None:
            return out
        return out + (mr.as_value(self.bias)[0] if self.reset_after else self.bias)

    def step(self, p: Value, states: States) -> tuple[Value, States]:
        h = states[0]
        xz, xr, xn = self.parts(p)
        gate = self.recurrent_activation
        if self.reset_after:
            inner = self.recur(h)
            hz, hr, hn = self.parts(inner if self.bias is None else inner + mr.as_value(self.bias)[1])
            z, r = gate(xz + hz), gate(xr + hr)
            n = self.activation(xn + r * hn)
        else:
            kernel = mr.as_value(self.recurrent_kernel)
            both = self.recur(h, kernel[:, : 2 * self.units])
            hz, hr = mr.split(both, 2, -1)
            z, r = gate(xz + hz), gate(xr + hr)
            n = self.activation(xn + self.recur(r * h, kernel[:, 2 * self.units :]))
        h = z * h + (1.0 - z) * n
        return h, [h]
