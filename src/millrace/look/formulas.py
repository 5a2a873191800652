"""What a layer computes: its formula, and for one of its numbers the same with the numbers in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from millrace.explain.activations import LayerCall
from millrace.look.drawn import activation_of

FORMULAS = {
    "Conv2D": "out[i, j, f] = {activation}( Σ x[i·s + a − p, j·s + b − p, c] · kernel[a, b, c, f] + bias[f] )",
    "MaxPooling2D": "out[i, j, c] = max x[i·s + a − p, j·s + b − p, c]",
    "AveragePooling2D": "out[i, j, c] = mean x[i·s + a − p, j·s + b − p, c]",
    "Dense": "out[u] = {activation}( Σ x[d] · kernel[d, u] + bias[u] )",
    "Neuron": "out = {activation}( Σ x[d] · kernel[d] + bias )",
    "Softmax": "out[i] = exp(x[i]) / Σ exp(x[j])",
    "Activation": "out = {activation}(x)",
    "BatchNormalization": "out = (x − mean) / √(variance + ε) · γ + β",
    "LocalResponseNormalization": "out[c] = x[c] / (k + α · Σ x[n]²)^β",
    "GlobalAveragePooling2D": "out[c] = mean x[i, j, c]",
    "GlobalMaxPooling2D": "out[c] = max x[i, j, c]",
    "GlobalMaxPooling1D": "out[c] = max x[t, c]",
    "GlobalAveragePooling1D": "out[c] = mean x[t, c]",
    "Flatten": "out[(i · W + j) · C + c] = x[i, j, c]",
    "Add": "out = x + y",
    "Residual": "out = {activation}( block(x) + shortcut(x) )",
    "Embedding": "out[t] = embeddings[x[t]]",
    "MeanSubtraction": "out = x − mean",
    "Dropout": "out = x",
    "SimpleRNN": "h[t] = tanh( x[t] · W + h[t − 1] · U + b )",
}
SAME = {"Dropout": "Dropout", "SpatialDropout1D": "Dropout", "SpatialDropout2D": "Dropout"}

Say = Callable[..., str]


def formula(call: LayerCall) -> str:
    """The formula of a call's kind; "" where there is none as short."""
    kind = SAME.get(call.kind, call.kind)
    if kind == "Pooling":
        kind = "MaxPooling2D" if getattr(call.layer, "kind", "") == "max" else "AveragePooling2D"
    text = FORMULAS.get(kind, "")
    if tuple(getattr(call.layer, "dilation_rate", (1, 1))) != (1, 1):
        text = text.replace("s + a −", "s + a·d −").replace("s + b −", "s + b·d −")
    return text.replace("{activation}", activation_of(call.layer))


def worked(call: LayerCall, place: Sequence[int], say: Say) -> list[str]:
    """One number of what a call made, worked out in lines of text; [] where only its value can be said.

    place: its index. say(key, **what): a text in the page's language.
    """
    at = tuple(place)
    out = float(call.output[at])
    same = [np.asarray(x) for x in call.given if x.shape == call.output.shape]
    if call.kind == "Input":
        return [say("given", value=number(out))]
    if call.kind == "LocalResponseNormalization":
        return _response(call, at, out, say)
    if call.kind == "BatchNormalization" and call.output.ndim:
        return _batch(call, at, out, say)
    if call.kind in ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Average") and len(same) > 1:
        sign = {"Add": "+", "Subtract": "−", "Multiply": "×"}.get(call.kind, ",")
        return [f" {sign} ".join(number(x[at]) for x in same) + f" → {number(out)}"]
    if call.kind == "Flatten" and call.given[0].ndim > 1:
        origin = [int(n) + 1 for n in np.unravel_index(at[0], call.given[0].shape)]
        return [say("flattened", place=" · ".join(map(str, origin)), value=number(out))]
    if call.kind == "Embedding" and call.given[0].ndim == 1:
        return [say("looked_up", token=int(call.given[0][at[0]]), column=at[1] + 1, value=number(out))]
    if call.kind.startswith("Global") and call.given[0].ndim > 1:
        x = call.given[0][..., at[-1]]
        key = "greatest_of" if "Max" in call.kind else "mean_of"
        return [say(key, count=x.size, value=number(out))]
    if call.kind == "Activation" and same:
        return [f"{activation_of(call.layer)}({number(same[0][at])}) = {number(out)}"]
    if same and float(same[0][at]) == out:
        return [say("unchanged", value=number(out))]
    if same:
        return [say("became", before=number(same[0][at]), after=number(out))]
    return []


def _response(call: LayerCall, at: tuple[int, ...], out: float, say: Say) -> list[str]:
    layer: Any = call.layer
    x = call.given[0].astype(np.float64)
    channel, group = at[-1], x.shape[-1] // layer.groups
    low = max(channel - layer.n // 2, channel // group * group)
    high = min(channel + (layer.n - 1) // 2 + 1, (channel // group + 1) * group)
    near = x[at[:-1]][low:high]
    alpha = layer.alpha / layer.n if layer.alpha_divided_by_n else layer.alpha
    squares = " + ".join(f"{number(v)}²" for v in near)
    return [
        say("neighbours", first=low + 1, last=high),
        f"Σ = {squares} = {number((near**2).sum())}",
        f"{number(x[at])} / ({layer.k:g} + {alpha:g} × {number((near**2).sum())})^{layer.beta:g} = {number(out)}",
    ]


def _batch(call: LayerCall, at: tuple[int, ...], out: float, say: Say) -> list[str]:
    layer: Any = call.layer
    axis = layer.axis if layer.axis < 0 else layer.axis - 1  # of one example
    channel = at[axis]
    weights = call.weights
    mean, variance = float(weights["moving_mean"][channel]), float(weights["moving_variance"][channel])
    gamma, beta = (float(weights[k][channel]) if k in weights else d for k, d in (("gamma", 1.0), ("beta", 0.0)))
    x = float(call.given[0][at])
    return [
        say("statistics", channel=channel + 1, mean=number(mean), variance=number(variance)),
        f"({number(x)} − {number(mean)}) / √({number(variance)} + {layer.epsilon:g}) × {number(gamma)} + {number(beta)}"
        f" = {number(out)}",
    ]


def number(value: Any) -> str:
    """A number as the page writes it: four digits that count, a true minus."""
    x = float(value)
    if x == int(x) and abs(x) < 1e6:
        return str(int(x)).replace("-", "−")
    text = f"{x:.4g}" if 1e-4 <= abs(x) < 1e6 else f"{x:.2e}"
    return text.replace("-", "−")
