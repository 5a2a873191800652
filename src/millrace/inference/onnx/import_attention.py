"""ONNX's Attention and RotaryEmbedding, whose sizes, but those of heads, may be open."""

from __future__ import annotations

import math
from typing import Any

from millrace.inference.onnx.import_elementwise import wide
from millrace.inference.onnx.tensors import dtype_asked
from millrace.inference.onnx.translating import Call, translates
from millrace.ir.core import Value


@translates("Attention")
def attention(mr: Any, call: Call) -> tuple[Value, Value, Value, Value]:
    """softmax(Q K^T * scale) V for each head, the keys and values with those of the past, and Q K^T.

    Q, K, V [batch, heads, steps, size], or [batch, steps, heads * size]. Several heads of Q may share one of K and V.
    A query that may look nowhere gets zeros.
    Source: ONNX Attention-23 to 25; Vaswani et al. 2017.
    """
    three = call.value(0).ndim == 3
    q = _heads(mr, call, 0, "q_num_heads")
    key, value = (_heads(mr, call, n, "kv_num_heads") for n in (1, 2))
    if call.has(4) or call.has(5):
        key, value = (mr.concatenate([call.value(n), x], 2) for n, x in ((4, key), (5, value)))
    scale = float(call.attribute("scale") or 1 / math.sqrt(q.shape[-1]))
    k, v = (_shared(mr, call, x, q.shape[1]) for x in (key, value))
    root = math.sqrt(scale)  # half of it to each side, so that 16 bits do not overflow
    raw = mr.matmul(mr.multiply(q, root), mr.swapaxes(mr.multiply(k, root), -1, -2))
    cap = float(call.attribute("softcap", 0.0))
    capped = mr.multiply(cap, mr.tanh(mr.multiply(raw, 1 / cap))) if cap else raw
    allowed, bias = _masks(mr, call, q, k)
    biased = capped if bias is None else mr.add(capped, bias)
    weights = _weights(mr, call, biased, allowed)
    made = mr.matmul(weights, v)
    if three:
        made = mr.swapaxes(made, 1, 2)
        made = mr.reshape(made, (*made.shape[:2], made.shape[2] * made.shape[3]))
    return made, key, value, _shown(mr, call, raw, capped, biased, allowed, weights)


def _heads(mr: Any, call: Call, index: int, attribute: str) -> Value:
    """An input as [batch, heads, steps, size]."""
    x = call.value(index)
    if x.ndim == 4:
        return x
    heads, size = int(call.attribute(attribute, 0)), x.shape[-1]
    if x.ndim != 3 or heads < 1 or not isinstance(size, int) or size % heads:
        raise call.refused(f"{attribute}={heads} does not fit its input {index}, {x.type}")
    return mr.swapaxes(mr.reshape(x, (*x.shape[:2], heads, size // heads)), 1, 2)


def _shared(mr: Any, call: Call, x: Value, heads: Any) -> Value:
    """Keys or values with each head repeated for the heads of Q that share it."""
    own = x.shape[1]
    if own == heads:
        return x
    if not isinstance(own, int) or not isinstance(heads, int) or heads % own:
        raise call.refused(f"its {heads} heads of Q cannot share {own} of {x.type}")
    times = heads // own
    spread = mr.broadcast_to(mr.expand_dims(x, 2), (*x.shape[:2], times, *x.shape[2:]))
    return mr.reshape(spread, (x.shape[0], heads, *x.shape[2:]))


def _masks(mr: Any, call: Call, q: Value, k: Value) -> tuple[Value | None, Value | None]:
    """Where a query may look (None: everywhere), and what is added to its scores (None: nothing)."""
    allowed: Value | None = None
    bias: Value | None = None
    if call.has(3):
        mask = _completed(mr, call, call.value(3), k.shape[2])
        if mask.dtype == "bool":
            allowed = mask
        else:
            allowed = mr.greater(mask, -math.inf)
            bias = mr.where(allowed, mask, 0.0)

    def also(more: Value) -> None:
        nonlocal allowed
        allowed = more if allowed is None else mr.logical_and(allowed, more)

    here = mr.iota((1, k.shape[2]), 1)
    query = mr.iota((q.shape[2], 1), 0)
    if call.has(6):
        valid = mr.reshape(mr.cast(call.value(6), "int32"), (-1, 1, 1, 1))
        also(mr.less(here, valid))
        query = mr.add(query, mr.subtract(valid, q.shape[2]))
    elif call.has(4):
        query = mr.add(query, call.value(4).shape[2])
    if call.attribute("is_causal", 0):
        also(mr.less_equal(here, query))
    left, right = (int(call.attribute(f"{side}_window_size", -1)) for side in ("left", "right"))
    if left >= 0:
        also(mr.greater_equal(here, mr.subtract(query, left)))
    if right >= 0:
        also(mr.less_equal(here, mr.add(query, right)))
    return allowed, bias


def _completed(mr: Any, call: Call, mask: Value, total: Any) -> Value:
    """A mask that is shorter than the keys, with nothing allowed behind its end."""
    size = mask.shape[-1]
    if size == total:
        return mask
    if not isinstance(size, int) or not isinstance(total, int) or size > total:
        raise call.refused(f"its mask {mask.type} does not fit {total} keys")
    shape = (*mask.shape[:-1], total - size)
    return mr.concatenate([mask, mr.full(shape, False if mask.dtype == "bool" else -math.inf, mask.dtype)], -1)


def _weights(mr: Any, call: Call, scores: Value, allowed: Value | None) -> Value:
    """softmax over the keys; in float32 for scores of 16 bits, where softmax_precision does not say otherwise."""
    inner = mr.cast(scores, dtype_asked(call, "softmax_precision", wide(mr, scores).dtype))
    return mr.cast(mr.masked_softmax(inner, allowed), scores.dtype)


def _shown(
    mr: Any, call: Call, raw: Value, capped: Value, biased: Value, allowed: Value | None, weights: Value
) -> Value:
    """The output qk_matmul_output, by qk_matmul_output_mode."""
    mode = int(call.attribute("qk_matmul_output_mode", 0))
    if mode not in range(4):
        raise call.refused(f"qk_matmul_output_mode={mode} is none of 0 to 3")
    if mode == 2 and allowed is not None:
        return mr.where(mr.broadcast_to(allowed, biased.shape), biased, -math.inf)
    return (raw, capped, biased, weights)[mode]


@translates("RotaryEmbedding")
def rotary_embedding(mr: Any, call: Call) -> Value:
    """Pairs of each head's numbers turned by an angle for each position: cos_cache and sin_cache hold its two sides.

    X [batch, heads, steps, size] or [batch, steps, heads * size]; the caches [positions, turned / 2] with position_ids
    [batch, steps], or [batch, steps, turned / 2].  Source: Su et al. 2021, section 3.2.2.
    """
    x = call.value(0)
    heads = _heads(mr, call, 0, "num_heads")
    turned, size = int(call.attribute("rotary_embedding_dim", 0)) or heads.shape[-1], heads.shape[-1]
    if not isinstance(size, int) or turned % 2 or turned > size:
        raise call.refused(f"rotary_embedding_dim={turned} has to be even and at most the size of a head of {x.type}")
    cos, sin = (_at_positions(mr, call, n) for n in (1, 2))
    pairs, half = mr.slice_axis(heads, 3, 0, turned), turned // 2
    together = bool(call.attribute("interleaved", 0))
    first, second = _evens_and_odds(mr, pairs) if together else mr.split(pairs, 2, 3)
    parts = [
        mr.subtract(mr.multiply(cos, first), mr.multiply(sin, second)),
        mr.add(mr.multiply(sin, first), mr.multiply(cos, second)),
    ]
    made = mr.reshape(mr.stack(parts, -1), (*heads.shape[:3], 2 * half)) if together else mr.concatenate(parts, 3)
    if turned < size:
        made = mr.concatenate([made, mr.slice_axis(heads, 3, turned, size)], 3)
    return made if x.ndim == 4 else mr.reshape(mr.swapaxes(made, 1, 2), x.shape)


def _evens_and_odds(mr: Any, x: Value) -> tuple[Value, Value]:
    count = x.shape[3]
    return mr.slice_axis(x, 3, 0, count, 2), mr.slice_axis(x, 3, 1, count, 2)


def _at_positions(mr: Any, call: Call, index: int) -> Value:
    """A cache at each step's position, shaped to meet [batch, heads, steps, turned / 2]."""
    cache = call.value(index)
    return mr.expand_dims(mr.take(cache, call.value(3)) if call.has(3) else cache, 1)
