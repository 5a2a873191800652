"""Every public function at work on something real: a line of code for each, which is what runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.explain.at_work import real_inputs as real
from millrace.explain.at_work.cases import Case
from millrace.explain.at_work.telling_weights import SOBEL, TENT
from millrace.ir.state import Variable

Make = Callable[[], np.ndarray]


def picture() -> np.ndarray:
    """Brightness of the photograph: [64, 64] from 0 to 1."""
    return real.grey()[0, :, :, 0]


def spread() -> np.ndarray:
    """The same with mean 0 and standard deviation 2."""
    return real.spread_out()[0, :, :, 0]


def above_zero() -> np.ndarray:
    """The same, nowhere 0: [64, 64] from 0.05 to 1.05."""
    return picture() + np.float32(0.05)


def ink(n: int = 3) -> np.ndarray:
    """A digit: [8, 8] from 0 to 1."""
    return real.digit(n)[0, :, :, 0]


def whole() -> np.ndarray:
    """The photograph's brightness as whole numbers from 0 to 255: int32 [64, 64]."""
    return real.bytes_of(picture()).astype(np.int32)


def bright() -> np.ndarray:
    """Where the photograph is brighter than the middle: bool [64, 64]."""
    return picture() > 0.5


def state() -> np.ndarray:
    """A random state: seed 0, count 0."""
    return mr.random_state(0)


def sobel() -> np.ndarray:
    """Sobel's kernel for upright edges: [3, 3, 1, 1]."""
    return SOBEL[:, :, None, None]


def tent() -> np.ndarray:
    """A kernel that spreads a point over its neighbours: [3, 3, 1, 1]."""
    return (4 * TENT[:, None] * TENT[None, :])[:, :, None, None]


def mirror() -> np.ndarray:
    """The matrix that turns a digit's columns round: ones along the other diagonal, [8, 8]."""
    return np.fliplr(np.eye(8, dtype=np.float32)).copy()


def holed() -> np.ndarray:
    """The photograph with two bad pixels: infinity and not a number."""
    x = picture().copy()
    x[20:28, 20:28], x[40:48, 40:48] = np.inf, np.nan
    return x


X: dict[str, Make] = {"x": spread}
P: dict[str, Make] = {"x": picture}
A: dict[str, Make] = {"x": above_zero}
TWO: dict[str, Make] = {"x": ink, "y": lambda: ink(8)}
IMAGES: dict[str, Make] = {"x": real.photograph}
RANDOM: dict[str, Make] = {"x": real.photograph, "state": state}
STATE: dict[str, Make] = {"state": state}

# What is written: a line of code, its inputs by name, what they are, and notes.
Line = tuple[str, Mapping[str, Make], str] | tuple[str, Mapping[str, Make], str, tuple[str, ...]]

ACTIVATIONS = (
    "celu", "elu", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid",
    "mish", "relu", "relu6", "selu", "silu", "soft_shrink", "softplus", "softsign", "sparse_plus", "sparse_sigmoid",
    "squareplus", "tanh_shrink", "abs", "ceil", "cos", "erf", "exp", "expm1", "floor", "negative", "round", "sigmoid",
    "sign", "sin", "square", "tanh", "stop_gradient",
)  # fmt: skip
OF_POSITIVE = ("log", "log1p", "reciprocal", "rsqrt", "sqrt")
COMPARING = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
OF_TWO = ("add", "subtract", "multiply", "maximum", "minimum")
ALONG_ROWS = ("sum", "mean", "max", "min", "std", "var", "logsumexp")

LINES: dict[str, Line] = {
    **{name: (f"{name}(x)", X, "spread") for name in ACTIVATIONS},
    **{name: (f"{name}(x)", A, "above_zero") for name in OF_POSITIVE},
    **{name: (f"{name}(x, y)", TWO, "two_digits") for name in (*OF_TWO, *COMPARING)},
    "isfinite": ("isfinite(x)", {"x": holed}, "holed"),
    "isnan": ("isnan(x)", {"x": holed}, "holed"),
    "threshold": ("threshold(x, 0.5, 0.0)", X, "spread"),
    "clip": ("clip(x, 0.3, 0.7)", P, "picture"),
    "divide": ("divide(x, y)", {"x": picture, "y": above_zero}, "two_pictures"),
    "power": ("power(x, 2.2)", A, "above_zero"),
    "floor_divide": ("floor_divide(x, 64)", {"x": whole}, "whole"),
    "remainder": ("remainder(x, 64)", {"x": whole}, "whole"),
    "left_shift": ("left_shift(cast(x, 'uint32'), 1)", {"x": whole}, "whole"),
    "right_shift": ("right_shift(cast(x, 'uint32'), 6)", {"x": whole}, "whole"),
    "logical_and": ("logical_and(x, y)", {"x": bright, "y": lambda: bright().T.copy()}, "bright"),
    "logical_or": ("logical_or(x, y)", {"x": bright, "y": lambda: bright().T.copy()}, "bright"),
    "logical_xor": ("logical_xor(x, y)", {"x": bright, "y": lambda: bright().T.copy()}, "bright"),
    "logical_not": ("logical_not(x)", {"x": bright}, "bright"),
    "where": ("where(greater(x, y), x, y)", TWO, "two_digits"),
    "glu": ("glu(x)", X, "spread"),
    # ---- reductions
    **{name: (f"{name}(x, axis=1)", P, "picture") for name in ALONG_ROWS},
    "argmax": ("argmax(x)", {"x": real.scores}, "scores"),
    "argmin": ("argmin(x)", {"x": real.scores}, "scores"),
    "prod": ("prod(x, axis=1)", {"x": lambda: ink() + np.float32(1)}, "digit_and_1"),
    "all": ("all(x, axis=1)", {"x": bright}, "bright"),
    "any": ("any(x, axis=1)", {"x": bright}, "bright"),
    "all_finite": ("all_finite(x)", {"x": holed}, "holed"),
    "average": ("average(x, weights=w)", {"x": picture, "w": lambda: centre()}, "weighed"),
    "count_nonzero": ("count_nonzero(x, axis=1)", {"x": ink}, "digit"),
    "cumsum": ("cumsum(x, axis=1)", {"x": ink}, "digit"),
    "spread": ("spread(g, x, (1,))", {"g": lambda: picture().mean(1), "x": picture}, "means"),
    # ---- shapes
    "arange": ("arange(0, 24, 3)", {}, "nothing"),
    "iota": ("iota((8, 8), 1)", {}, "nothing"),
    "full": ("full((4, 8), 0.5)", {}, "nothing"),
    "ones": ("ones((4, 8))", {}, "nothing"),
    "zeros": ("zeros((4, 8))", {}, "nothing"),
    "ones_like": ("ones_like(x)", {"x": ink}, "digit"),
    "zeros_like": ("zeros_like(x)", {"x": ink}, "digit"),
    "broadcast_to": ("broadcast_to(x, (8, 8))", {"x": lambda: ink()[1]}, "row"),
    "concatenate": ("concatenate([x, y], axis=1)", TWO, "two_digits"),
    "stack": ("stack([x, y])", TWO, "two_digits"),
    "expand_dims": ("expand_dims(x, 0)", {"x": ink}, "digit"),
    "squeeze": ("squeeze(x)", {"x": real.digit}, "digit"),
    "flip": ("flip(x, axis=1)", P, "picture"),
    "moveaxis": ("moveaxis(x, 0, 1)", P, "picture"),
    "swapaxes": ("swapaxes(x, 0, 1)", P, "picture"),
    "transpose": ("transpose(x)", P, "picture"),
    "ravel": ("ravel(x)", {"x": ink}, "digit"),
    "reshape": ("reshape(x, (4, 16))", {"x": ink}, "digit"),
    "tile": ("tile(x, (2, 3))", {"x": ink}, "digit"),
    "pad": ("pad(x, ((8, 8), (8, 8)))", P, "picture"),
    "pad_interior": ("pad_interior(x, (0, 0), (0, 0), (1, 1))", {"x": ink}, "digit"),
    "slice_axis": ("slice_axis(x, 0, 0, 64, 4)", P, "picture"),
    "split": ("split(x, 2, axis=1)", P, "picture"),
    "one_hot": ("one_hot(x, 10)", {"x": lambda: real.all_digits()[1][:8].copy()}, "labels"),
    "take": ("take(x, [0, 0, 2, 2, 4, 4, 6, 6])", {"x": ink}, "digit"),
    "scatter_add": ("scatter_add(x, [3, 3], y)", {"x": ink, "y": lambda: ink()[:2].copy()}, "digit_rows"),
    "cast": ("cast(4.0 * x, 'int32')", P, "picture"),
    "constant": ("constant([0.25, 0.5, 0.25])", {}, "nothing"),
    "size": ("size(x.shape[0])", P, "picture"),
    "as_value": ("as_value(0.5) * x", P, "picture"),
    # ---- products
    "dot": ("dot(x, m)", {"x": ink, "m": mirror}, "mirror"),
    "matmul": ("matmul(x, m)", {"x": ink, "m": mirror}, "mirror"),
    "einsum": ("einsum('ij,jk->ik', x, m)", {"x": ink, "m": mirror}, "mirror"),
    "tensordot": ("tensordot(x, m, 1)", {"x": ink, "m": mirror}, "mirror"),
    "outer": ("outer(x, y)", {"x": lambda: ink().max(1), "y": lambda: ink().max(0)}, "margins"),
    "conv": ("conv(x, k)", {"x": real.grey, "k": sobel}, "grey", ("sobel",)),
    "conv_transpose": (
        "conv_transpose(x, k, (16, 16), strides=2, padding=((0, 1), (0, 1)))", {"x": real.digit, "k": tent}, "digit",
        ("tent",),
    ),
    "max_pool": ("max_pool(x, 4)", {"x": real.grey}, "grey"),
    "average_pool": ("average_pool(x, 4)", {"x": real.grey}, "grey"),
    # ---- networks
    "softmax": ("softmax(x)", {"x": real.scores}, "scores"),
    "log_softmax": ("log_softmax(x)", {"x": real.scores}, "scores"),
    "sparsemax": ("sparsemax(x)", {"x": real.scores}, "scores"),
    "masked_softmax": ("masked_softmax(x, mask)", {"x": real.scores, "mask": lambda: odd()}, "scores"),
    "softmax_cross_entropy": (
        "softmax_cross_entropy(x, label)", {"x": real.scores, "label": lambda: np.array([3], np.int32)}, "scores",
    ),
    "sigmoid_cross_entropy": (
        "sigmoid_cross_entropy(x, y)", {"x": real.scores, "y": lambda: np.eye(10, dtype=np.float32)[3:4]}, "scores",
    ),
    "attention_weights": (
        "attention_weights(q, k)", {"q": lambda: real.rows_of_a_digit(3), "k": lambda: real.rows_of_a_digit(8)},
        "two_rows",
    ),
    "dot_product_attention": (
        "dot_product_attention(q, k, v)",
        {"q": lambda: real.rows_of_a_digit(3), **{n: lambda: real.rows_of_a_digit(8) for n in "kv"}}, "two_rows",
    ),
    "standardize": ("standardize(x, (0, 1))", P, "picture"),
    "layer_normalization": (
        "layer_normalization(x, scale, offset)",
        {
            "x": lambda: real.rows_of_a_digit(), "scale": lambda: np.ones(8, np.float32),
            "offset": lambda: np.zeros(8, np.float32),
        }, "rows",
    ),
    "batch_normalization": (
        "batch_normalization(x, scale, offset, mean, variance, example_weights(x))",
        {
            "x": lambda: real.digits(16), "scale": lambda: np.ones(1, np.float32),
            "offset": lambda: np.zeros(1, np.float32), "mean": lambda: np.zeros(1, np.float32),
            "variance": lambda: np.ones(1, np.float32),
        }, "digits", ("batch_statistics",),
    ),
    "local_response_normalization": (
        "local_response_normalization(x, n=5, k=0.05, alpha=1.0)", {"x": real.edges_in_eight_directions}, "edges",
        ("strong_lrn",),
    ),
    "example_weights": ("example_weights(x)", {"x": lambda: real.pixels(4)}, "pixels"),
    "training_only": ("training_only(x, -x)", P, "picture", ("training_only",)),
    # ---- images
    "center_crop": ("center_crop(x, 40, 40)", IMAGES, "photograph"),
    "crop_of_ten": ("crop_of_ten(x, 9, 48, 48)", IMAGES, "photograph"),
    "ten_crops": ("ten_crops(x, 48, 48)", IMAGES, "photograph"),
    "flip_left_right": ("flip_left_right(x)", IMAGES, "photograph"),
    "flip_up_down": ("flip_up_down(x)", IMAGES, "photograph"),
    "pca_color": (
        "pca_color(x, values, vectors, state, stddev=1.0)",
        {**RANDOM, "values": lambda: colours()[0], "vectors": lambda: colours()[1]}, "photograph",
        ("training_only", "strong_colour"),
    ),
    "random_brightness": (
        "random_brightness(x, 0.2, 0.3, state, value_range=(0, 1))", RANDOM, "photograph", ("training_only",),
    ),
    "random_contrast": (
        "random_contrast(x, 0.3, 0.5, state, value_range=(0, 1))", RANDOM, "photograph", ("training_only",),
    ),
    "random_crop": ("random_crop(x, 48, 48, state)", RANDOM, "photograph", ("training_only",)),
    "random_cutout": ("random_cutout(x, 24, state)", RANDOM, "photograph", ("training_only",)),
    "random_erasing": (
        "random_erasing(x, 1.0, (0.1, 0.3), state, value_range=(0, 1))", RANDOM, "photograph", ("training_only",),
    ),
    "random_flip": (
        "random_flip(x, state)", {"x": lambda: real.digits(4), "state": state}, "digits", ("training_only",),
    ),
    "subtract_mean": (
        "subtract_mean(x, m)", {"x": lambda: real.digits(4), "m": lambda: real.digits(100).mean(0)}, "digits",
        ("mean_of_100",),
    ),
    "mixup": (
        "mixup(x, share, partner)",
        {
            "x": lambda: real.digits(4), "share": lambda: np.full(4, 0.7, np.float32),
            "partner": lambda: np.array([1, 2, 3, 0], np.int32),
        }, "digits", ("training_only",),
    ),
    # ---- chance
    "random_bits": ("random_bits(state, (32, 32), 'bits')", STATE, "state"),
    "random_uniform": ("random_uniform(state, (32, 32), 'uniform')", STATE, "state"),
    "random_normal": ("random_normal(state, (32, 32), 'normal')", STATE, "state"),
    "random_bernoulli": ("random_bernoulli(state, 0.3, (32, 32), 'coin')", STATE, "state"),
    "random_integers": ("random_integers(state, (32, 32), 'die', 6)", STATE, "state"),
    "random_beta": ("random_beta(state, 0.2, (256,), 'share')", STATE, "state"),
    "random_partner": (
        "random_partner(w, state)", {"w": lambda: np.ones(8, np.float32), "state": state}, "state",
    ),
    "random_state": ("random_state(0)", {}, "nothing"),
    "next_state": ("next_state(state)", STATE, "state"),
    "dropout": ("dropout(x, 0.5, state)", {**P, "state": state}, "picture", ("training_only",)),
}  # fmt: skip


def centre() -> np.ndarray:
    """Weights that count the middle of a picture more: [64, 64]."""
    bell = np.exp(-(((np.arange(64) - 31.5) / 16) ** 2)).astype(np.float32)
    return bell[:, None] * bell[None, :]


def odd() -> np.ndarray:
    """Which of ten numbers are at odd places: bool [1, 10]."""
    return (np.arange(10) % 2 == 1)[None]


def colours() -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of the photograph's colours."""
    values, vectors = np.linalg.eigh(np.cov(real.photograph().reshape(-1, 3), rowvar=False))
    return values.astype(np.float32), vectors.astype(np.float32)


UNALIKE = {"argmax", "argmin", "random_state", "next_state", "size", "constant", "one_hot", "conv", "conv_transpose",
           "dot_product_attention", "attention_weights"}  # fmt: skip
NAMED = {
    "batch_normalization": ("y", "mean", "variance"), "dot_product_attention": ("y", "weights"),
    "scan": ("last", "y"), "split": ("left", "right"),
}  # fmt: skip


def from_line(name: str) -> Callable[[], Case]:
    """The case of a line of code, which is evaluated as it stands."""

    def make() -> Case:
        code, inputs, what, *rest = LINES[name]
        arrays = {key: made() for key, made in inputs.items()}
        scope = {key: getattr(mr, key) for key in mr.__all__}

        def call(*values: Any) -> Any:
            return eval(code, {**scope, **dict(zip(arrays, values, strict=True))})

        notes: tuple[str, ...] = rest[0] if rest else ()
        compare = name not in UNALIKE and "state" not in list(arrays)[:1]
        return Case(code, arrays, call, what, notes, compare=compare, named=NAMED.get(name, ()))

    return make


FUNCTION_CASES: dict[str, Callable[[], Case]] = {name: from_line(name) for name in LINES}


def told(name: str, code: str, what: str, inputs: Mapping[str, Make], call: Callable[..., Any], *notes: str) -> None:
    """A case whose code is more than an expression."""

    def make() -> Case:
        arrays = {key: made() for key, made in inputs.items()}
        return Case(code, arrays, call, what, notes, named=NAMED.get(name, ()))

    FUNCTION_CASES[name] = make


def _autocast(x: Any) -> Any:
    w = Variable(np.float32(1 / 3) * np.ones((8, 8), np.float32), name="w")
    with mr.autocast("bfloat16"):
        return mr.cast(mr.cast(x, "bfloat16") * w, "float32")


def _running_mean(state: Any, x: Any) -> Any:
    h = 0.8 * state + 0.2 * x
    return h, h


told("autocast", 'with autocast("bfloat16"): y = x * w', "digit", {"x": ink}, _autocast)
told("Input", "x = Input((8, 8)); y = 2 * x", "digit", {"x": ink}, lambda x: 2.0 * x)
told("gradients", "gradients(sum(square(tanh(x))), [x])", "spread", X,
     lambda x: mr.gradients(mr.sum(mr.square(mr.tanh(x))), [x]))  # fmt: skip
told("vjp", "vjp(tanh(x), [x], g)", "spread_and_g", {"x": spread, "g": picture},
     lambda x, g: [v for v in mr.vjp(mr.tanh(x), [x], g) if v is not None])  # fmt: skip
told("scan", "scan(lambda h, x: (0.8 * h + 0.2 * x,) * 2, zeros(()), x)", "brightness",
     {"x": lambda: real.brightness()[0, :, 0]}, lambda x: mr.scan(_running_mean, mr.zeros(()), x))  # fmt: skip
told("shard", 'shard(x, ["data", None])', "picture", P, lambda x: mr.shard(x, ["data", None]), "one_device")
