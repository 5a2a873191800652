"""What the letters of a layer's formula stand for, with the layer's own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.explain.activations import LayerCall
from millrace.layers.convolution import Conv2D
from millrace.layers.core import Dense, Flatten, Neuron
from millrace.layers.heads import Softmax
from millrace.layers.normalization import BatchNormalization, LocalResponseNormalization
from millrace.layers.pooling import AveragePooling2D, MaxPooling2D, Pooling
from millrace.look.formulas import Say, formula


def meanings(call: LayerCall, say: Say) -> list[str]:
    """Sentences about the letters of `formula(call)`; [] where they speak for themselves.

    say(key, **what): a text in the page's language.
    """
    text = formula(call)
    if not text:
        return []
    return [*_letters(call, call.layer, say), *([say("counting")] if "[" in text else [])]


def _letters(call: LayerCall, layer: Any, say: Say) -> list[str]:
    if isinstance(layer, Conv2D):
        stride, window = pair(layer.strides), "{} × {}".format(*layer.kernel_size)
        dilation = tuple(layer.dilation_rate)
        return [
            say("convolution", stride=stride, padding=pair([before for before, _ in pads_of(layer)]), window=window),
            *([say("dilated", dilation=pair(dilation))] if dilation != (1, 1) else []),
            *([say("grouped", groups=layer.groups)] if layer.groups > 1 else []),
        ]
    if isinstance(layer, (MaxPooling2D, AveragePooling2D, Pooling)):
        window = "{} × {}".format(*layer.pool_size)
        padding = pair([before for before, _ in pads_of(layer)])
        return [say("pooling", stride=pair(layer.strides), padding=padding, window=window)]
    if isinstance(layer, Neuron):
        return [say("neuron", inputs=call.given[0].shape[-1])]
    if isinstance(layer, Dense):
        return [say("dense", inputs=call.given[0].shape[-1], units=call.shape[-1])]
    if isinstance(layer, Softmax):
        return [say("softmax", count=call.shape[-1])]
    if isinstance(layer, Flatten) and call.given[0].ndim == 3:
        _, width, maps = call.given[0].shape
        return [say("flatten", width=width, maps=maps)]
    if isinstance(layer, LocalResponseNormalization):
        alpha = layer.alpha / layer.n if layer.alpha_divided_by_n else layer.alpha
        return [say("response", n=layer.n, k=f"{layer.k:g}", alpha=f"{alpha:g}", beta=f"{layer.beta:g}")]
    if isinstance(layer, BatchNormalization):
        return [say("normalization", epsilon=f"{layer.epsilon:g}")]
    return []


def pads_of(layer: Any) -> list[tuple[int, int]]:
    """The padding of a convolution or pooling layer, before and after, of rows and of columns."""
    size = layer.kernel_size if isinstance(layer, Conv2D) else layer.pool_size
    dilation = layer.dilation_rate if isinstance(layer, Conv2D) else (1, 1)
    pads = layer.pads(layer.calls[0].inputs[0].type, size, layer.strides, layer.padding, dilation)
    return [tuple(one) for one in pads]


def pair(numbers: Sequence[int]) -> str:
    """Of rows and of columns; once where they are the same."""
    rows, columns = numbers
    return str(rows) if rows == columns else f"{rows} × {columns}"
