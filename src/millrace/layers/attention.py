"""Attention: each target looks at all sources, and takes from those that answer its query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.dims import Dim, same, shape_text
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.types import TensorType
from millrace.layers.arguments import whole
from millrace.layers.calls import common_mask
from millrace.layers.randomness import Randomized, dropped


def causal(targets: Any, sources: Any) -> Value:
    """Which source each target may look at when nobody sees what comes later: bool [targets, sources]."""
    rows = mr.iota((targets, sources), 0)
    columns = mr.iota((targets, sources), 1)
    return mr.less_equal(columns, rows)


class _Attends(Randomized):
    """What attention layers share: masks of targets and sources, and dropout of the weights."""

    dropout: float = 0.0

    def thinned(self, weights: Value) -> Value:
        """The attention weights after dropout."""
        if not self.dropout:
            return weights
        return mr.dropout(weights, self.dropout, *self.draw())

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> Any:
        return masks[0]


class _Scored(_Attends):
    def __init__(
        self, dropout: float = 0.0, seed: int | None = None, **common: Any
    ):  # fmt: skip
        super().__init__(**common)
        self.dropout, self.seed = dropped(dropout, name="dropout"), seed

    def scores(self, query: Value, key: Value) -> Value:
        raise AssertionError("an attention layer defines scores(query, key)")

    def build(self, query: TensorType, value: TensorType, key: TensorType | None = None) -> None:
        for x in (query, value, *([key] if key is not None else [])):
            if x.ndim != 3:
                raise ShapeError(f"{type(self).__name__} takes [batch, steps, D] for query, value and key, got {x}.")
        if not same(query.shape[-1], (value if key is None else key).shape[-1]):
            what = "values" if key is None else "keys"
            raise ShapeError(
                f"{type(self).__name__} compares queries with {what}, so both must have one width D, got {query} and "
                f"{value if key is None else key}. A Dense brings one to the width of the other."
            )
        if self.dropout:
            self.add_random()

    def call(
        self, query: Value, value: Value, key: Value | None = None, mask: Any = None, use_causal_mask: bool = False,
        return_attention_scores: bool = False,
    ) -> Any:  # fmt: skip
        key = value if key is None else key
        masks = list(mask) if isinstance(mask, (list, tuple)) else [mask, None]
        sources = None if len(masks) < 2 or masks[1] is None else mr.expand_dims(masks[1], 1)
        scores = self.scores(query, key)
        later = mr.expand_dims(causal(scores.shape[1], scores.shape[2]), 0) if use_causal_mask else None
        allowed = common_mask([sources, later])
        if allowed is not None:
            allowed = mr.broadcast_to(allowed, scores.shape)
        weights = self.thinned(mr.masked_softmax(scores, allowed))
        out = mr.matmul(weights, value)
        if masks[0] is not None:
            out = mr.where(mr.expand_dims(masks[0], -1), out, mr.zeros_like(out))
        return [out, weights] if return_attention_scores else out


class Attention(_Scored):
    """Each query takes the mean of the values, weighed by how well it meets their keys.

    Attention()(query, value, key=None): query [batch, targets, D], value [batch, sources, V], key [batch,
    sources, D] (value where none is given) -> [batch, targets, V]. score_mode: "dot", query . key, or
    "concat", v * sum tanh(query + key). use_scale: a factor that is learned. use_causal_mask: no target sees
    a later source. Masked sources get no weight; a target with none left gets 0.

    Raises ArgumentError for an unknown score_mode, ShapeError for what is no sequence.
    Source: Keras Attention; Luong et al. 2015.
    """

    def __init__(
        self, use_scale: bool = False, score_mode: str = "dot", dropout: float = 0.0, seed: int | None = None,
        **common: Any,
    ):  # fmt: skip
        super().__init__(dropout, seed, **common)
        if score_mode not in ("dot", "concat"):
            raise ArgumentError(f"score_mode must be 'dot' or 'concat', got {score_mode!r}.")
        self.use_scale, self.score_mode = bool(use_scale), score_mode

    def build(self, query: TensorType, value: TensorType, key: TensorType | None = None) -> None:
        super().build(query, value, key)
        self.scale = self.add_weight("scale", (), "ones") if self.use_scale else None
        self.factor = self.add_weight("concat_score_weight", (), "ones") if self.score_mode == "concat" else None

    def scores(self, query: Value, key: Value) -> Value:
        if self.factor is None:
            scores = mr.matmul(query, mr.swapaxes(key, 1, 2))
            return scores if self.scale is None else scores * self.scale
        met = mr.expand_dims(query, 2) + mr.expand_dims(key, 1)
        return self.factor * mr.sum(mr.tanh(met if self.scale is None else met * self.scale), -1)


class AdditiveAttention(_Scored):
    """Attention whose score is sum of scale * tanh(query + key), with a scale of D numbers that is learned.

    Shapes and arguments as Attention.  Source: Keras AdditiveAttention; Bahdanau et al. 2015.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, seed: int | None = None, **common: Any):
        super().__init__(dropout, seed, **common)
        self.use_scale = bool(use_scale)

    def build(self, query: TensorType, value: TensorType, key: TensorType | None = None) -> None:
        super().build(query, value, key)
        self.scale = self.add_weight("scale", (query.shape[-1],)) if self.use_scale else None

    def scores(self, query: Value, key: Value) -> Value:
        met = mr.tanh(mr.expand_dims(query, 2) + mr.expand_dims(key, 1))
        return mr.sum(met if self.scale is None else met * self.scale, -1)


class MultiHeadAttention(_Attends):
    """Several attentions side by side, each on projections of its own, and their outputs joined.

    MultiHeadAttention(num_heads, key_dim)(query, value, key=None): query [batch, targets, D], value [batch,
    sources, E] -> [batch, targets, output_shape or D]. Each head: softmax(Q K^T / sqrt(key_dim)) V. query and
    key kernels [D, num_heads, key_dim], value kernel [E, num_heads, value_dim], output kernel [num_heads,
    value_dim, out]. attention_mask: bool [batch, targets, sources], true where a target may look.
    use_causal_mask: no target sees a later source. return_attention_scores: the weights too, [batch, heads,
    targets, sources]. Masks of padded steps are kept.

    Raises ArgumentError for a size below 1, ShapeError for what is no sequence.
    Source: Keras MultiHeadAttention; Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(
        self, num_heads: int, key_dim: int, value_dim: int | None = None, dropout: float = 0.0, use_bias: bool = True,
        output_shape: int | None = None, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None, bias_regularizer: Any = None, seed: int | None = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.num_heads, self.key_dim = whole(num_heads, "num_heads"), whole(key_dim, "key_dim")
        self.value_dim = self.key_dim if value_dim is None else whole(value_dim, "value_dim")
        self.output_shape = None if output_shape is None else whole(output_shape, "output_shape")
        self.dropout, self.seed, self.use_bias = dropped(dropout, name="dropout"), seed, bool(use_bias)
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        self.kernel_regularizer, self.bias_regularizer = kernel_regularizer, bias_regularizer

    def build(self, query: TensorType, value: TensorType, key: TensorType | None = None) -> None:
        key = value if key is None else key
        for x in (query, value, key):
            if x.ndim != 3 or isinstance(x.shape[-1], Dim):
                raise ShapeError(f"MultiHeadAttention takes [batch, steps, D] for query, value and key, got {x}.")
        heads, out = self.num_heads, self.output_shape or query.shape[-1]
        self.query_pair = self._pair("query", (query.shape[-1], heads, self.key_dim), (heads, self.key_dim))
        self.key_pair = self._pair("key", (key.shape[-1], heads, self.key_dim), (heads, self.key_dim))
        self.value_pair = self._pair("value", (value.shape[-1], heads, self.value_dim), (heads, self.value_dim))
        self.output_pair = self._pair("attention_output", (heads, self.value_dim, out), (out,))
        if self.dropout:
            self.add_random()

    def _pair(self, name: str, shape: tuple[int, ...], bias: tuple[int, ...]) -> tuple[Any, Any]:
        kernel = self.add_weight(f"{name}_kernel", shape, self.kernel_initializer, regularizer=self.kernel_regularizer)
        if not self.use_bias:
            return kernel, None
        return kernel, self.add_weight(f"{name}_bias", bias, self.bias_initializer, regularizer=self.bias_regularizer)

    def _heads(self, x: Value, pair: tuple[Any, Any]) -> Value:
        """x [batch, steps, D] through a kernel [D, heads, width]: [batch, heads, steps, width]."""
        kernel, bias = (None if v is None else mr.as_value(v) for v in pair)
        assert kernel is not None
        size, heads, width = kernel.shape
        flat = mr.matmul(x, mr.reshape(kernel, (size, heads * width)))
        if bias is not None:
            flat = flat + mr.reshape(bias, (heads * width,))
        return mr.transpose(mr.reshape(flat, (*x.shape[:2], heads, width)), (0, 2, 1, 3))

    def call(
        self, query: Value, value: Value, key: Value | None = None, mask: Any = None,
        attention_mask: Value | None = None, use_causal_mask: bool = False, return_attention_scores: bool = False,
    ) -> Any:  # fmt: skip
        key = value if key is None else key
        q, k, v = (
            self._heads(query, self.query_pair),
            self._heads(key, self.key_pair),
            self._heads(value, self.value_pair),
        )
        allowed = self._allowed(query, value, mask, attention_mask, use_causal_mask)
        weights = mr.attention_weights(q, k, None if allowed is None else mr.expand_dims(allowed, 1))
        mixed = mr.transpose(mr.matmul(self.thinned(weights), v), (0, 2, 1, 3))
        kernel, bias = self.output_pair
        heads, width, out = kernel.shape
        joined = mr.matmul(
            mr.reshape(mixed, (*query.shape[:2], heads * width)), mr.reshape(kernel, (heads * width, out))
        )
        joined = joined if bias is None else joined + bias
        return [joined, weights] if return_attention_scores else joined

    def _allowed(
        self, query: Value, value: Value, mask: Any, attention_mask: Value | None, use_causal_mask: bool
    ) -> Value | None:
        """Where a target may look at a source: bool [batch or 1, targets, sources], None for everywhere."""
        masks = list(mask) if isinstance(mask, (list, tuple)) else [mask, None]
        sources = masks[1] if len(masks) > 1 else None
        shape = (query.shape[0], query.shape[1], value.shape[1])
        given = None
        if attention_mask is not None:
            fits = attention_mask.ndim in (2, 3) and all(
                n == 1 or same(n, size) for n, size in zip(attention_mask.shape[::-1], shape[::-1], strict=False)
            )
            if not fits:
                raise ShapeError(
                    f"attention_mask must be [batch, targets, sources], here {shape_text(shape)}, got "
                    f"{attention_mask.type}."
                )
            given = mr.cast(attention_mask, "bool")
            given = mr.broadcast_to(mr.expand_dims(given, 0) if given.ndim == 2 else given, shape)
        real = None if sources is None else mr.broadcast_to(mr.expand_dims(sources, 1), shape)
        earlier = mr.broadcast_to(causal(*shape[1:]), shape) if use_causal_mask else None
        return common_mask([real, earlier, given])
