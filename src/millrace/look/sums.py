"""What a layer's number is made of: windows and kernels, weighted sums, shares; as JSON of real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.explain.activations import LayerCall
from millrace.ir.errors import ArgumentError
from millrace.layers.convolution import Conv2D
from millrace.layers.core import Activation, Dense, Flatten, Neuron
from millrace.layers.heads import Softmax
from millrace.layers.pooling import AveragePooling2D, MaxPooling2D, Pooling
from millrace.look.drawn import activation_of, drawn, packed
from millrace.look.looking import Edit, Looking
from millrace.look.meanings import pads_of

TERMS, SHARES = 12, 10  # of a weighted sum, and of a softmax: so many are listed, the largest
SENT = 4_000_000  # numbers of a layer's input that are sent for its window to move over


def panel_of(call: LayerCall) -> str:
    """Which panel shows a call's numbers: "convolution", "pooling", "dense", "softmax" or "other"."""
    layer = call.layer
    if isinstance(layer, Conv2D) and len(call.given) == 1 and call.given[0].ndim == 3:
        return "convolution" if call.given[0].size <= SENT else "other"
    if isinstance(layer, (MaxPooling2D, AveragePooling2D, Pooling)) and call.output.ndim == 3:
        return "pooling"
    if isinstance(layer, (Dense, Neuron)) and 1 <= call.given[0].ndim <= 2:
        return "dense"
    if isinstance(layer, Softmax) or (isinstance(layer, Activation) and activation_of(layer) == "softmax"):
        return "softmax" if call.output.ndim <= 2 else "other"
    return "other"


def convolution(looking: Looking, name: str, number: int, edits: list[Edit]) -> dict[str, Any]:
    """All that is needed to move one kernel of a Conv2D over its input: numbers of both, and how it moves.

    input [height, width, channels] are the channels that the kernel sees: with groups those of its own group, from
    `first` on. kernel [height, width, channels] is as edits say, `original` as the model has it.
    """
    call = looking.call(name, edits)
    layer: Any = call.layer
    number = checked(number, call.output.shape[-1], "map")
    x = call.given[0]
    kernel = looking.weight(layer.name, edits)
    channels = kernel.shape[2]
    first = number // (kernel.shape[3] // layer.groups) * channels
    return {
        "map": number,
        "maps": call.output.shape[-1],
        "first": first,
        "groups": layer.groups,
        "input": packed(x[:, :, first : first + channels]),
        "size": [*x.shape[:2], channels],
        "kernel": packed(kernel[..., number]),
        "original": packed(looking.weight(layer.name)[..., number]),
        "window": list(layer.kernel_size),
        "strides": list(layer.strides),
        "pads": [list(pair) for pair in pads_of(layer)],
        "dilation": list(layer.dilation_rate),
        "bias": None if layer.bias is None else float(layer.bias.numpy()[number]),
        "activation": activation_of(layer),
        "output": packed(call.output[:, :, number]),
        "before": packed(looking.call(name).output[:, :, number]),
        "out": list(call.output.shape[:2]),
    }


def pooling(looking: Looking, name: str, number: int, edits: list[Edit]) -> dict[str, Any]:
    """All that is needed to move the window of a pooling layer over one map."""
    call = looking.call(name, edits)
    layer: Any = call.layer
    number = checked(number, call.output.shape[-1], "map")
    return {
        "map": number,
        "maps": call.output.shape[-1],
        "input": packed(call.given[0][:, :, number]),
        "size": [*call.given[0].shape[:2], 1],
        "window": list(layer.pool_size),
        "strides": list(layer.strides),
        "pads": [list(pair) for pair in pads_of(layer)],
        "kind": layer.kind,
        "output": packed(call.output[:, :, number]),
        "out": list(call.output.shape[:2]),
    }


def dense(looking: Looking, name: str, unit: int, step: int, edits: list[Edit]) -> dict[str, Any]:
    """One unit of a Dense or Neuron layer: its largest products of input and weight, the rest, bias, and result.

    Where its activation is softmax, also what the shares of all classes are made of. step: of a sequence.
    """
    call = looking.call(name, edits)
    layer: Any = call.layer
    x, single = call.given[0].astype(np.float64), isinstance(layer, Neuron)
    kernel = looking.weight(layer.name, edits)
    units = 1 if single else kernel.shape[-1]
    unit = checked(unit, units, "unit")
    steps = len(x) if x.ndim == 2 else 0
    if steps:
        step = checked(step % steps, steps, "step")
        x = x[step]
    weights = (kernel if single else kernel[:, unit]).astype(np.float64)
    original = looking.weight(layer.name)
    original = original if single else original[:, unit]
    products = x * weights
    bias = None if layer.bias is None else float(layer.bias.numpy() if single else layer.bias.numpy()[unit])
    # those that an edit has made 0 stay in sight
    order = np.argsort(-np.maximum(np.abs(products), np.abs(x * original)), kind="stable")[:TERMS]
    made = call.output[step] if steps else call.output
    answer: dict[str, Any] = {
        "unit": unit,
        "units": units,
        "step": step,
        "steps": steps,
        "terms": [
            {
                "at": [int(n)] if single else [int(n), unit],
                "from": source_of(looking, call, int(n)),
                "x": float(x[n]),
                "weight": float(weights[n]),
                "original": float(original[n]),
                "product": float(products[n]),
            }
            for n in order
        ],
        "rest": {"count": len(x) - len(order), "sum": float(products.sum() - products[order].sum())},
        "bias": bias,
        "sum": float(products.sum() + (bias or 0.0)),
        "activation": activation_of(layer),
        "made": float(made if single else made[unit]),
    }
    if answer["activation"] == "softmax":
        bias_row = 0.0 if layer.bias is None else layer.bias.numpy().astype(np.float64)
        answer["shares"] = shares(x @ kernel.astype(np.float64) + bias_row, made, unit)
    return answer


def softmax(looking: Looking, name: str, unit: int, step: int, edits: list[Edit]) -> dict[str, Any]:
    """What the shares of a Softmax layer are made of; of one step of a sequence."""
    call = looking.call(name, edits)
    scores, made = call.given[0].astype(np.float64), call.output
    scores = scores / float(getattr(call.layer, "temperature", 1.0))
    steps = len(scores) if scores.ndim == 2 else 0
    if steps:
        step = step % steps
        scores, made = scores[step], made[step]
    unit = checked(unit, len(scores), "unit")
    return {"unit": unit, "units": len(scores), "step": step, "steps": steps, "shares": shares(scores, made, unit)}


def shares(scores: np.ndarray, made: np.ndarray, unit: int) -> dict[str, Any]:
    """exp(score - largest) of the largest classes and of one unit, their sum over all, and the shares."""
    powers = np.exp(scores - scores.max())
    order = np.argsort(-scores, kind="stable")[:SHARES].tolist()
    if unit not in order:
        order.append(unit)
    rows = [
        {"class": int(n), "score": float(scores[n]), "exp": float(powers[n]), "share": float(made[n])} for n in order
    ]
    return {"largest": float(scores.max()), "rows": rows, "total": float(powers.sum()), "count": len(scores)}


def source_of(looking: Looking, call: LayerCall, n: int) -> list[int]:
    """Where number n of a vector comes from: [row, column, map] of the maps that were flattened, or [n]."""
    before = {one.name: one for one in looking.plain}
    origin = before.get(call.inputs[0]) if call.inputs else None
    while origin is not None and origin.inputs:
        if isinstance(origin.layer, Flatten) and origin.given[0].ndim == 3:
            return [int(i) for i in np.unravel_index(n, origin.given[0].shape)]
        if origin.shape != before[origin.inputs[0]].shape:
            break
        origin = before[origin.inputs[0]]  # dropout and the like: the same places
    return [n]


def maps(looking: Looking, name: str, first: int, at_once: int, edits: list[Edit]) -> dict[str, Any]:
    """Maps of a call from number `first` on, at most so many numbers of them, but one map at the least."""
    one = drawn(looking.call(name, edits))
    first = checked(first, len(one.maps), "map")
    count = max(1, min(len(one.maps) - first, at_once // max(one.maps[0].size, 1)))
    return {
        "form": one.form,
        "first": first,
        "count": count,
        "total": len(one.maps),
        "size": list(one.maps.shape[1:]),
        "low": one.low,
        "high": one.high,
        "numbers": packed(one.maps[first : first + count]),
    }


def checked(n: int, count: int, what: str) -> int:
    if not 0 <= n < count:
        raise ArgumentError(f"there is no {what} {n + 1}: this layer has {count}.")
    return n
