"""Every layer at work on something real: what moves, looks at windows, or sits between others. A case each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from millrace import layers as L
from millrace.explain.at_work import real_inputs as real
from millrace.explain.at_work.cases import Case
from millrace.explain.at_work.telling_weights import edges, evenly, shared, tents, with_weights
from millrace.layers import initializers
from millrace.layers.calls import mask_of

LAYER_CASES: dict[str, Callable[[], Case]] = {}


def case(name: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    """Register a function that makes the case of a layer."""

    def keep(make: Callable[[], Case]) -> Callable[[], Case]:
        LAYER_CASES[name] = make
        return make

    return keep


def on(code: str, x: np.ndarray, what: str, *notes: str, make: Any = None, **more: Any) -> Case:
    """A layer, as `code` makes it, on one input."""
    layer = eval(code, {name: getattr(L, name) for name in L.__all__} | more.pop("given", {}))
    call = layer if make is None else with_weights(layer, *make)
    return Case(code, {"x": x}, call, what, notes, layer, **more)


SIMPLE: dict[str, tuple[str, Callable[[], np.ndarray], str, tuple[str, ...]]] = {
    # name: code, input, what it is, notes
    "Activation": ('Activation("tanh")', real.spread_out, "spread", ()),
    "AveragePooling1D": ("AveragePooling1D(4)", real.brightness, "brightness", ()),
    "AveragePooling2D": ("AveragePooling2D(4)", real.grey, "grey", ()),
    "AveragePooling3D": ("AveragePooling3D(2)", real.volume, "volume", ()),
    "CenterCrop": ("CenterCrop(40, 40)", real.photograph, "photograph", ()),
    "Cropping2D": ("Cropping2D(((4, 20), (16, 16)))", real.photograph, "photograph", ()),
    "Cutout": ("Cutout(24, seed=3)", real.photograph, "photograph", ("training_only",)),
    "Dropout": ("Dropout(0.5, seed=0)", real.grey, "grey", ("training_only",)),
    "ELU": ("ELU()", real.spread_out, "spread", ()),
    "Flatten": ("Flatten()", real.digit, "digit", ()),
    "GaussianDropout": ("GaussianDropout(0.2, seed=0)", real.grey, "grey", ("training_only",)),
    "GaussianNoise": ("GaussianNoise(0.1, seed=0)", real.grey, "grey", ("training_only",)),
    "GlobalAveragePooling1D": ("GlobalAveragePooling1D()", real.brightness, "brightness", ()),
    "GlobalAveragePooling2D": ("GlobalAveragePooling2D()", real.photograph, "photograph", ()),
    "GlobalAveragePooling3D": ("GlobalAveragePooling3D()", real.volume, "volume", ()),
    "GlobalMaxPooling1D": ("GlobalMaxPooling1D()", real.brightness, "brightness", ()),
    "GlobalMaxPooling2D": ("GlobalMaxPooling2D()", real.photograph, "photograph", ()),
    "GlobalMaxPooling3D": ("GlobalMaxPooling3D()", real.volume, "volume", ()),
    "GroupNormalization": ("GroupNormalization(groups=4)", real.edges_in_eight_directions, "edges", ()),
    "Identity": ("Identity()", real.grey, "grey", ()),
    "LayerNormalization": ("LayerNormalization()", lambda: real.rows_of_a_digit(), "rows", ()),
    "LeakyReLU": ("LeakyReLU(0.1)", real.spread_out, "spread", ()),
    "LocalResponseNormalization": (
        "LocalResponseNormalization(n=5, k=0.05, alpha=1.0)", real.edges_in_eight_directions, "edges", ("strong_lrn",),
    ),
    "LogSoftmax": ("LogSoftmax()", real.scores, "scores", ()),
    "MaxPooling1D": ("MaxPooling1D(4)", real.brightness, "brightness", ()),
    "MaxPooling2D": ("MaxPooling2D(4)", real.grey, "grey", ()),
    "MaxPooling3D": ("MaxPooling3D(2)", real.volume, "volume", ()),
    "MixUp": ("MixUp(2.0, seed=1)", lambda: real.digits(4), "digits", ("training_only",)),
    "Permute": ("Permute((2, 1, 3))", real.photograph, "photograph", ()),
    "Pooling": ('Pooling("max", (3, 3), strides=2)', real.grey, "grey", ()),
    "RMSNormalization": ("RMSNormalization()", lambda: real.rows_of_a_digit(), "rows", ()),
    "RandomBrightness": (
        "RandomBrightness(0.3, value_range=(0, 1), seed=1)", real.photograph, "photograph", ("training_only",),
    ),
    "RandomContrast": (
        "RandomContrast(0.6, value_range=(0, 1), seed=4)", real.photograph, "photograph", ("training_only",),
    ),
    "RandomCrop": ("RandomCrop(48, 48, seed=2)", real.photograph, "photograph", ("training_only",)),
    "RandomErasing": (
        "RandomErasing(1.0, value_range=(0, 1), seed=2)", real.photograph, "photograph", ("training_only",),
    ),
    "RandomFlip": ('RandomFlip("horizontal", seed=0)', real.photograph, "photograph", ("training_only",)),
    "ReLU": ("ReLU()", real.spread_out, "spread", ()),
    "RepeatVector": ("RepeatVector(8)", lambda: real.rows_of_a_digit()[:, 1], "row", ()),
    "Rescaling": ("Rescaling(1 / 255)", lambda: real.bytes_of(real.photograph()), "bytes", ()),
    "Reshape": ("Reshape((4, 16))", lambda: real.rows_of_a_digit(), "rows", ()),
    "Sigmoid": ("Sigmoid()", real.spread_out, "spread", ()),
    "Softmax": ("Softmax()", real.scores, "scores", ()),
    "SpatialDropout1D": ("SpatialDropout1D(0.5, seed=0)", lambda: real.rows_of_a_digit(), "rows", ("training_only",)),
    "SpatialDropout2D": (
        "SpatialDropout2D(0.5, seed=0)", real.edges_in_eight_directions, "edges", ("training_only",),
    ),
    "SpatialDropout3D": (
        "SpatialDropout3D(0.5, seed=1)", lambda: real.channels_of_a_volume(), "volume_channels", ("training_only",),
    ),
    "UnitNormalization": ("UnitNormalization()", lambda: real.rows_of_a_digit(), "rows", ()),
    "UpSampling2D": ("UpSampling2D(4)", real.digit, "digit", ()),
    "ZeroPadding2D": ("ZeroPadding2D(8)", real.photograph, "photograph", ()),
    "BatchNormalization": ("BatchNormalization()", lambda: real.digits(16), "digits", ("batch_statistics",)),
}  # fmt: skip


def simple(name: str) -> Callable[[], Case]:
    code, x, what, notes = SIMPLE[name]
    return lambda: on(code, x(), what, *notes)


for _name in SIMPLE:
    LAYER_CASES[_name] = simple(_name)


CONVOLUTIONS: dict[str, tuple[str, Callable[[], np.ndarray], str, str, tuple[Any, ...]]] = {
    # name: code, input, what it is, note, what makes the weights
    "Conv1D": ('Conv1D(1, 3, padding="same")', real.brightness, "brightness", "slope", (edges,)),
    "Conv2D": ("Conv2D(2, 3)", real.grey, "grey", "sobel", (edges,)),
    "Conv3D": ('Conv3D(1, 3, padding="same")', real.volume, "volume", "motion", (edges,)),
    "Conv1DTranspose": (
        'Conv1DTranspose(1, 3, strides=2, padding="same")', lambda: real.brightness(48), "brightness", "tent", (tents,),
    ),
    "Conv2DTranspose": (
        'Conv2DTranspose(1, 3, strides=2, padding="same")', real.digit, "digit", "tent", (tents,),
    ),
    "Conv3DTranspose": (
        'Conv3DTranspose(1, 3, strides=2, padding="same")', lambda: real.volume(4, 16), "volume", "tent", (tents,),
    ),
    "DepthwiseConv1D": (
        'DepthwiseConv1D(3, padding="same")', lambda: real.colour_line(), "colour_line", "slope", (edges,),
    ),
    "DepthwiseConv2D": ("DepthwiseConv2D(3)", real.photograph, "photograph", "sobel", (edges,)),
    "SeparableConv1D": (
        'SeparableConv1D(1, 3, padding="same")', lambda: real.colour_line(), "colour_line", "slope_mixed",
        (edges, evenly),
    ),
    "SeparableConv2D": (
        "SeparableConv2D(1, 3)", real.photograph, "photograph", "sobel_mixed", (shared, evenly),
    ),
}  # fmt: skip


def convolution(name: str) -> Callable[[], Case]:
    code, x, what, note, make = CONVOLUTIONS[name]
    return lambda: on(code, x(), what, note, make=make, compare=False)


for _name in CONVOLUTIONS:
    LAYER_CASES[_name] = convolution(_name)


@case("Dense")
def _() -> Case:
    return on('Dense(10, activation="relu")', real.pixels(), "pixels", "drawn")


@case("Neuron")
def _() -> Case:
    def likeness(shape: Any) -> np.ndarray:
        x = real.pixels()[0]
        return (x - x.mean()).astype(np.float32)

    layer = L.Neuron("sigmoid")
    others = np.concatenate([real.all_digits()[0][n : n + 1].reshape(1, 64) for n in range(10)])
    call = with_weights(layer, likeness, lambda shape: np.full(shape, -5.0, np.float32))
    return Case('Neuron("sigmoid")', {"x": others}, call, "ten_digits", ("likeness",), layer, compare=False)


@case("ActivityRegularization")
def _() -> Case:
    layer = L.ActivityRegularization(l2=0.01)

    def call(x: Any) -> Any:
        return [layer(x), layer.penalties[-1]]

    return Case(
        "ActivityRegularization(l2=0.01)", {"x": real.spread_out()}, call, "spread", ("penalty",), layer,
        named=("y", "penalty"),
    )  # fmt: skip


@case("Masking")
def _() -> Case:
    x = real.rows_of_a_digit()
    x[:, 5:] = 0
    layer = L.Masking()

    def call(x: Any) -> Any:
        y = layer(x)
        return [y, mask_of(y)]

    return Case("Masking()", {"x": x}, call, "padded_rows", (), layer, named=("y", "mask"))


@case("MeanSubtraction")
def _() -> Case:
    x = real.digits(4)
    mean = real.digits(100).mean(axis=0)
    layer = L.MeanSubtraction(mean)
    return Case("MeanSubtraction(x_train.mean(0))", {"x": x}, layer, "digits", ("mean_of_100",), layer)


@case("Normalization")
def _() -> Case:
    x = real.photograph()
    code = "Normalization(mean=x.mean((0, 1, 2)), variance=x.var((0, 1, 2)))"
    return on(code, x, "photograph", given={"x": x})


@case("PCAColor")
def _() -> Case:
    x = real.photograph()
    values, vectors = np.linalg.eigh(np.cov(x.reshape(-1, 3), rowvar=False))
    code = "PCAColor(eigenvalues, eigenvectors, stddev=1.0, seed=0)"
    given = {"eigenvalues": values.astype(np.float32), "eigenvectors": vectors.astype(np.float32)}
    return on(code, x, "photograph", "training_only", "strong_colour", given=given)


def merging(name: str) -> Callable[[], Case]:
    """Two pictures brought together."""

    def make() -> Case:
        layer = getattr(L, name)()
        inputs = {"x": real.digit(3), "y": real.digit(8)}
        notes = () if name != "Concatenate" else ("channels_joined",)
        return Case(f"{name}()([x, y])", inputs, lambda x, y: layer([x, y]), "two_digits", notes, layer, named=("z",))

    return make


for _name in ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"):
    LAYER_CASES[_name] = merging(_name)


@case("Dot")
def _() -> Case:
    layer = L.Dot(axes=1, normalize=True)
    inputs = {"x": real.pixels(1), "y": real.pixels(6)[5:6]}
    return Case("Dot(axes=1, normalize=True)([x, y])", inputs, lambda x, y: layer([x, y]), "two_vectors", (), layer)


@case("Residual")
def _() -> Case:
    conv = L.Conv2D(1, 3, padding="same", name="conv")
    layer = L.Residual([conv])

    def call(x: Any) -> Any:
        y = layer(x)
        sharpen = -np.ones((3, 3), np.float32)
        sharpen[1, 1] = 8
        conv.weights[0].assign((sharpen / 8)[:, :, None, None])
        return y

    code = 'Residual([Conv2D(1, 3, padding="same")])'
    return Case(code, {"x": real.grey()}, call, "grey", ("sharpen",), layer)


@case("PReLU")
def _() -> Case:
    code = "PReLU(initializers.Constant(0.25), shared_axes=(1, 2))"
    return on(code, real.spread_out(), "spread", given={"initializers": initializers})


@case("TimeDistributed")
def _() -> Case:
    return on("TimeDistributed(MaxPooling2D(2))", real.volume(), "frames")
