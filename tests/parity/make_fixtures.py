"""Writes what PyTorch computes, for tests that hold Millrace to it without PyTorch.

Run it where torch and numpy are installed: python tests/parity/make_fixtures.py

`operations.npz` holds for each case NAME its inputs `NAME/x0`, `NAME/x1`, ..., its outputs `NAME/out0`, ...,
for each floating-point output a weight `NAME/given0`, ..., and for each floating-point input the gradient
`NAME/grad0`, ... of the sum of outputs times weights. Arrays are in Millrace's layout: channels last,
kernels [*kernel, channels / groups, filters]. Inputs are float32, all else is computed in float64.

`training_run.npz` holds training runs of one small convolutional network on `digits640.npz`, which
export_digits.py wrote, also in float64: the start weights `start/LAYER/WEIGHT` (float32), and for each
OPTIMIZER the loss of each of 50 steps, `OPTIMIZER/losses`, and of each final weight its mean, standard
deviation and norm, `OPTIMIZER/LAYER/WEIGHT`.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).parent


class Recorder:
    """Collects cases: their inputs, and what PyTorch makes of them."""

    def __init__(self):
        self.arrays = {}
        self.names = set()
        self.rng = np.random.default_rng(2012)

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def uniform(self, low, high, *shape):
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def whole(self, low, high, *shape, dtype=np.float32):
        """Whole numbers from low to high, many of them equal."""
        return self.rng.integers(low, high + 1, shape).astype(dtype)

    def __call__(self, name, function, *inputs):
        assert name not in self.names, name
        self.names.add(name)
        inputs = [np.asarray(x) for x in inputs]
        tensors = [
            torch.tensor(x.astype(np.float64), requires_grad=True) if x.dtype.kind == "f" else torch.tensor(x)
            for x in inputs
        ]
        outputs = function(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = torch.zeros((), dtype=torch.float64)
        for n, x in enumerate(inputs):
            self.arrays[f"{name}/x{n}"] = x
        for n, out in enumerate(outputs):
            array = out.detach().numpy()
            self.arrays[f"{name}/out{n}"] = array.astype(np.int32) if array.dtype.kind == "i" else array
            if out.is_floating_point():
                given = np.round(self.rng.uniform(-2, 2, array.shape) * 16).astype(np.float32) / np.float32(16)
                self.arrays[f"{name}/given{n}"] = given
                loss = loss + (out * torch.tensor(given.astype(np.float64))).sum()
        wanted = [(n, x) for n, x in enumerate(tensors) if x.is_floating_point()]
        if loss.requires_grad:
            found = torch.autograd.grad(loss, [x for _, x in wanted], allow_unused=True)
            for (n, x), gradient in zip(wanted, found, strict=True):
                gradient = torch.zeros_like(x) if gradient is None else gradient
                self.arrays[f"{name}/grad{n}"] = gradient.numpy()


def channels_first(x):
    return x.movedim(-1, 1)


def channels_last(x):
    return x.movedim(1, -1)


def filters_first(kernel):
    """[*kernel, channels / groups, filters] -> [filters, channels / groups, *kernel]."""
    return kernel.movedim((-1, -2), (0, 1))


def edges(pads):
    """(before, after) pairs, first axis first, as F.pad wants them: last axis first."""
    return [side for pair in reversed(pads) for side in pair]


CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def conv(x, kernel, strides=1, pads=None, dilation=1, groups=1):
    x = channels_first(x) if pads is None else F.pad(channels_first(x), edges(pads))
    rank = x.ndim - 2
    return channels_last(CONV[rank](x, filters_first(kernel), None, strides, 0, dilation, groups))


def conv_transpose(g, kernel, **options):
    rank = g.ndim - 2
    return channels_last(CONV_TRANSPOSE[rank](channels_first(g), filters_first(kernel), **options))


def max_pool(x, window, strides, padding=0, pads=None):
    x = channels_first(x) if pads is None else F.pad(channels_first(x), edges(pads), value=-torch.inf)
    return channels_last(MAX_POOL[x.ndim - 2](x, window, strides, padding))


def avg_pool(x, window, strides, padding, count_include_pad):
    rank = x.ndim - 2
    return channels_last(AVG_POOL[rank](channels_first(x), window, strides, padding, False, count_include_pad))


def local_response_norm(x, n, k, alpha, beta):
    """As in the paper: PyTorch divides alpha by n, so it is multiplied first."""
    return channels_last(F.local_response_norm(channels_first(x), n, alpha * n, beta, k))


def gradient_of(function, *inputs, given):
    """The gradients of sum(function * given), which can be differentiated again."""
    return torch.autograd.grad((function(*inputs) * given).sum(), inputs, create_graph=True)


def rnn(h, xs, w, u, b, reverse=False):
    """h' = tanh(h w + x u + b): the last state, and all states over time."""
    outputs = []
    for x in reversed(xs) if reverse else xs:
        h = torch.tanh(h @ w + x @ u + b)
        outputs.append(h)
    if reverse:
        outputs.reverse()
    return h, torch.stack(outputs)


def lstm(h, c, xs, w, u):
    """A long short-term memory: its last two states, and all outputs over time."""
    outputs = []
    for x in xs:
        i, f, o, new = (h @ w + x @ u).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(new)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return h, c, torch.stack(outputs)


def shared_weight(h, xs, w, a):
    """One matrix used twice in a step, and an elementwise factor."""
    for x in xs:
        h = torch.tanh(torch.tanh(h @ w + x) @ w) * a
    return h


def elementwise(case):
    case("exp", torch.exp, case.uniform(-3, 3, 12))
    case("log", torch.log, case.uniform(0.01, 9, 12))
    case("log1p", torch.log1p, case.uniform(-0.9, 3, 12))
    case("expm1", torch.expm1, case.uniform(-2, 2, 12) * np.float32(0.1) ** np.arange(12, dtype=np.float32))
    case("sqrt", torch.sqrt, case.uniform(0.01, 9, 12))
    case("rsqrt", torch.rsqrt, case.uniform(0.1, 9, 12))
    case("tanh", torch.tanh, case.uniform(-3, 3, 12))
    case("sigmoid", torch.sigmoid, np.array([-80, -20, -1, -0.1, 0, 0.1, 1, 20, 80], np.float32))
    case("erf", torch.erf, np.array([-4, -1.5, -0.5, -1e-3, 0, 1e-3, 0.25, 1, 2, 4], np.float32))
    case("sin", torch.sin, case.uniform(-7, 7, 12))
    case("cos", torch.cos, case.uniform(-7, 7, 12))
    kinks = np.array([-2.5, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2.5, 0.3, -0.3], np.float32)
    case("relu", torch.relu, kinks)
    case("abs", torch.abs, kinks)
    case("sign", torch.sign, kinks)
    case("floor", torch.floor, kinks)
    case("ceil", torch.ceil, kinks)
    case("round", torch.round, kinks)
    case("negative", torch.neg, kinks)
    case("square", torch.square, kinks)
    case("cube", lambda x: x**3, kinks)
    case("power_minus_2", lambda x: x**-2, case.uniform(0.5, 2, 12))
    case("reciprocal", torch.reciprocal, case.uniform(0.5, 2, 12))
    case("softplus", F.softplus, np.array([-18, -3, -0.5, 0, 0.5, 3, 18], np.float32))
    case("leaky_relu", lambda x: F.leaky_relu(x, 0.1), kinks)
    case("elu", lambda x: F.elu(x, 1.5), kinks[kinks != 0])
    case("elu_at_zero", lambda x: F.elu(x, 1.5), np.zeros(1, np.float32))
    case("silu", F.silu, kinks)
    case("gelu", F.gelu, kinks)
    case("clip", lambda x: torch.clamp(x, -1.2, 0.7), kinks)

    x, row, column = case.normal(3, 4), case.normal(4), case.normal(3, 1)
    case("add_broadcast", torch.add, x, row)
    case("subtract_broadcast", torch.sub, column, x)
    case("multiply_broadcast", torch.mul, row, column)
    case("divide_broadcast", torch.div, x, case.uniform(0.5, 2, 3, 1))
    case("power", torch.pow, case.uniform(0.2, 2, 3, 4), case.uniform(-2, 2, 4))
    case("power_of_zero", torch.pow, np.zeros(3, np.float32), np.array([1, 1.5, 3], np.float32))
    case("zero_to_the_zero", torch.pow, np.zeros(1, np.float32), np.zeros(1, np.float32))
    tied = case.whole(-1, 1, 4, 5), case.whole(-1, 1, 4, 5)
    case("maximum_ties", torch.maximum, *tied)
    case("minimum_ties", torch.minimum, *tied)
    case("where", torch.where, case.rng.random((3, 4)) < 0.5, x, row)
    case("stop_gradient", lambda x: x * x.detach(), x)
    case("cast", lambda x: x.to(torch.int32).to(torch.float64) * x, kinks)
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        case(name, getattr(torch, name), *tied)
    case("is_finite", torch.isfinite, np.array([0, np.inf, -np.inf, np.nan, 1e30], np.float32))
    case("is_nan", torch.isnan, np.array([0, np.inf, -np.inf, np.nan, 1e30], np.float32))
    bits = case.whole(-100, 100, 8, dtype=np.int32), case.whole(-100, 100, 8, dtype=np.int32)
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        case(name, getattr(torch, name), *bits)
    case("bitwise_not", torch.bitwise_not, bits[0])
    truth = np.array([True, True, False, False]), np.array([True, False, True, False])
    for name in ("logical_and", "logical_or", "logical_xor"):
        case(name, getattr(torch, name), *truth)
    case("logical_not", torch.logical_not, truth[0])


def reductions(case):
    x = case.normal(2, 3, 4)
    case("sum", lambda x: x.sum((0, 2)), x)
    case("mean", lambda x: x.mean((1, 2)), x)
    case("mean_of_all", torch.mean, x)
    case("variance", lambda x: x.var((0, 2), correction=0), x)
    case("standard_deviation", lambda x: x.std(1, correction=0), x)
    case("logsumexp", lambda x: torch.logsumexp(x, 1), 30 * x)
    tied = case.whole(-2, 2, 4, 5)
    case("amax_ties", lambda x: x.amax(1), tied)
    case("amin_ties", lambda x: x.amin(0), tied)
    case("amax_of_all_ties", lambda x: x.amax((0, 1)), tied)
    case("argmax_ties", lambda x: x.argmax(1), tied)
    case("argmin_ties", lambda x: x.argmin(0), tied)
    factors = case.uniform(0.5, 2, 4, 3)
    factors[1, 1] = factors[2, 0] = factors[2, 2] = 0
    case("prod_with_zeros", lambda x: x.prod(1), factors)
    case("prod_of_all", lambda x: x.prod(), case.uniform(0.5, 2, 2, 3))
    case("cumsum", lambda x: x.cumsum(1), x)
    case("cumsum_reversed", lambda x: x.flip(0).cumsum(0).flip(0), case.normal(5, 2))
    truth = np.array([[True, True, True], [True, False, True], [False, False, False]])
    case("any", lambda x: x.any(1), truth)
    case("all", lambda x: x.all(1), truth)


def classification(case):
    logits = 3 * case.normal(4, 5)
    big = np.array([[1000, 1001, -1000], [-500, 0, 0]], np.float32)
    labels = np.array([0, 4, 2, 2], np.int64)
    case("softmax", lambda x: x.softmax(-1), logits)
    case("softmax_axis_0", lambda x: x.softmax(0), logits)
    case("softmax_large", lambda x: x.softmax(-1), big)
    case("log_softmax", lambda x: x.log_softmax(-1), logits)
    case("log_softmax_axis_1", lambda x: x.log_softmax(1), case.normal(2, 4, 3))
    case("log_softmax_large", lambda x: x.log_softmax(-1), big)
    case("cross_entropy", lambda x, y: F.cross_entropy(x, y, reduction="none"), logits, labels)
    case("mean_cross_entropy", F.cross_entropy, logits, labels)
    case("cross_entropy_large", lambda x, y: F.cross_entropy(x, y, reduction="none"), big, np.array([2, 0]))
    spatial = case.whole(0, 3, 2, 3, dtype=np.int64)
    case(
        "cross_entropy_of_sequences",
        lambda x, y: F.cross_entropy(channels_first(x), y, reduction="none"),
        case.normal(2, 3, 4),
        spatial,
    )
    case(
        "cross_entropy_ignored_label",
        lambda x, y: F.cross_entropy(x, y, ignore_index=-1, reduction="none"),
        logits,
        np.array([1, -1, 3, -1], np.int64),
    )
    case(
        "sigmoid_cross_entropy",
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction="none"),
        np.array([-60, -2, 0, 0.5, 3, 60], np.float32),
        np.array([1, 0, 1, 0.25, 1, 0], np.float32),
    )
    x = case.normal(2, 3, 7)
    case("local_response_norm", lambda x: local_response_norm(x, 5, 2.0, 1e-4, 0.75), 20 * x)
    case("local_response_norm_strong", lambda x: local_response_norm(x, 3, 1.0, 0.5, 0.75), x)
    case("local_response_norm_even", lambda x: local_response_norm(x, 4, 1.0, 0.3, 0.6), x)
    case("local_response_norm_2d", lambda x: local_response_norm(x, 5, 2.0, 0.1, 1.0), case.normal(2, 2, 2, 6))


def products(case):
    case("matmul", torch.matmul, case.normal(3, 4), case.normal(4, 2))
    case("bmm", torch.bmm, case.normal(2, 3, 4), case.normal(2, 4, 2))
    case("matmul_broadcast", torch.matmul, case.normal(2, 1, 3, 4), case.normal(3, 4, 2))
    case("matmul_vector_matrix", torch.matmul, case.normal(4), case.normal(2, 4, 3))
    case("matmul_matrix_vector", torch.matmul, case.normal(2, 3, 4), case.normal(4))
    case("matmul_vectors", torch.matmul, case.normal(5), case.normal(5))
    case("outer", torch.outer, case.normal(3), case.normal(2))
    case("tensordot", lambda x, y: torch.tensordot(x, y, dims=2), case.normal(2, 3, 4), case.normal(3, 4, 2))
    case(
        "tensordot_crossed",
        lambda x, y: torch.tensordot(x, y, dims=([1, 0], [0, 2])),
        case.normal(2, 3, 4),
        case.normal(3, 5, 2),
    )
    for name, subscripts, x, y in (
        ("einsum_batch_last", "ijb,bkj->kbi", (2, 3, 2), (2, 4, 3)),
        ("einsum_attention", "bqhd,bkhd->bhqk", (2, 3, 2, 2), (2, 2, 2, 2)),
        ("einsum_alone", "ijk,kl->il", (2, 3, 4), (4, 2)),
    ):
        case(name, lambda x, y, s=subscripts: torch.einsum(s, x, y), case.normal(*x), case.normal(*y))


def moves(case):
    x = case.normal(4, 5)
    rows = np.array([3, 0, 3, 3], np.int64)
    case("reshape", lambda x: x.reshape(2, 10), x)
    case("transpose", lambda x: x.permute(2, 0, 1), case.normal(2, 3, 4))
    case("broadcast", lambda x: x.expand(3, 4, 2), case.normal(4, 1))
    case(
        "concatenate", lambda x, y, z: torch.cat([x, y, z], 1), case.normal(2, 3), case.normal(2, 1), case.normal(2, 2)
    )
    case("stack", lambda x, y: torch.stack([x, y], 1), case.normal(3), case.normal(3))
    case("slice_steps", lambda x: x[1:4:2, ::3], x)
    case("slice_reversed", lambda x: x.flip(1)[:, 1::2], x)
    case("pad", lambda x: F.pad(x, (0, 2, 1, 0), value=-1.5), x)
    case("reverse", lambda x: x.flip((0, 1)), x)
    case("index_select_0", lambda x, i: x.index_select(0, i), x, rows)
    case("index_select_1", lambda x, i: x.index_select(1, i), x, rows)
    case("embedding", lambda i, w: F.embedding(i, w), np.array([[2, 0], [2, 1], [0, 0]], np.int64), case.normal(3, 4))
    case("index_add_0", lambda x, i, y: x.index_add(0, i, y), x, rows, case.normal(4, 5))
    case("index_add_1", lambda x, i, y: x.index_add(1, i, y), x, rows, case.normal(4, 4))
    case("one_hot", lambda x: F.one_hot(x, 4), np.array([[3, 0], [1, 1]], np.int64))
    case("iota", lambda x: x * torch.arange(5), x)


def convolutions(case):
    def make(name, spatial, kernel, channels, filters, groups=1, **options):
        x, k = case.normal(2, *spatial, channels), case.normal(*kernel, channels // groups, filters)
        case(name, lambda x, k: conv(x, k, groups=groups, **options), x, k)

    make("conv1d", (6,), (3,), 2, 3)
    make("conv1d_all", (9,), (3,), 4, 2, groups=2, strides=2, pads=((2, 1),), dilation=2)
    make("conv2d", (4, 5), (2, 3), 2, 2)
    make("conv2d_strides", (7, 6), (3, 2), 2, 2, strides=(3, 2))
    make("conv2d_padding", (4, 4), (3, 3), 2, 2, pads=((1, 1), (2, 0)))
    make("conv2d_dilation", (6, 5), (2, 3), 1, 2, dilation=(3, 2))
    make("conv2d_groups", (4, 4), (3, 3), 4, 6, groups=2, pads=((1, 1), (1, 1)))
    make("conv2d_depthwise", (4, 4), (3, 3), 3, 3, groups=3, pads=((1, 1), (1, 1)))
    make("conv2d_depthwise_multiplier", (4, 4), (2, 2), 2, 4, groups=2, strides=(2, 1))
    make("conv2d_all", (7, 6), (3, 2), 4, 2, groups=2, strides=(2, 3), pads=((1, 2), (1, 0)), dilation=(1, 2))
    make("conv3d", (3, 4, 3), (2, 2, 2), 2, 2)
    make("conv3d_all", (4, 3, 4), (2, 2, 2), 2, 2, groups=2, strides=(2, 1, 2), pads=((1, 1), (0, 1), (1, 0)))

    g, k = case.normal(2, 3, 3, 4), case.normal(3, 2, 1, 4)
    case(
        "conv_transpose2d",
        lambda g, k: conv_transpose(g, k, stride=(2, 3), padding=1, output_padding=(1, 2), groups=2),
        g,
        k,
    )
    case("conv_transpose1d", lambda g, k: conv_transpose(g, k, dilation=2), case.normal(2, 4, 3), case.normal(3, 2, 3))
    case(
        "conv2d_gradient_of_gradient",
        lambda x, k, g: gradient_of(
            lambda x, k: conv(x, k, groups=2, strides=(2, 1), pads=((1, 0), (1, 1))), x, k, given=g
        ),
        case.normal(1, 4, 4, 2),
        case.normal(3, 3, 1, 2),
        case.normal(1, 2, 4, 2),
    )


def poolings(case):
    def tied(*spatial):
        return case.whole(-2, 2, 2, *spatial, 2)

    case("max_pool1d_ties", lambda x: max_pool(x, 3, 2, 1), tied(8))
    case("max_pool2d_ties", lambda x: max_pool(x, 2, 2), tied(4, 6))
    case("max_pool2d_overlapping_ties", lambda x: max_pool(x, 3, 2), tied(7, 5))
    case("max_pool2d_padding_ties", lambda x: max_pool(x, (3, 2), (1, 2), 1), tied(4, 5))
    case("max_pool2d_uneven_padding_ties", lambda x: max_pool(x, 3, 2, pads=((0, 2), (1, 0))), tied(4, 5))
    case("max_pool2d_gaps", lambda x: max_pool(x, 2, 3), tied(6, 5))
    case("max_pool3d_ties", lambda x: max_pool(x, 2, (2, 1, 1), (1, 0, 1)), tied(3, 3, 2))
    case(
        "max_pool2d_gradient_of_gradient_ties",
        lambda x, g: gradient_of(lambda x: max_pool(x, 3, 2, 1), x, given=g),
        tied(5, 5),
        case.normal(2, 3, 3, 2),
    )
    for counted in (False, True):
        end = "_counting_padding" if counted else ""
        case(f"avg_pool1d{end}", lambda x, c=counted: avg_pool(x, 3, 2, 1, c), case.normal(2, 7, 2))
        case(f"avg_pool2d{end}", lambda x, c=counted: avg_pool(x, (2, 3), (1, 2), 1, c), case.normal(2, 4, 5, 2))
        case(f"avg_pool3d{end}", lambda x, c=counted: avg_pool(x, 2, (2, 1, 2), 1, c), case.normal(1, 3, 2, 3, 2))
    case("avg_pool2d_overlapping", lambda x: avg_pool(x, 3, 2, 0, True), case.normal(2, 5, 7, 1))


def loops(case):
    def weights():
        h, xs, b = case.normal(2, 3), case.normal(4, 2, 2), case.normal(3)
        return h, xs, case.normal(3, 3), case.normal(2, 3), b

    case("rnn", rnn, *weights())
    case("rnn_reversed", lambda *xs: rnn(*xs, reverse=True), *weights())
    case("rnn_gradient_of_gradient", lambda *xs: gradient_penalty(rnn, *xs), *weights())
    states = case.normal(2, 3), case.normal(2, 3)
    case("lstm", lstm, *states, case.normal(4, 2, 2), case.normal(3, 12), case.normal(2, 12))
    case("shared_weight", shared_weight, case.normal(2, 3), case.normal(3, 2, 3), case.normal(3, 3), case.normal(2, 3))


def gradient_penalty(function, *inputs):
    """The squared length of the gradient of the last state's sum."""
    found = torch.autograd.grad(function(*inputs)[0].sum(), inputs, create_graph=True)
    return sum((g**2).sum() for g in found)


def operations(path):
    """Single operations, and how gradients flow through them."""
    case = Recorder()
    for family in (
        elementwise,
        reductions,
        classification,
        products,
        moves,
        convolutions,
        poolings,
        loops,
    ):
        family(case)
    np.savez_compressed(path, **case.arrays)
    print(f"{path.name}: {len(case.names)} cases, {path.stat().st_size / 1000:.0f} kB, torch {torch.__version__}")


OPTIMIZERS = {
    "sgd_momentum_decay": lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9, weight_decay=5e-4),
    "sgd_nesterov": lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda w: torch.optim.Adam(w, lr=0.005, eps=1e-7),
    "adamw": lambda w: torch.optim.AdamW(w, lr=0.005, eps=1e-7, weight_decay=0.2),
}


def training_run(path, steps=50, batch_size=32):
    """A network trained in file order, from the same weights by each optimizer; after the last example the first."""
    rng = np.random.default_rng(1998)
    start = {}
    for name, *shape in (("conv1", 3, 3, 1, 6), ("conv2", 3, 3, 6, 8), ("dense", 3 * 3 * 8, 10)):
        spread = np.sqrt(2 / np.prod(shape[:-1]))
        start[f"{name}/kernel"] = (spread * rng.standard_normal(shape)).astype(np.float32)
        start[f"{name}/bias"] = (0.1 * rng.standard_normal(shape[-1])).astype(np.float32)
    with np.load(HERE / "digits640.npz") as digits:
        x = torch.tensor(digits["x"][..., None] / 16.0)
        y = torch.tensor(digits["y"].astype(np.int64))

    def network(x, w):
        x = torch.relu(conv(x, w["conv1/kernel"], pads=((1, 1), (1, 1))) + w["conv1/bias"])
        x = max_pool(conv(x, w["conv2/kernel"]) + w["conv2/bias"], 2, 2)
        return x.flatten(1) @ w["dense/kernel"] + w["dense/bias"]

    arrays = {f"start/{name}": array for name, array in start.items()}
    for name, make in OPTIMIZERS.items():
        w = {key: torch.tensor(array.astype(np.float64), requires_grad=True) for key, array in start.items()}
        optimizer = make(list(w.values()))
        losses = []
        for step in range(steps):
            chosen = torch.arange(step * batch_size, (step + 1) * batch_size) % len(x)
            loss = F.cross_entropy(network(x[chosen], w), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        arrays[f"{name}/losses"] = np.array(losses)
        for weight, tensor in w.items():
            array = tensor.detach().numpy()
            arrays[f"{name}/{weight}"] = np.array([array.mean(), array.std(), np.linalg.norm(array)])
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {len(OPTIMIZERS)} runs, {path.stat().st_size / 1000:.0f} kB, torch {torch.__version__}")


def main():
    torch.set_num_threads(1)
    operations(HERE / "operations.npz")
    training_run(HERE / "training_run.npz")


if __name__ == "__main__":
    main()
