"""StableHLO: one artifact for any number of examples and three platforms, called by JAX alone."""

import importlib
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import export as jax_export

import millrace as mr
from millrace import layers
from millrace.functional import Input
from millrace.inference import Predictor
from millrace.inference.rewriting import detached
from millrace.inference.stablehlo import save_stablehlo
from millrace.ir.dims import Dim, bind
from millrace.ir.errors import ArgumentError
from millrace.ir.graph import Graph
from millrace.ir.rewrite import simplify
from millrace.models import RECIPES, Recipe, alexnet
from millrace.ops.random import RandomBits

SMALL = {  # networks at sizes that compile in a moment; every kind of layer in them stays
    "alexnet": lambda: alexnet(classes=10, width=1 / 24, size=67),
    "resnet18": lambda: RECIPES["resnet18"].configured({"width": 0.125}).build(None),
    "sentiment": lambda: RECIPES["sentiment"].build(None),
}
QUICK = ("cifar_quick", "digits", "lenet", "memory_network", "perceptron")
NETWORKS = sorted(name for name, one in RECIPES.items() if isinstance(one, Recipe))


def artifact(predictor, path, platforms=None):
    save_stablehlo(predictor, path, platforms)
    return jax_export.deserialize(bytearray(path.read_bytes()))


def examples(predictor, count, below=4):
    """Random arrays for the inputs, so many examples of each."""
    rng = np.random.default_rng(count)
    for port in predictor.inputs:
        shape = [
            bind(size, dict.fromkeys(size.names, count)) if isinstance(size, Dim) else size for size in port.type.shape
        ]
        made = rng.random(shape) if port.type.is_float else rng.integers(0, below, shape)
        yield made.astype(port.type.dtype)


def called(exported, arrays):
    made = exported.call(*arrays)
    return [np.asarray(array) for array in (made if isinstance(made, (list, tuple)) else [made])]


def agrees(exported, predictor, count):
    arrays = list(examples(predictor, count))
    for got, want in zip(called(exported, arrays), predictor(*arrays), strict=True):
        assert got.shape == want.shape and got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def network(name):
    mr.set_seed(0)
    model = SMALL[name]() if name in SMALL else RECIPES[name].build(None)
    return Predictor.of(model, engine="numpy")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_one_artifact_for_any_number_of_examples(name, tmp_path):
    predictor = network(name)
    exported = artifact(predictor, tmp_path / "x.stablehlo")
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert {str(aval.shape[0]) for aval in exported.in_avals} == {"batch"}
    assert set(re.findall(r"custom_call @(\w+)", exported.mlir_module())) <= {"shape_assertion"}
    if name in QUICK:  # each size is compiled, the others in up to two seconds
        for count in (1, 3):
            agrees(exported, predictor, count)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NETWORKS) - set(QUICK)))
def test_the_larger_networks_answer_the_same(name, tmp_path):
    predictor = network(name)
    exported = artifact(predictor, tmp_path / "x.stablehlo")
    for count in (1, 3):
        agrees(exported, predictor, count)


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    ["core", "rectifiers", "convolutions", "transposed", "poolings", "normalizations", "recurrences", "attentions"],
)
def test_every_case_of_every_layer_at_two_batch_sizes(family, monkeypatch, tmp_path):
    """All cases of tests/parity/layer_cases*.py in use, side by side in one artifact a family; 90 s for all."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "layers"))
    oracles = importlib.import_module("test_against_oracles")
    inputs, outputs, given, names = [], [], [], []
    for number, (name, case) in enumerate(oracles.cases(family).items()):
        if not case["training"]:
            built, xs = oracles.Built(family, name, number), oracles.arrays(family, name, "x")
            inputs, given = inputs + built.inputs[: len(xs)], given + xs
            outputs, names = outputs + built.values["out"], names + [name] * len(built.values["out"])
    predictor = Predictor(simplify(detached(Graph(inputs, outputs))), [f"out{n}" for n in range(len(outputs))])
    exported = artifact(predictor, tmp_path / "x.stablehlo")
    for times in (1, 2):
        arrays = [
            np.concatenate([x] * times) if isinstance(v.shape[0], Dim) else x
            for v, x in zip(inputs, given, strict=True)
        ]
        for name, got, want in zip(names, called(exported, arrays), predictor(*arrays), strict=True):
            oracles.close(got, want, name)


# What each layer is asked for: arguments, and the shape of an example (a list for several inputs).
CASES = [
    (layers.Conv2D(4, 3, strides=2, padding="same"), (7, 6, 3)), (layers.Conv2D(4, 3, groups=2), (6, 6, 4)),
    (layers.Conv2D(4, 5, padding="same"), (3, 3, 2)), (layers.Conv3D(2, 2), (3, 4, 3, 2)),
    (layers.Conv2DTranspose(3, 3, strides=2, padding="same"), (4, 5, 2)), (layers.DepthwiseConv2D(3), (5, 5, 3)),
    (layers.SeparableConv2D(4, 3), (5, 5, 3)), (layers.MaxPooling2D(3, 2, padding="same"), (7, 7, 2)),
    (layers.AveragePooling2D(2), (6, 6, 2)), (layers.GlobalAveragePooling2D(), (4, 5, 3)),
    (layers.GlobalMaxPooling2D(), (4, 5, 3)), (layers.LocalResponseNormalization(), (3, 3, 8)),
    (layers.BatchNormalization(), (4, 3)), (layers.LayerNormalization(), (4, 3)),
    (layers.GroupNormalization(2), (4, 4)), (layers.RMSNormalization(), (5,)),
    (layers.LSTM(3, return_sequences=True), (6, 4)), (layers.GRU(3, go_backwards=True), (6, 4)),
    (layers.Bidirectional(layers.SimpleRNN(3)), (5, 2)), (layers.MultiHeadAttention(2, 3), [(4, 6), (5, 6)]),
    (layers.Dot(axes=1), [(4,), (4,)]), (layers.Concatenate(), [(4, 2), (4, 3)]), (layers.Dense(3, "softmax"), (4, 5)),
    (layers.Dropout(0.5), (4,)), (layers.GaussianNoise(1.0), (4,)), (layers.UpSampling2D(2), (3, 2, 2)),
    (layers.Reshape((-1, 2)), (3, 4)), (layers.Permute((2, 1)), (3, 4)), (layers.RepeatVector(3), (4,)),
    (layers.TimeDistributed(layers.Dense(2)), (3, 4)), (layers.CenterCrop(2, 2), (5, 4, 1)), (layers.PReLU(), (4,)),
]  # fmt: skip


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """All the layers side by side in one artifact, which takes a second where one for each took half a minute."""
    inputs, outputs = [], []
    for layer, shape in CASES:
        shapes = shape if isinstance(shape, list) else [shape]
        given = [Input(one, name=f"x{len(inputs) + n}") for n, one in enumerate(shapes)]
        made = layer(given if isinstance(layer, (layers.Dot, layers.Concatenate)) else given[0], *(
            [] if isinstance(layer, (layers.Dot, layers.Concatenate)) else given[1:]
        ))  # fmt: skip
        inputs, outputs = inputs + given, [*outputs, made]
    predictor = Predictor.of(mr.Model(inputs, outputs), engine="numpy", fold=False)
    return artifact(predictor, tmp_path_factory.mktemp("layers") / "all.stablehlo"), predictor


@pytest.mark.parametrize("count", [1, 4])
def test_every_kind_of_layer_takes_its_plain_form(everything, count):
    exported, predictor = everything
    arrays = list(examples(predictor, count))
    got, want = called(exported, arrays), predictor(*arrays)
    for (layer, _), a, b in zip(CASES, got, want, strict=True):
        assert a.shape == b.shape, layer.name
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=layer.name)


def test_nothing_of_one_platform_alone_is_in_the_artifact(everything):
    exported, _ = everything
    # shape_assertion is JAX's own, and resolved before any platform sees it
    assert set(re.findall(r"custom_call @(\w+)", exported.mlir_module())) <= {"shape_assertion"}
    assert "inlineable" not in exported.mlir_module()


def test_whole_numbers_go_into_a_loop(tmp_path):
    words = Input((5,), dtype="int32", name="words")
    model = mr.Model(words, layers.GRU(4)(layers.Embedding(7, 3)(words)))
    predictor = Predictor.of(model, engine="numpy")
    agrees(artifact(predictor, tmp_path / "x.stablehlo"), predictor, 2)


def test_layers_that_compute_in_16_bits(tmp_path):
    policy = "mixed_bfloat16"
    x = Input((6, 6, 2), name="x")
    y = layers.Softmax(dtype=policy)(layers.GlobalAveragePooling2D(dtype=policy)(layers.Conv2D(3, 3, dtype=policy)(x)))
    predictor = Predictor.of(mr.Model(x, layers.LayerNormalization(dtype=policy)(y)))
    exported = artifact(predictor, tmp_path / "x.stablehlo")
    (array,) = examples(predictor, 2)
    got, want = called(exported, [array])[0], predictor(array)[0]
    assert got.dtype == want.dtype != np.float32
    np.testing.assert_allclose(got.astype(np.float32), want.astype(np.float32), rtol=2e-2, atol=2e-2)


def test_an_artifact_for_one_platform_says_so_and_is_called_by_its_name(tmp_path):
    predictor = Predictor.of(RECIPES["mlp"].build(None))
    exported = artifact(predictor, tmp_path / "x.stablehlo", "tpu")
    assert exported.platforms == ("tpu",) and exported.fun_name == "mlp"
    with pytest.raises(ArgumentError, match=r"platform 'gpu': GPUs of NVIDIA are called cuda"):
        save_stablehlo(predictor, tmp_path / "y.stablehlo", "cpu,gpu")
    with pytest.raises(ArgumentError, match=r"unknown platform 'rocm'"):
        save_stablehlo(predictor, tmp_path / "y.stablehlo", ["rocm"])
    assert not (tmp_path / "y.stablehlo").exists()


def test_wrong_shapes_are_refused_by_the_artifact_itself(tmp_path):
    exported = artifact(Predictor.of(RECIPES["mlp"].build(None)), tmp_path / "x.stablehlo")
    with pytest.raises(ValueError, match="Shape mismatch"):
        exported.call(np.zeros((2, 9, 8, 1), np.float32))


def test_what_cannot_be_exported_says_which_operation_and_why(tmp_path):
    x = Input((4,), name="x")
    state = mr.Variable(np.zeros(4, np.float32), name="seen")
    stateful = Predictor(Graph([x], [x + state], {state: state + mr.sum(x, axis=0)}), ["y"])
    with pytest.raises(ArgumentError, match="changes seen when it is called"):
        save_stablehlo(stateful, tmp_path / "x.stablehlo")
    key = mr.Variable(np.zeros(2, np.uint32), name="key", trainable=False)
    drawn = Predictor(Graph([x], [RandomBits((x.shape[0], 3), "noise")(key.value)]), ["bits"])
    with pytest.raises(ArgumentError, match=r"RandomBits cannot be exported with open sizes \(batch\)"):
        save_stablehlo(drawn, tmp_path / "x.stablehlo")
    assert not list(tmp_path.iterdir())


def test_weights_of_fewer_bits_stay_so_in_the_file(tmp_path):
    from millrace.inference.precision import lowered

    whole = Predictor.of(RECIPES["digits"].build(None), engine="numpy")
    sizes = {}
    for precision in ("float32", "bfloat16", "int8"):
        predictor = lowered(whole, precision)
        exported = artifact(predictor, tmp_path / "x.stablehlo", "cpu")
        sizes[precision] = (tmp_path / "x.stablehlo").stat().st_size
        agrees(exported, predictor, 2)
    assert sizes["bfloat16"] < 0.55 * sizes["float32"] and sizes["int8"] < 0.3 * sizes["float32"]


def test_the_file_does_not_say_where_on_this_machine_it_was_written(tmp_path):
    """Neither a folder nor a function of a source file; and JAX's settings are the user's again."""
    x = Input((5, 4), name="x")
    predictor = Predictor.of(mr.Model(x, layers.Dense(3, "softmax")(layers.LSTM(3)(x))))
    names = ("jax_include_full_tracebacks_in_locations", "jax_traceback_in_locations_limit")
    for full, limit in ((False, 3), (True, 10)):
        before = [getattr(jax.config, name) for name in names]
        try:
            for name, value in zip(names, (full, limit), strict=True):
                jax.config.update(name, value)
            save_stablehlo(predictor, tmp_path / "x.stablehlo")
            assert [getattr(jax.config, name) for name in names] == [full, limit]
        finally:
            for name, value in zip(names, before, strict=True):
                jax.config.update(name, value)
        content = (tmp_path / "x.stablehlo").read_bytes()
        for part in (b".py", str(Path(mr.__file__).parent).encode(), b"site-packages", b"test_the_file"):
            assert part not in content
