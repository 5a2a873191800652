"""AlexNet's variants: their numbers as published, what each differs in, and the networks made of them."""

from functools import cache

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.work import flop
from millrace.models import alexnet, alexnets

# Krizhevsky et al. 2012, section 3.5: kernels, stride, groups, maps, numbers of weights; millions of multiply-adds.
CONVOLUTIONS = {
    "conv1": ((11, 11, 3, 96), 4, 1, (55, 55, 96), 34_944, 105.4),
    "conv2": ((5, 5, 48, 256), 1, 2, (27, 27, 256), 307_456, 223.9),
    "conv3": ((3, 3, 256, 384), 1, 1, (13, 13, 384), 885_120, 149.5),
    "conv4": ((3, 3, 192, 384), 1, 2, (13, 13, 384), 663_936, 112.1),
    "conv5": ((3, 3, 192, 256), 1, 2, (13, 13, 256), 442_624, 74.8),
}
DENSE = {"fc6": ((9216, 4096), 37_752_832), "fc7": ((4096, 4096), 16_781_312), "fc8": ((4096, 1000), 4_097_000)}
ORDER = "conv1 norm1 pool1 conv2 norm2 pool2 conv3 conv4 conv5 pool5 flatten fc6 drop6 fc7 drop7 fc8"


@cache
def network(variant):
    """Without random numbers, which take seconds."""
    return alexnet(variant, kernel_initializer="zeros")


def tiny(variant="paper", classes=4, **options):
    return alexnet(variant, classes, **{"width": 0.03125, "size": 67, **options})


def names(model):
    return [layer.name for layer in model.layers]


def in_order(model):
    return " ".join(names(model))


def count(*variables):
    return sum(int(np.prod(v.shape)) for v in variables)


def maps(model, name):
    return model.get_layer(name).output.shape[1:]


# ---- the paper's network


def test_the_papers_layers_are_those_of_section_3_5():
    model = network("paper")
    assert in_order(model) == ORDER and str(model.outputs[0].type) == "float32[batch, 1000]"
    for name, (kernel, stride, groups, out, parameters, _) in CONVOLUTIONS.items():
        layer = model.get_layer(name)
        assert layer.kernel.shape == kernel and layer.strides == (stride, stride) and layer.groups == groups, name
        assert maps(model, name) == out and count(*layer.weights) == parameters, name
        assert layer.arguments["activation"] == "relu"
    for name, (kernel, parameters) in DENSE.items():
        layer = model.get_layer(name)
        assert layer.kernel.shape == kernel and count(*layer.weights) == parameters, name
        assert layer.arguments["activation"] == ("softmax" if name == "fc8" else "relu")
    assert [maps(model, name)[0] for name in ("conv1", "pool1", "pool2", "pool5")] == [55, 27, 13, 6]
    assert count(*model.trainable_weights) == 60_965_224
    assert sum(int(np.prod(maps(model, name))) for name in (*CONVOLUTIONS, *DENSE)) == 659_272  # "650,000 neurons"


def test_normalization_pooling_and_dropout_are_the_papers():
    model = network("paper")
    for name in ("norm1", "norm2"):
        norm = model.get_layer(name)
        assert (norm.n, norm.k, norm.alpha, norm.beta) == (5, 2.0, 1e-4, 0.75)
        assert (norm.alpha_divided_by_n, norm.groups) == (False, 1)
    for name in ("pool1", "pool2", "pool5"):
        assert model.get_layer(name).pool_size == (3, 3) and model.get_layer(name).strides == (2, 2)
    assert [model.get_layer(name).rate for name in ("drop6", "drop7")] == [0.5, 0.5]


def test_multiply_adds_of_an_image_are_those_of_the_table():
    form = network("paper").form().for_use()
    graph = mr.ir.graph.Graph(form.inputs, form.outputs).bind({"batch": 1})
    done = {}
    for node in graph.nodes:
        if node.op.name in ("Convolution", "Dot"):
            done[node.layer] = done.get(node.layer, 0) + flop([node]) / 2
    for name, (*_, millions) in CONVOLUTIONS.items():
        assert done[name] == pytest.approx(millions * 1e6, rel=1e-3), name
    assert sum(done[name] for name in DENSE) == pytest.approx(58.6e6, rel=1e-3)
    assert sum(done.values()) == pytest.approx(724e6, rel=1e-3)


@pytest.mark.parametrize(
    ("variant", "deviations", "one"),
    [("paper", [0.01] * 8, 1.0), ("release", [0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01], 1.0)],
)
def test_first_weights_are_normal_and_biases_1_where_the_paper_says(variant, deviations, one):
    model = alexnet(variant, 10, width=0.25)
    for name, deviation in zip((*CONVOLUTIONS, *DENSE), deviations, strict=True):
        kernel, bias = (v.numpy() for v in model.get_layer(name).weights)
        assert abs(kernel.mean()) < 5 * deviation / kernel.size**0.5, name
        assert abs(kernel.std() / deviation - 1) < 4 / kernel.size**0.5, name
        assert abs(np.mean(np.abs(kernel) < deviation) - 0.6827) < 4 / kernel.size**0.5, name
        assert set(np.unique(bias)) == {one if name in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0.0}, name


# ---- the other variants


def test_one_gpu_has_half_the_kernels_and_the_same_dense_layers():
    model = network("one_gpu")
    assert in_order(model) == ORDER
    kernels = [model.get_layer(name).kernel.shape for name in CONVOLUTIONS]
    assert kernels == [(11, 11, 3, 48), (5, 5, 48, 128), (3, 3, 128, 192), (3, 3, 192, 192), (3, 3, 192, 256)]
    assert [model.get_layer(name).kernel.shape for name in DENSE] == [kernel for kernel, _ in DENSE.values()]


def test_the_release_differs_in_its_edge_its_normalization_and_the_place_of_the_first_relu():
    model = network("release")
    assert in_order(model) == ORDER.replace("pool1", "pool1 relu1")
    assert model.inputs[0].shape[1:] == (224, 224, 3) and count(*model.trainable_weights) == 60_965_224
    assert [maps(model, name)[0] for name in ("conv1", "pool1", "pool2", "pool5")] == [55, 27, 13, 6]
    assert model.get_layer("conv1").arguments["activation"] is None
    for name in ("norm1", "norm2"):
        norm = model.get_layer(name)
        assert (norm.n, norm.alpha_divided_by_n, norm.groups) == (5, True, 2)


def test_the_releases_last_window_hangs_over_the_edge_by_three_pixels():
    conv1 = layers.Conv2D(1, 11, 4, alexnets.VARIANTS["release"].edge, kernel_initializer="ones")
    x = np.zeros((1, 224, 224, 1), np.float32)
    x[:, -8:, -8:] = 1  # what the last window sees of the image: 11 - 3 pixels each way
    out = mr.function([v := mr.Input((224, 224, 1))], conv1(v), engine="numpy")(x)
    assert out.shape == (1, 55, 55, 1) and out[0, -1, -1, 0] == 64 and out[0, 0, 0, 0] == 0


def test_torchvisions_has_its_published_parameters_and_shapes():
    model = network("torchvision")
    assert count(*model.trainable_weights) == 61_100_840  # as torchvision states it
    assert in_order(model) == "conv1 pool1 conv2 pool2 conv3 conv4 conv5 pool5 flatten drop6 fc6 drop7 fc7 fc8"
    shapes = [maps(model, name) for name in ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")]
    assert shapes == [(55, 55, 64), (27, 27, 64), (27, 27, 192), (13, 13, 192), (13, 13, 256), (6, 6, 256)]
    assert {model.get_layer(name).groups for name in CONVOLUTIONS} == {1}


def test_torchvisions_kernels_begin_as_pytorchs_default_does():
    model = alexnet("torchvision", 10, width=0.125)
    for name in (*CONVOLUTIONS, *DENSE):
        kernel, bias = (v.numpy() for v in model.get_layer(name).weights)
        bound = np.prod(kernel.shape[:-1]) ** -0.5
        assert 0.98 * bound < np.abs(kernel).max() <= bound and not bias.any(), name


# ---- other networks of it


def test_a_narrow_network_keeps_its_shape_and_its_towers():
    model = alexnet(width=0.1, size=131, classes=5)
    kernels = [maps(model, name)[-1] for name in (*CONVOLUTIONS, *DENSE)]
    assert kernels == [10, 26, 38, 38, 26, 410, 410, 5]
    assert [maps(model, name)[0] for name in ("conv1", "pool1", "pool2", "pool5")] == [31, 15, 7, 3]


@pytest.mark.parametrize("variant", alexnets.VARIANTS)
@pytest.mark.parametrize("without", alexnets.MIDDLE)
def test_a_middle_layer_can_be_left_out(variant, without):
    whole, model = names(tiny(variant)), names(tiny(variant, without=without))
    dropout = {without.replace("fc", "drop")} if "fc" in without else set()
    assert model == [name for name in whole if name not in {without, *dropout}]
    assert {without, *dropout} < set(whole)


def test_options_leave_out_and_replace():
    model = tiny(dropout=0, normalization=False, activation="tanh", pool=(2, 2), bias=0.1, kernel_initializer="zeros")
    assert not any(name.startswith(("drop", "norm")) for name in names(model))
    assert model.get_layer("conv2").arguments["activation"] == model.get_layer("fc7").arguments["activation"] == "tanh"
    assert model.get_layer("pool2").pool_size == model.get_layer("pool2").strides == (2, 2)
    biases = {name: float(model.get_layer(name).bias.numpy()[0]) for name in (*CONVOLUTIONS, *DENSE)}
    assert biases == {n: np.float32(0.1) if n in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0.0 for n in biases}
    assert not any(model.get_layer(name).kernel.numpy().any() for name in biases)


def test_photographs_are_cropped_mirrored_and_centred_in_front():
    model = alexnet(classes=3, width=0.03125, front=alexnets.photographs(67, 80, mean=(10, 20, 30)))
    assert names(model)[:4] == ["crop", "reflection", "centred", "conv1"]
    assert str(model.inputs[0].type) == "uint8[batch, 80, 80, 3]"
    plain = tiny(classes=3)
    for variable, other in zip(plain.trainable_weights, model.trainable_weights, strict=True):
        variable.assign(other.numpy())
    x = np.random.default_rng(0).integers(0, 256, (2, 80, 80, 3)).astype(np.uint8)
    middle = x[:, 6:73, 6:73].astype(np.float32) - np.float32([10, 20, 30])
    np.testing.assert_allclose(model.predict(x), plain.predict(middle), rtol=1e-5)


@pytest.mark.parametrize("variant", alexnets.VARIANTS)
def test_a_network_is_kept_whole_in_a_file(variant, tmp_path):
    model = tiny(variant)
    model.compile(alexnets.optimizer(variant=variant), "sparse_categorical_crossentropy", engine="numpy")
    x, y = np.random.default_rng(0).standard_normal((4, 67, 67, 3)).astype(np.float32), np.arange(4)
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "m.safetensors")
    loaded = mr.load_model(tmp_path / "m.safetensors", engine="numpy")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for one in (model, loaded):
        one.fit(x, y, epochs=2, initial_epoch=1, verbose=0)
    for a, b in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variant": "papper"}, "Did you mean 'paper'"),
        ({"without": "conv2"}, "layer to leave out 'conv2'.*conv3, conv4"),
        ({"width": 0}, "width must be a number above 0"),
        ({"dropout": 1.0}, "dropout must be a number .*below 1, got 1.0"),
        ({"size": 0.5}, "size must be a whole number"),
        ({"pool": (3,)}, "pool must be"),
        ({"bias": "one"}, "value must be a finite number, got 'one'"),
        ({"classes": 0}, "units must be a whole number of at least 1"),
        ({"front": [mr.Input((67, 67, 3))], "size": 67}, "leave size out"),
        ({"activation": "rellu"}, "Did you mean 'relu'"),
    ],
)
def test_what_cannot_be_made_is_told_in_words(options, words):
    with pytest.raises(ArgumentError, match=words):
        alexnet(**{"width": 0.03125, **options})


def test_too_small_an_image_is_told_where_nothing_is_left():
    with pytest.raises(ShapeError, match="pool5"):
        tiny(size=66)
