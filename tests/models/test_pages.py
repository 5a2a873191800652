"""The pages of models: what they are made of, that they learn, and what they say."""

import numpy as np
import pytest

import millrace as mr
from millrace.data.stories import stories
from millrace.data.text import Vocabulary
from millrace.inference.torch import to_torch
from millrace.models import (
    RECIPES,
    Demonstration,
    char_rnn,
    cifar_quick,
    digits,
    fashion,
    lenet,
    memory_network,
    mlp,
    perceptron,
    recipe,
    resnet18,
    sentiment,
)


def learned(model):
    return sum(variable.numpy().size for variable in model.trainable_weights)


@pytest.mark.parametrize(
    ("build", "parameters", "output"),
    [
        (perceptron.network, 65, "float32[batch]"),
        (mlp.network, 65 * 128 + 129 * 64 + 65 * 10, "float32[batch, 10]"),
        (lenet.network, 61_706, "float32[batch, 10]"),  # LeNet-5 with all maps joined, as it is usually built
        (digits.network, 151_306, "float32[batch, 10]"),
        (cifar_quick.network, 2_432 + 25_632 + 51_264 + 10_250, "float32[batch, 10]"),  # 5*5*3*32 + 32, ...
        (char_rnn.network, 67 * 64 + 4 * (64 + 256 + 1) * 256 + 257 * 67, "float32[batch, 100, 67]"),
        (memory_network.network, 25 * 32 * 4 + 10 * 32 * 4 + 32 * 8, "float32[batch, 8]"),
    ],
    ids=["perceptron", "mlp", "lenet", "digits", "cifar_quick", "char_rnn", "memory_network"],
)  # fmt: skip
def test_each_page_has_the_parameters_that_arithmetic_gives(build, parameters, output):
    model = build()
    assert learned(model) == parameters and str(model.outputs[0].type) == output


def test_resnet18_is_torchvisions_to_the_last_parameter():
    model = resnet18.network()
    assert learned(model) == 11_689_512  # as torchvision states it
    assert model.count_params() == 11_689_512 + 9_600
    state = to_torch(model)
    assert len([key for key in state if key.endswith("weight")]) == 20 + 20 + 1  # convolutions, normalizations, fc
    shapes = [layer.calls[0].outputs[0].shape[1:] for layer in model.layers if layer.name.startswith("block")]
    assert shapes == [(56, 56, 64)] * 2 + [(28, 28, 128)] * 2 + [(14, 14, 256)] * 2 + [(7, 7, 512)] * 2


def test_the_maps_of_lenet_are_the_papers():
    shapes = {layer.name: layer.structure for layer in lenet.network().layers}
    assert [shapes[name] for name in ("c1", "s2", "c3", "s4", "c5", "f6")] == [
        (28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16), (120,), (84,),
    ]  # fmt: skip


def test_cifar_quick_halves_its_maps_and_takes_either_activation():
    for activation in ("relu", "tanh"):
        model = cifar_quick.network(activation=activation)
        shapes = {layer.name: layer.structure for layer in model.layers}
        assert [shapes[f"pool{n}"] for n in (1, 2, 3)] == [(16, 16, 32), (8, 8, 32), (4, 4, 64)]


@pytest.mark.slow
def test_a_resnet_on_small_pictures_learns_to_tell_two_colours():
    mr.set_seed(0)
    model = resnet18.network((32, 32, 3), classes=2)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    rng = np.random.default_rng(0)
    x = rng.random((16, 32, 32, 3)).astype(np.float32)
    y = np.arange(16) % 2
    x[y == 1, ..., 0] += 1
    history = model.fit(x, y, batch_size=8, epochs=5, verbose=0)
    assert history.history["loss"][-1] < 0.3 < history.history["loss"][0]


def test_a_single_neuron_reads_odd_from_even_in_nine_of_ten_digits_and_not_more():
    mr.set_seed(0)
    chosen = recipe("perceptron")
    data = chosen.data(0)
    model = chosen.build(data)
    model.compile(chosen.optimizer(chosen.learning_rate), chosen.loss, list(chosen.metrics))
    model.fit(data.x_train, data.y_train, batch_size=chosen.batch_size, epochs=chosen.epochs, verbose=0)
    accuracy = model.evaluate(data.x_validation, data.y_validation)["accuracy"]
    assert 0.85 < accuracy < 0.96  # one straight cut; the mlp has 97% and more


@pytest.mark.slow
def test_the_memory_network_answers_two_fact_questions_that_word_counts_cannot():
    mr.set_seed(0)
    chosen = recipe("memory_network")
    data = chosen.data(0)
    model = chosen.build(data)
    model.compile(chosen.optimizer(chosen.learning_rate), chosen.loss, list(chosen.metrics))
    model.fit(data.x_train, data.y_train, batch_size=chosen.batch_size, epochs=15, verbose=0)
    assert model.evaluate(data.x_validation, data.y_validation, batch_size=250)["accuracy"] > 0.95
    assert memory_network.bag_of_words(data) < 0.5
    told = stories(200, seed=77)
    looks = memory_network.looked_at(model, told)
    assert looks.shape == (200, 3, 10)
    np.testing.assert_allclose(looks.sum(axis=2), 1, rtol=1e-5)
    found = np.take_along_axis(looks.max(axis=1), told.supporting, axis=1)
    assert np.median(found) > 0.9  # some hop looks at each of the two sentences that matter
    shown = memory_network.sample(model, data)
    assert shown.count("* ") >= 2 and "hop 3" in shown and "A bag of words" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_writer_goes_on_step_by_step_as_the_network_reads_whole_windows():
    mr.set_seed(0)
    vocabulary = Vocabulary.from_texts(["abcab cab"], split="characters")
    model = char_rnn.network(characters=len(vocabulary), steps=5)
    writer = char_rnn.Writer(model, vocabulary)
    text = vocabulary.encode("abc b")
    h = c = np.zeros((1, 256), np.float32)
    stepwise = []
    for number in text:
        p, h, c = writer.step(np.array([[number]], np.int32), h, c)
        stepwise.append(np.asarray(p)[0])
    np.testing.assert_allclose(stepwise, model.predict(text[None])[0], rtol=1e-4, atol=1e-6)
    written = writer.write(30, seed=1)
    assert len(written) == 30 and set(written) <= set("abc ") and written == writer.write(30, seed=1)
    cold = writer.write(30, temperature=1e-6)
    assert cold == writer.write(30, seed=5, temperature=1e-6)  # the likeliest each time, whatever the seed


def test_sentences_are_read_as_the_network_was_taught():
    vocabulary = Vocabulary.from_texts(["a good film", "a bad film"])
    row = sentiment.example("A GOOD film", vocabulary.to_list())
    assert row.shape == (40,) and vocabulary.decode(row) == "a good film"
    with pytest.raises(mr.layers.base.MillraceError, match="knows none of these words"):
        sentiment.example("xyzzy", vocabulary.to_list())


def test_every_page_says_what_it_is_and_how_long_it_takes():
    for name, one in RECIPES.items():
        assert one.name == name and one.about and one.seconds
        if not isinstance(one, Demonstration):
            assert one.epochs > 0 and one.batch_size > 0 and one.learning_rate > 0
    with pytest.raises(mr.layers.base.MillraceError, match="Did you mean 'sentiment'"):
        recipe("sentimant")


def train(name, epochs=None):
    chosen = recipe(name)
    data = chosen.data(0)
    mr.set_seed(0)
    model = chosen.build(data)
    model.compile(chosen.optimizer(chosen.learning_rate), chosen.loss, list(chosen.metrics))
    model.fit(
        data.x_train, data.y_train, batch_size=chosen.batch_size, epochs=epochs or chosen.epochs, verbose=0,
        validation_data=(data.x_validation, data.y_validation), callbacks=chosen.callbacks(), seed=0,
    )  # fmt: skip
    return model.evaluate(data.x_validation, data.y_validation, batch_size=250)


@pytest.mark.slow
def test_clothes_are_told_apart_in_92_of_100_cases(real_data):
    real_data("fashion_mnist")
    assert train("fashion")["accuracy"] >= 0.92


@pytest.mark.slow
def test_letters_of_shakespeare_cost_less_than_1_75_nats(real_data):
    real_data("tinyshakespeare")
    assert train("char_rnn", epochs=7)["loss"] <= 1.75


@pytest.mark.slow
def test_lenet_reads_98_of_100_digits_of_mnist(real_data):
    real_data("mnist")
    assert train("lenet", epochs=4)["accuracy"] >= 0.98


@pytest.mark.slow
def test_reviews_are_judged_right_in_73_of_100_cases(real_data):
    real_data("rt_polarity")
    assert train("sentiment")["accuracy"] >= 0.73


def test_a_picture_of_clothes_is_turned_to_light_on_dark(tmp_path):
    from PIL import Image

    picture = np.full((56, 56), 255, np.uint8)
    picture[20:40, 20:40] = 0
    Image.fromarray(picture).save(tmp_path / "shirt.png")
    x = fashion.example(str(tmp_path / "shirt.png"))
    assert x.shape == (28, 28, 1) and x[0, 0, 0] == 0 and x[14, 14, 0] == 1
