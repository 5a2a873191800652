"""What make_layer_fixtures.py tries of layers over space: convolution, pooling, normalization."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from make_fixtures import avg_pool, channels_first, channels_last, conv, conv_transpose, max_pool


def each(value, rank):
    return tuple(value) if isinstance(value, (list, tuple)) else (value,) * rank


def pairs(padding, space, window, strides, dilation):
    """(before, after) for each axis: "same" by its definition, out = ceil(size / stride), the larger part after."""
    if padding == "valid":
        return ((0, 0),) * len(space)
    if padding == "causal":
        return (((window[0] - 1) * dilation[0], 0),)
    if padding == "same":
        totals = [
            max((math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size, 0)
            for size, k, s, d in zip(space, window, strides, dilation, strict=True)
        ]
        return tuple((t // 2, t - t // 2) for t in totals)
    return tuple(each(side, 2) for side in each(padding, len(space)))


def convolutions(case):
    def make(rank, shape, filters, kernel, bias=True, activation=None, **options):
        kwargs = {"filters": filters, "kernel_size": kernel, **options}
        kwargs |= {} if bias else {"use_bias": False}
        kwargs |= {"activation": activation} if activation else {}
        window, groups = each(kernel, rank), options.get("groups", 1)
        strides, dilation = each(options.get("strides", 1), rank), each(options.get("dilation_rate", 1), rank)
        pads = pairs(options.get("padding", "valid"), shape[1:-1], window, strides, dilation)

        def function(x, k, b=None):
            out = conv(x, k, strides, pads, dilation, groups)
            out = out if b is None else out + b
            return out if activation is None else torch.tanh(out)

        weights = [(*window, shape[-1] // groups, filters), *([(filters,)] if bias else [])]
        case.torch(f"Conv{rank}D", kwargs, [case.normal(*shape)], weights, function)

    make(1, (2, 6, 3), 2, 3)
    make(1, (1, 1, 1), 1, 1)
    make(1, (2, 7, 2), 3, 4, padding="same", strides=2)
    make(1, (2, 7, 2), 3, 2, padding="same", strides=3, bias=False)
    make(1, (2, 5, 2), 2, 3, padding="causal", dilation_rate=2)
    make(1, (2, 8, 4), 4, 2, padding="causal", strides=3, groups=2)
    make(1, (2, 4, 2), 2, 6, padding=1)  # as large as the padded input
    make(1, (2, 9, 4), 6, 3, padding=[[2, 1]], strides=2, dilation_rate=2, groups=2, activation="tanh")
    make(1, (2, 3, 2), 2, 2, strides=5)
    make(2, (2, 5, 6, 2), 3, 3)
    make(2, (1, 4, 5, 3), 2, 1, activation="tanh")
    make(2, (2, 5, 6, 2), 2, (2, 4), padding="same")
    make(2, (2, 7, 6, 2), 2, (3, 2), padding="same", strides=(2, 3))
    make(2, (2, 5, 5, 2), 2, 5)
    make(2, (1, 4, 3, 2), 2, (6, 5), padding=1)
    make(2, (2, 6, 5, 2), 2, 3, padding=[2, 0], strides=(1, 2))
    make(2, (2, 6, 5, 2), 2, (2, 3), padding=[[0, 1], [2, 1]], strides=2, bias=False)
    make(2, (2, 7, 7, 4), 6, (2, 3), dilation_rate=(3, 2), groups=2, padding="same")
    make(2, (2, 4, 4, 3), 3, 2, groups=3, strides=2)
    make(2, (1, 9, 8, 1), 2, 2, strides=(4, 5))
    make(2, (2, 6, 6, 2), 2, 3, strides=2, dilation_rate=2, padding=1)
    make(3, (2, 3, 4, 5, 2), 2, 2)
    make(3, (1, 4, 4, 3, 2), 2, (1, 2, 3), padding="same", strides=(2, 1, 2))
    make(3, (1, 3, 5, 4, 4), 2, 2, groups=2, dilation_rate=(1, 2, 1), padding=[[1, 0], [0, 0], [0, 1]])
    make(3, (1, 2, 2, 2, 1), 3, 2, activation="tanh")

    for kwargs, shape in (
        ({"kernel_size": 3}, (2, 6, 3)), ({"kernel_size": 2, "padding": "same", "strides": 2}, (2, 5, 2)),
        ({"kernel_size": 2, "depth_multiplier": 3, "use_bias": False}, (1, 4, 2)),
    ):  # fmt: skip
        case.keras("DepthwiseConv1D", kwargs, [case.normal(*shape)])
        case.keras("SeparableConv1D", {"filters": 4, **kwargs}, [case.normal(*shape)])
    for kwargs, shape in (
        ({"kernel_size": 3}, (2, 5, 4, 3)),
        ({"kernel_size": [2, 3], "padding": "same", "depth_multiplier": 2, "activation": "tanh"}, (2, 4, 5, 2)),
        ({"kernel_size": 2, "strides": 2, "padding": "same"}, (1, 5, 5, 2)),
        ({"kernel_size": 2, "dilation_rate": 2, "depth_multiplier": 3, "use_bias": False}, (1, 5, 4, 1)),
        ({"kernel_size": 1}, (2, 1, 1, 2)),
    ):  # fmt: skip
        case.keras("DepthwiseConv2D", kwargs, [case.normal(*shape)])
        case.keras("SeparableConv2D", {"filters": 3, **kwargs}, [case.normal(*shape)])
    case.torch(
        "DepthwiseConv2D", {"kernel_size": 3, "padding": [[1, 0], [0, 2]]}, [case.normal(2, 4, 4, 2)],
        [(3, 3, 2, 1), (2,)], lambda x, k, b: conv(x, k.movedim(-1, -2), 1, ((1, 0), (0, 2)), 1, 2) + b,
    )  # fmt: skip


def transposed(case):
    for rank, shape, options in (
        (1, (2, 5, 2), {"kernel_size": 3}), (1, (2, 4, 2), {"kernel_size": 4, "strides": 2, "padding": "same"}),
        (1, (2, 4, 2), {"kernel_size": 2, "strides": 3}), (1, (1, 1, 1), {"kernel_size": 1}),
        (1, (2, 4, 2), {"kernel_size": 2, "strides": 3, "padding": "same"}),
        (1, (2, 4, 2), {"kernel_size": 3, "dilation_rate": 2}),
        (1, (2, 4, 2), {"kernel_size": 3, "dilation_rate": 2, "padding": "same"}),
        (1, (2, 4, 2), {"kernel_size": 3, "strides": 2, "output_padding": 1}),
        (1, (2, 4, 2), {"kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 0}),
        (1, (2, 4, 2), {"kernel_size": 4, "strides": 2, "padding": "same", "output_padding": 1}),
        (1, (2, 4, 2), {"kernel_size": 5, "strides": 3, "padding": "same", "output_padding": 2}),
        (2, (2, 3, 4, 2), {"kernel_size": 3, "activation": "tanh"}), (2, (1, 3, 3, 2), {"kernel_size": [2, 3]}),
        (2, (2, 3, 2, 2), {"kernel_size": [4, 3], "strides": 2, "padding": "same"}),
        (2, (2, 3, 2, 3), {"kernel_size": 2, "strides": [3, 1], "use_bias": False}),
        (2, (2, 3, 2, 2), {"kernel_size": 3, "strides": [2, 3], "padding": "same", "output_padding": [1, 2]}),
        (3, (1, 2, 3, 2, 2), {"kernel_size": 2}),
        (3, (1, 2, 2, 3, 2), {"kernel_size": [3, 2, 1], "strides": [2, 1, 2], "padding": "same"}),
    ):  # fmt: skip
        case.keras(f"Conv{rank}DTranspose", {"filters": 3, **options}, [case.normal(*shape)])

    def make(rank, shape, filters, kernel, groups=1, padding=0, output_padding=0, strides=1, dilation_rate=1):
        kwargs = {"filters": filters, "kernel_size": kernel, "groups": groups, "padding": padding}
        kwargs |= {"output_padding": output_padding, "strides": strides, "dilation_rate": dilation_rate}
        options = {"stride": strides, "padding": padding, "output_padding": output_padding}
        case.torch(
            f"Conv{rank}DTranspose", kwargs, [case.normal(*shape)],
            [(*each(kernel, rank), filters // groups, shape[-1]), (filters,)],
            lambda x, k, b: conv_transpose(x, k, groups=groups, dilation=dilation_rate, **options) + b,
        )  # fmt: skip

    make(1, (2, 4, 4), 6, 3, groups=2, strides=2)
    make(1, (2, 4, 2), 2, 3, padding=1, strides=2, output_padding=1)
    make(1, (2, 5, 2), 2, 2, padding=2, strides=2)
    make(1, (2, 4, 2), 2, 2, strides=4, output_padding=3)
    make(1, (2, 4, 2), 2, 3, padding=1, strides=3, output_padding=2)  # more is painted than cut away
    make(2, (2, 3, 3, 4), 4, (3, 2), groups=2, padding=(1, 0), strides=(2, 3), output_padding=(1, 2))
    make(2, (1, 3, 4, 2), 2, 3, padding=1, dilation_rate=2)
    make(2, (1, 3, 4, 2), 2, (2, 3), padding=(1, 2), dilation_rate=(2, 1), strides=2, output_padding=1)
    make(2, (1, 2, 2, 3), 3, 3, groups=3, padding=2, strides=3)
    make(3, (1, 2, 2, 3, 2), 2, 2, padding=1, strides=2, output_padding=1)
    case.torch(  # (before, after): what PyTorch cuts evenly, cut by hand
        "Conv1DTranspose", {"filters": 2, "kernel_size": 4, "strides": 2, "padding": [[2, 1]]}, [case.normal(2, 4, 3)],
        [(4, 2, 3), (2,)], lambda x, k, b: conv_transpose(x, k, stride=2)[:, 2:-1] + b,
    )  # fmt: skip


# ---- pooling


def poolings(case):
    def tied(*shape):
        return case.whole(-2, 2, *shape)

    for name in ("Max", "Average"):
        for rank, shape, options in (
            (1, (2, 7, 2), {"pool_size": 2}), (1, (2, 7, 2), {"pool_size": 3, "strides": 2}),
            (1, (2, 7, 2), {"pool_size": 2, "strides": 3}), (1, (2, 7, 2), {"pool_size": 4, "padding": "same"}),
            (1, (2, 5, 1), {"pool_size": 5}), (1, (1, 1, 1), {"pool_size": 1}), (2, (2, 4, 6, 2), {"pool_size": 2}),
            (2, (2, 5, 7, 2), {"pool_size": 3, "strides": 2}),
            (2, (2, 5, 7, 2), {"pool_size": [3, 2], "strides": [1, 3], "padding": "same"}),
            (2, (1, 5, 5, 3), {"pool_size": 2, "strides": 3, "padding": "same"}),
            (2, (2, 4, 4, 2), {"pool_size": 4, "strides": 1, "padding": "same"}),
            (3, (1, 4, 3, 5, 2), {"pool_size": 2}),
            (3, (1, 4, 3, 5, 2), {"pool_size": [2, 3, 1], "strides": [1, 2, 2], "padding": "same"}),
        ):  # fmt: skip
            x = tied(*shape) if name == "Max" and rank == 1 else case.normal(*shape)
            case.keras(f"{name}Pooling{rank}D", options, [x])
        for rank, shape in ((1, (2, 5, 3)), (2, (2, 3, 4, 2)), (3, (1, 2, 3, 2, 2))):
            for keepdims in (False, True):
                case.keras(f"Global{name}Pooling{rank}D", {"keepdims": keepdims}, [case.normal(*shape)])
    for rank, shape, window, strides, padding in (
        (1, (2, 7, 2), 3, 2, 1), (2, (2, 5, 6, 2), 3, 2, 1), (2, (2, 5, 6, 2), (4, 3), (1, 2), (2, 1)),
        (3, (1, 3, 4, 4, 2), 2, 2, 1),
    ):  # fmt: skip
        kwargs = {"pool_size": window, "strides": strides, "padding": padding}
        case.torch(
            f"MaxPooling{rank}D", kwargs, [case.normal(*shape)], [],
            lambda x, w=window, s=strides, p=padding: max_pool(x, w, s, p),
        )  # fmt: skip
        case.torch(
            f"AveragePooling{rank}D", kwargs, [case.normal(*shape)], [],
            lambda x, w=window, s=strides, p=padding: avg_pool(x, w, s, p, False),
        )  # fmt: skip
    for kind, function in (
        ("max", max_pool),
        ("average", lambda *a: avg_pool(*a, False)),
        ("avg", lambda *a: avg_pool(*a, False)),
    ):
        for shape, window, strides, padding in (
            ((2, 5, 6, 2), (3, 3), 2, 1), ((2, 4, 6, 2), 2, None, 0), ((2, 7, 2), (3,), None, 0),
            ((1, 3, 4, 4, 1), (2, 2, 2), (1, 2, 1), 0),
        ):  # fmt: skip
            kwargs = {"pooling_type": kind, "window_shape": window, "padding": padding, "strides": strides}
            case.torch(
                "Pooling", kwargs, [case.normal(*shape)], [],
                lambda x, f=function, w=window, s=strides, p=padding: f(x, w, w if s is None else s, p),
            )  # fmt: skip
    case.torch(  # the first of equal ones gets the gradient
        "MaxPooling2D", {"pool_size": 3, "strides": 1}, [case.whole(0, 1, 2, 5, 5, 2)], [],
        lambda x: max_pool(x, 3, 1),
    )  # fmt: skip
    mask = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 0, 0]], bool)
    case.keras("GlobalAveragePooling1D", {}, [case.normal(2, 5, 3)], masks=[mask], name="masked mean")
    case.keras(
        "GlobalAveragePooling1D", {"keepdims": True}, [case.normal(2, 5, 3)], masks=[mask], name="masked mean kept"
    )
    case.torch(
        "GlobalMaxPooling1D", {}, [case.normal(2, 5, 3)], [],
        lambda x, m: torch.where(m[..., None], x, -torch.inf).amax(1), by_name={"mask": mask}, name="masked maximum",
    )  # fmt: skip
    case.torch(
        "GlobalMaxPooling1D", {}, [case.normal(2, 5, 3)], [],
        lambda x, m: torch.cat([torch.where(m[:1, :, None], x[:1], -torch.inf).amax(1), 0 * x[1:, 0]]),
        by_name={"mask": mask * [[True], [False]]}, name="maximum of nothing",
    )  # fmt: skip
    case.torch(
        "GlobalAveragePooling1D", {}, [case.normal(2, 5, 3)], [],
        lambda x, m: torch.cat([x[:1, m[0]].mean(1), 0 * x[1:, 0]]), by_name={"mask": mask * [[True], [False]]},
        name="mean of nothing",
    )  # fmt: skip


# ---- normalization


def normalizations(case):
    for shape in ((2, 3, 7), (2, 3, 2, 6), (1, 1, 5)):
        for n, k, alpha, beta in ((5, 2.0, 1e-4, 0.75), (3, 1.0, 0.5, 0.75), (4, 1.0, 0.3, 0.6), (1, 1.5, 0.2, 1.0)):
            kwargs = {"n": n, "k": k, "alpha": alpha, "beta": beta}
            case.torch(
                "LocalResponseNormalization", kwargs | {"alpha_divided_by_n": True}, [5 * case.normal(*shape)], [],
                lambda x, a=(n, alpha, beta, k): channels_last(F.local_response_norm(channels_first(x), *a)),
            )  # fmt: skip
    for n, k, alpha, beta in ((5, 2.0, 0.3, 0.75), (2, 1.0, 0.5, 0.5)):
        for groups in (1, 2, 3):
            case.torch(
                "LocalResponseNormalization", {"n": n, "k": k, "alpha": alpha, "beta": beta, "groups": groups},
                [case.normal(2, 2, 6)], [],
                lambda x, a=(n, k, alpha, beta), g=groups: torch.cat([as_written(c, *a) for c in x.chunk(g, -1)], -1),
            )  # fmt: skip
    bn = "BatchNormalization"
    for training in (False, True):
        for kwargs, shape in (
            ({}, (6, 3)), ({"momentum": 0.7, "epsilon": 0.1}, (4, 2, 3, 2)), ({"axis": 1}, (3, 2, 4)),
            ({"center": False}, (4, 3)), ({"scale": False}, (4, 3)), ({"axis": -2, "momentum": 0.0}, (2, 3, 2, 4)),
            ({"center": False, "scale": False, "momentum": 1.0}, (3, 2, 2)), ({}, (1, 3)),
        ):  # fmt: skip
            last = 4 - (not kwargs.get("center", True)) - (not kwargs.get("scale", True))
            x = 2 * case.normal(*shape) + 1
            case.keras(bn, kwargs, [x], training=training, positive=[last - 1])
    mask = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    case.keras(bn, {}, [case.normal(3, 4, 2)], training=True, positive=[3], masks=[mask], name="masked batch")
    case.keras(bn, {}, [case.normal(4, 3)], training=True, positive=[3], frozen=True, name="frozen batch")
    ln = "LayerNormalization"
    for kwargs, shape in (
        ({}, (3, 5)), ({"axis": [1, 2]}, (2, 3, 4)), ({"axis": [1, 3], "epsilon": 0.1}, (2, 3, 2, 4)),
        ({"axis": 1}, (2, 3, 4)), ({"center": False}, (2, 4)), ({"scale": False}, (2, 4)),
        ({"center": False, "scale": False}, (1, 4)), ({"axis": [1, 2, 3]}, (2, 2, 3, 2)),
    ):  # fmt: skip
        case.keras(ln, kwargs, [2 * case.normal(*shape) + 1])
    case.keras("RMSNormalization", {}, [2 * case.normal(3, 5) + 1])
    case.torch(  # Keras's does not broadcast its scale for axes before the last
        "RMSNormalization", {"axis": [1, 2], "epsilon": 0.1}, [case.normal(2, 3, 4)], [(3, 4)],
        lambda x, g: x / torch.sqrt((x * x).mean((1, 2), keepdim=True) + 0.1) * g,
    )  # fmt: skip
    case.torch(
        "RMSNormalization", {"axis": 1}, [case.normal(2, 3, 4)], [(3,)],
        lambda x, g: x / torch.sqrt((x * x).mean(1, keepdim=True) + 1e-6) * g[:, None],
    )  # fmt: skip
    for kwargs, shape in (
        ({"groups": 2}, (2, 4)), ({"groups": 3, "epsilon": 0.1}, (2, 3, 2, 6)), ({"groups": -1}, (2, 3, 4)),
        ({"groups": 1, "center": False}, (2, 3, 4)), ({"groups": 4, "scale": False}, (1, 5, 4)),
    ):  # fmt: skip
        case.keras("GroupNormalization", kwargs, [2 * case.normal(*shape) + 1])
    for axis, shape in ((-1, (3, 4)), (1, (2, 3, 4))):
        case.keras("UnitNormalization", {"axis": axis}, [case.normal(*shape)])
    case.keras("UnitNormalization", {"axis": [1, 2]}, [case.normal(2, 3, 4)])


def as_written(a, n, k, alpha, beta):
    """b_i = a_i / (k + alpha * sum_{j = max(0, i - n/2)}^{min(N - 1, i + n/2)} a_j^2)^beta, n/2 rounded down.

    An even n has no middle: one more channel below than above, as PyTorch has it.
    """
    count, columns = a.shape[-1], []
    for i in range(count):
        low, high = max(0, i - n // 2), min(count - 1, i + (n - 1) // 2)
        columns.append(a[..., i] / (k + alpha * (a[..., low : high + 1] ** 2).sum(-1)) ** beta)
    return torch.stack(columns, -1)
