"""Layers about sequences: words as vectors, padding that is marked, a layer applied to each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, DTypeError, ShapeError
from millrace.ir.types import TensorType
from millrace.layers.arguments import whole
from millrace.layers.base import Layer
from millrace.layers.calls import limit_numbers


class Embedding(Layer):
    """Each whole number becomes a vector that is learned: numbers [batch, ...] to [batch, ..., output_dim].

    embeddings [input_dim, output_dim]: row n is the vector of number n, 0 to input_dim - 1. mask_zero: 0
    stands for padding, and later layers leave such steps out; otherwise a mask of the input is handed on.
    Numbers outside the table, and fractions, are refused by fit, evaluate and predict; elsewhere they take the
    nearest row.

    Raises ArgumentError for a size below 1, DTypeError for an input that holds no numbers.
    Source: Keras Embedding; Bengio et al. 2003, section 2.
    """

    def __init__(
        self, input_dim: int, output_dim: int, embeddings_initializer: Any = "random_uniform", mask_zero: bool = False,
        embeddings_regularizer: Any = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.input_dim, self.output_dim = whole(input_dim, "input_dim"), whole(output_dim, "output_dim")
        self.embeddings_initializer, self.embeddings_regularizer = embeddings_initializer, embeddings_regularizer
        self.mask_zero = bool(mask_zero)

    def build(self, x: TensorType) -> None:
        self.embeddings = self.add_weight(
            "embeddings", (self.input_dim, self.output_dim), self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
        )  # fmt: skip

    def call(self, x: Value) -> Value:
        limit_numbers(x, self.input_dim, self.name)
        if x.type.is_float:  # a model's input is float32 unless told otherwise: whole numbers up to 2^24 are exact
            x = mr.cast(x, "int32")
        if not x.type.is_integer:
            raise DTypeError(f"Embedding takes whole numbers, got {x.type}: give the Input dtype='int32'.")
        return mr.take(self.embeddings, x)

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> Value | None:
        return mr.not_equal(inputs[0], mr.zeros_like(inputs[0])) if self.mask_zero else masks[0]


class Masking(Layer):
    """Steps that hold `mask_value` everywhere count as padding from here on: [batch, steps, features].

    Their numbers become 0; layers that know masks leave them out.  Source: Keras Masking.
    """

    def __init__(self, mask_value: float = 0.0, **common: Any):
        super().__init__(**common)
        if isinstance(mask_value, bool) or not isinstance(mask_value, (int, float)):
            raise ArgumentError(f"mask_value must be a number, got {mask_value!r}.")
        self.mask_value = float(mask_value)

    def real(self, x: Value) -> Value:
        if x.ndim < 3:
            raise ShapeError(f"Masking takes [batch, steps, features], got {x.type}.")
        return mr.any(mr.not_equal(x, self.mask_value), axis=range(2, x.ndim))

    def call(self, x: Value) -> Value:
        real = mr.reshape(self.real(x), (*x.shape[:2], *(1,) * (x.ndim - 2)))
        return mr.where(real, x, mr.zeros_like(x))

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> Value | None:
        return self.real(inputs[0])


class TimeDistributed(Layer):
    """A layer applied to each step apart: [batch, steps, ...] to [batch, steps, ...], the weights shared.

    Raises ArgumentError for what is no layer.  Source: Keras TimeDistributed.
    """

    supports_masking = True

    def __init__(self, layer: Layer, **common: Any):
        super().__init__(**common)
        if not isinstance(layer, Layer):
            raise ArgumentError(f"TimeDistributed: layer must be a layer such as Dense(8), got {layer!r}.")
        self.layer = layer

    def call(self, x: Value) -> Value:
        if x.ndim < 3:
            raise ShapeError(f"TimeDistributed takes [batch, steps, ...], got {x.type}.")
        batch, steps, *rest = x.shape
        out = self.layer(mr.reshape(x, (batch * steps, *rest)))
        return mr.reshape(out, (batch, steps, *out.shape[1:]))
