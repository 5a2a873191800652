"""A training step taken apart into layers and passes."""

import pytest

import millrace as mr
from millrace.explain.passes import Place, in_order, owners, places, work
from millrace.ir.work import flop

PRODUCTS = ("Dot", "Convolution", "ConvolutionInputGradient", "ConvolutionKernelGradient")


def model(optimizer="sgd", **first):
    made = mr.Sequential(
        [
            mr.Input((6,), name="x"),
            mr.layers.Dense(5, activation="relu", name="first", **first),
            mr.layers.BatchNormalization(name="norm"),
            mr.layers.Dropout(0.5, name="drop"),
            mr.layers.Dense(3, activation="softmax", name="second"),
        ]
    )
    made.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return made


def step(made, batch=4):
    graph = made.training_steps.train.simplified.bind({"batch": batch})
    return graph, places(graph, owners(made))


def test_each_layer_has_its_passes_in_the_models_order():
    made = model(mr.optimizers.SGD(0.1, momentum=0.9))
    _, found = step(made)
    order = in_order(found, made)
    assert [p.kind for p in order if p.layer == "first"] == ["forward", "backward", "update"]
    assert list(dict.fromkeys(p.layer for p in order if p.layer != "(no layer)")) == [
        "first", "norm", "drop", "second", "loss", "metrics", "vitals", "check", "optimizer",
    ]  # fmt: skip


def test_products_are_forward_once_and_backward_once_or_twice():
    made = model()
    graph, found = step(made)
    counted = [(found[node].layer, found[node].kind) for node in graph.nodes if node.op.name == "Dot"]
    assert sorted(counted) == [
        ("first", "backward"),  # the input's gradient is nobody's business
        ("first", "forward"),
        ("second", "backward"), ("second", "backward"),
        ("second", "forward"),
    ]  # fmt: skip


def test_running_statistics_and_metrics_are_not_taken_for_gradients():
    made = model()
    graph, found = step(made)
    kinds = {found[node].kind for node in graph.nodes if node in found and found[node].layer == "metrics"}
    assert kinds == {"forward"}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_what_an_optimizer_does_for_a_weight_belongs_to_its_layer(optimizer):
    made = model(optimizer)
    graph, found = step(made)
    done = work(graph, found)
    weights = {"first": 6 * 5 + 5, "second": 5 * 3 + 3}
    for layer, count in weights.items():
        assert done[Place(layer, "update")].flop >= 2 * count
        assert done[Place(layer, "update")].size >= 3 * 4 * count  # weight and gradient read, weight written
    assert done.get(Place("optimizer", "update")).flop < 30


def test_the_penalty_of_a_regularizer_is_part_of_the_loss_and_its_gradient_of_the_backward_pass():
    made = model(kernel_regularizer="l2")
    _, found = step(made)
    assert Place("loss", "forward") in found.values()
    assert "penalties" not in {place.layer for place in found.values()}


def test_the_rows_together_are_the_whole_steps_arithmetic():
    made = model("adam")
    graph, found = step(made)
    done = work(graph, found)
    assert sum(one.flop for one in done.values()) == flop(graph.nodes)


def test_alexnets_step_takes_4_14_gflop_an_image():
    """Five convolutions and three products forward: 1,448,813,632, and twice that backward but for conv1's input."""
    zeros = {"kernel_initializer": "zeros"}
    layers = [
        mr.Input((227, 227, 3)),
        mr.layers.Conv2D(96, 11, strides=4, name="conv1", **zeros),
        mr.layers.MaxPooling2D(3, 2, name="pool1"),
        mr.layers.Conv2D(256, 5, padding="same", groups=2, name="conv2", **zeros),
        mr.layers.MaxPooling2D(3, 2, name="pool2"),
        mr.layers.Conv2D(384, 3, padding="same", name="conv3", **zeros),
        mr.layers.Conv2D(384, 3, padding="same", groups=2, name="conv4", **zeros),
        mr.layers.Conv2D(256, 3, padding="same", groups=2, name="conv5", **zeros),
        mr.layers.MaxPooling2D(3, 2, name="pool5"),
        mr.layers.Flatten(name="flatten"),
        *(mr.layers.Dense(units, name=name, **zeros) for name, units in (("fc6", 4096), ("fc7", 4096), ("fc8", 1000))),
    ]
    made = mr.Sequential(layers)
    made.compile("sgd", "mse")
    graph, found = step(made, batch=1)
    products = [node for node in graph.nodes if node.op.name in PRODUCTS]
    assert flop(products) == 3 * 1_448_813_632 - 210_830_400 == 4_135_610_496
    conv1 = [found[node].kind for node in products if found[node].layer == "conv1"]
    assert sorted(conv1) == ["backward", "forward"]


def test_weights_are_read_and_images_too():
    made = mr.Sequential([mr.Input((10,)), mr.layers.Dense(7, use_bias=False, name="dense")])
    made.compile("sgd", "mse")
    graph, found = step(made, batch=2)
    assert work(graph, found)[Place("dense", "forward")].size == 4 * (2 * 10 + 10 * 7 + 2 * 7)
