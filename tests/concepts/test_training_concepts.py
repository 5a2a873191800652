"""The concepts about training: their texts, their pages, and that their experiments show what they say."""

import math
import re
import string
import time
from dataclasses import replace

import numpy as np
import pytest

import millrace as mr
from millrace.concepts import (
    CONCEPTS,
    Finding,
    augmentation,
    batch_size,
    dropout,
    learning_rate,
    momentum,
    overfitting,
    regularizing,
    saturation,
    softmax,
    weight_decay,
    why_relu,
)
from millrace.concepts.learning import LEARNING
from millrace.concepts.page import concept_page, concept_sections, paragraphs, said
from millrace.concepts.trials import Trials, dense_network, digits_split, mislabelled
from millrace.experiments.arms import Arm, Curve
from millrace.explain.pages import Code, Figure, Listing, Math, Pictures, Text
from millrace.training.optimizers import SGD
from millrace.words import LANGUAGES, words

NAMES = [concept.name for concept in LEARNING]
WRITTEN = ("title", "lead", "text", "tried", "practice", "source", "seen", "unseen")


def quiet(line):
    """Where progress goes."""


def placeholders(text):
    return {field[1] for field in string.Formatter().parse(text) if field[1]}


def curve(loss, held=None, error=None, held_error=None):
    """A training with these numbers after each epoch."""
    count = len(loss)
    return Curve("", 0, {
        "train_loss": loss, "val_loss": held or loss,
        "train_error": error or [0.0] * count, "val_error": held_error or error or [0.0] * count,
    })  # fmt: skip


# ---- texts


@pytest.mark.parametrize("name", NAMES)
def test_each_concept_is_told_in_both_languages_with_the_same_numbers(name):
    english, chinese = (words("concepts", language)[name] for language in ("en", "zh"))
    assert set(english) == set(chinese)
    assert set(WRITTEN) <= set(english)
    for key, text in english.items():
        assert placeholders(text) == placeholders(chinese[key]), key
    assert re.search(r"[\u4e00-\u9fff]", chinese["text"])
    assert 3 <= len([block for block in paragraphs(english["text"], CONCEPTS[name]) if isinstance(block, Text)]) <= 7


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_formula_stands_in_the_text_once(name, language):
    concept = CONCEPTS[name]
    formulas = [
        part for part in paragraphs(words("concepts", language)[name]["text"], concept) if isinstance(part, Math)
    ]
    assert formulas == list(concept.formulas)


def test_what_trials_say_is_the_same_in_both_languages():
    english, chinese = (words("trials", language) for language in LANGUAGES)
    assert {key: set(table) for key, table in english.items()} == {key: set(table) for key, table in chinese.items()}
    for name, table in english.items():
        assert {k: placeholders(v) for k, v in table.items()} == {k: placeholders(v) for k, v in chinese[name].items()}


def test_concepts_name_only_concepts_as_related():
    for concept in LEARNING:
        assert set(concept.see) <= set(CONCEPTS), concept.name


# ---- pages


def test_a_page_has_the_texts_and_what_was_found_with_its_numbers():
    numbers = dict.fromkeys(placeholders(words("concepts", "en")["momentum"]["seen"]), 2.0) | {"condition": 470.1}
    table = Listing(["momentum"], [["0.9"]])
    concept = replace(momentum.MOMENTUM, experiment=lambda language, say: Finding("seen", numbers, [table]))
    page = concept_page(concept, "en", quiet)
    assert (page.title, page.language, page.see) == ("Momentum", "en", concept.see)
    assert [section.heading for section in page.sections] == [
        "What it is", "The experiment", "What was found", "What to do", "Sources",
    ]  # fmt: skip
    assert momentum.MOMENTUM.formulas[0] in page.sections[0].parts
    found = page.sections[2].parts
    assert "470 times as steep" in found[0].text and "{" not in found[0].text
    assert found[1] is table


def test_the_text_can_be_read_before_the_experiment_runs():
    ran = []
    concept = replace(momentum.MOMENTUM, experiment=lambda language, say: ran.append(language))
    sections = concept_sections(concept, "zh", quiet)
    assert next(sections).heading == "是什么" and next(sections).heading == "实验"
    assert not ran


def test_a_paragraph_is_text_or_code_or_a_formula():
    made = paragraphs(
        "One\nand on.\n\n    x = 1\n      y\n\n(2)\n", replace(momentum.MOMENTUM, formulas=(Math("a"), Math("b")))
    )
    assert made == [Text("One\nand on."), Code("x = 1\n  y"), Math("b")]


# ---- the numbers of the texts


def test_derivatives_and_half_lives_that_the_texts_tell():
    sigmoid, tanh = 1 / (1 + math.exp(-5)), math.tanh(5)
    text = words("concepts", "en")["saturation"]["text"]
    assert f"{sigmoid * (1 - sigmoid):.4f}" in text and f"{1 - tanh**2:.5f}" in text and f"{0.25**8:.6f}" in text
    text = words("concepts", "en")["weight-decay"]["text"]
    assert f"{0.01 * 0.0005:.6f}" in text and f"{round(math.log(2) / 5e-6, -3):,.0f}" in text
    # with momentum, by the rule itself: no gradient, weight 1
    w, v, steps = np.ones(1), np.zeros(1), 0
    while w[0] > 0.5:
        w, v = momentum.update(w, v, np.zeros(1), 0.01, 0.9, 0.0005)
        steps += 1
    assert f"{round(steps, -2):,}" in text
    assert steps / (1_200_000 / 128) == pytest.approx(1.5, abs=0.05)  # "one and a half epochs"


def test_weight_decay_and_the_penalty_that_equals_it():
    w = mr.Variable(np.array([3.0, -1.0], np.float32), name="w")
    (slope,) = mr.gradients(mr.regularizers.L2(0.00025)(w.value), [w])
    np.testing.assert_allclose(mr.evaluate(slope), 0.0005 * w.numpy(), rtol=1e-6)


def test_the_papers_update_against_hand_computed_numbers_and_the_framework():
    w, v = momentum.update(np.array([2.0]), np.array([0.1]), np.array([0.5]), 0.01, 0.9, 0.0005)
    assert v[0] == pytest.approx(0.09 - 0.00001 - 0.005)
    assert w[0] == pytest.approx(2.08499)
    # three steps on w^2 / 2, beside the framework's own rule
    mine, velocity = np.array([1.0]), np.zeros(1)
    theirs = mr.Variable(np.array([1.0], np.float32), name="w")
    x = mr.Input((1,), name="x")
    rule = SGD(0.1, momentum=0.9, weight_decay=0.0005)
    loss = mr.sum(mr.square(theirs.value * x)) / 2
    step = mr.function([x], loss, rule.updates([theirs], mr.gradients(loss, [theirs])))
    for _ in range(3):
        mine, velocity = momentum.update(mine, velocity, mine, 0.1, 0.9, 0.0005)
        step(np.ones((1, 1), np.float32))
    np.testing.assert_allclose(theirs.numpy(), mine, rtol=1e-6)


def test_softmax_by_numbers_is_numpys():
    one = softmax.worked((2.0, 1.0, -1.0), 0)
    powers = np.exp([2.0, 1.0, -1.0])
    np.testing.assert_allclose(one.exponentials, powers)
    np.testing.assert_allclose(one.probabilities, powers / powers.sum())
    assert one.loss == pytest.approx(math.log(powers.sum()) - 2.0)
    np.testing.assert_allclose(one.gradient, powers / powers.sum() - [1, 0, 0])


def test_the_squared_errors_slope_vanishes_where_softmax_is_sure_and_wrong():
    slope = softmax.slopes(np.array([-8.0, 0.0]))
    p = 1 / (1 + math.exp(8.0))
    np.testing.assert_allclose(slope["cross_entropy"], [1 - p, 0.5])
    np.testing.assert_allclose(slope["squared"], [4 * (1 - p) * p * (1 - p), 0.5])


def test_large_scores_overflow_as_written_and_not_in_one_operation():
    naive, exact = softmax.overflowing((1000.0, 0.0, -1000.0), 2)
    assert not math.isfinite(naive)
    assert exact == 2000.0 == 1000.0 - -1000.0
    for key in ("seen", "unseen"):
        assert "With the scores 1000, 0 and -1000" in words("concepts", "en")["softmax-and-cross-entropy"][key]


# ---- the pieces of the experiments


def test_digits_are_split_without_overlap_and_labels_made_wrong_as_asked():
    data = digits_split(1_197)
    assert data.x_train.shape == (1_197, 64) and data.x_validation.shape == (600, 64)
    assert not {x.tobytes() for x in data.x_train} & {x.tobytes() for x in data.x_validation}
    wrong = mislabelled(digits_split(400))
    assert int(np.sum(wrong.y_train != data.y_train[:400])) == 80
    assert np.array_equal(wrong.y_validation, data.y_validation)


def test_the_gradient_through_layers_is_that_of_finite_differences():
    mr.set_seed(0)
    model = dense_network((4, 4), "sigmoid", "glorot_uniform")
    data = digits_split(8)
    before = saturation.start(model, "sigmoid", data.x_train, data.y_train)

    def loss():
        shares = model.predict(data.x_train).astype(float)
        return -np.mean(np.log(shares[np.arange(8), data.y_train]))

    kernel = model.layers[1].kernel
    value, slopes = kernel.numpy(), []
    for place in np.ndindex(*value.shape):
        ends = []
        for move in (0.05, -0.05):
            moved = value.copy()
            moved[place] += move
            kernel.assign(moved)
            ends.append(loss())
        slopes.append((ends[0] - ends[1]) / 0.1)
    assert before.gradient[1] == pytest.approx(float(np.sqrt(np.mean(np.square(slopes)))), rel=1e-2)
    assert 0.2 < before.derivative <= 0.25 and before.flat == 0


def test_dead_units_are_those_that_are_silent_for_all_digits():
    mr.set_seed(0)
    model = dense_network((8,))
    bias = np.full(8, 100.0, np.float32)
    bias[:3], bias[3] = -100.0, -0.5
    kernel = model.layers[0].kernel.numpy()
    kernel[:, 3] = np.eye(64, dtype=np.float32)[20]  # on for the digits with ink there, off for the others
    model.layers[0].kernel.assign(kernel)
    model.layers[0].bias.assign(bias)
    assert why_relu.dead_share(model, digits_split(50)) == pytest.approx(3 / 8)


def test_masks_keep_the_mean_and_the_share_that_is_not_the_rate():
    units = np.linspace(0.0, 1.0, 256)
    masks = dropout.masked(units, masks=2_000)
    kept = masks.after > 0
    np.testing.assert_allclose(masks.after[kept], 2 * units[kept], rtol=1e-6)
    np.testing.assert_allclose(masks.mean, units, atol=0.12)
    assert masks.kept["mistaken"] == pytest.approx(0.2, abs=0.02)
    assert masks.kept["kept"] == pytest.approx(0.8, abs=0.02)


def test_noise_of_batches_falls_with_the_root_of_their_size():
    gradients = np.random.default_rng(1).normal(1.0, 3.0, (500, 40))
    found = batch_size.noise(gradients, (1, 16), draws=400)
    assert found[1] / found[16] == pytest.approx(4.0, rel=0.1)


def test_gradients_of_single_digits_average_to_that_of_all():
    mr.set_seed(0)
    model, data = dense_network((5,)), digits_split(12)
    each = batch_size.each_gradient(model, data)
    assert each.shape == (12, 64 * 5 + 5 + 5 * 10 + 10)
    truth = mr.Input((), dtype="int32", name="truth")
    loss = mr.mean(-mr.log(mr.sum(mr.one_hot(truth, 10) * model.outputs[0], axis=-1)))
    whole = mr.function([model.inputs[0], truth], mr.gradients(loss, [model.layers[0].kernel])[0])
    np.testing.assert_allclose(
        each.mean(axis=0)[: 64 * 5].reshape(64, 5), whole(data.x_train, data.y_train), rtol=1e-3, atol=1e-6
    )


def test_moved_digits_keep_their_ink():
    x = augmentation.photographed(20).x_train
    moved = augmentation.displaced(x)
    np.testing.assert_allclose(moved.sum(axis=(1, 2, 3)), x.sum(axis=(1, 2, 3)), rtol=1e-6)
    assert np.any(moved != x)


def test_the_valley_is_that_of_the_regression():
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression

    x, y = load_diabetes(return_X_y=True)
    x, y = ((v - v.mean(axis=0)) / v.std(axis=0) for v in (x, y))
    np.testing.assert_allclose(momentum.valley().best, LinearRegression().fit(x, y).coef_, rtol=1e-6)


# ---- verdicts: what was not seen is not claimed


def test_overfitting_is_claimed_only_if_the_validation_loss_rises():
    def over(held):
        return curve([2.0, 1.0, 0.5, 0.1, 0.0], held, held_error=[0.2] * 5)

    good = curve([2.0, 1.0, 0.5, 0.1, 0.0])
    bad = curve([2.0] * 5, error=[0.5] * 5)

    def verdict(held):
        return overfitting.finding({"over": [over(held)], "good": [good], "under": [bad]}, "en").said

    assert verdict([2.0, 0.4, 0.5, 0.6, 0.7]) == "seen"
    assert verdict([2.0, 0.4, 0.4, 0.4, 0.4]) == "unseen"
    assert verdict([2.0, 1.5, 1.0, 0.7, 0.4]) == "unseen"  # still falling, so that its mean end is above its lowest


def test_a_rate_is_judged_by_its_loss():
    ends = {0.0001: 2.43, 0.001: 2.2, 0.01: 0.9, 0.1: 0.13, 0.3: 0.1, 1.0: 2.3}
    losses = {rate: [curve([2.3, end])] for rate, end in ends.items()} | {10.0: [Curve("", 0, {}, diverged=True)]}
    found = learning_rate.finding(losses, "en")
    assert found.said == "seen"
    judged = {row[0]: row[2] for row in found.parts[0].rows}
    assert judged == {
        "0.0001": "too low: no better than guessing", "0.001": "too low: little better than guessing",
        "0.01": "works, slowly", "0.1": "about as good",
        "0.3": "best of these", "1": "too high: breaks down", "10": "too high: breaks down",
    }  # fmt: skip
    assert found.parts[0].rows[-1][1] == "not finite in 1 of 1 seeds"
    assert learning_rate.finding({0.1: [curve([2.0])], 0.2: [curve([0.1])], 0.3: [curve([0.1])]}, "zh").said == "unseen"


def test_a_saturated_network_is_one_whose_units_are_flat_and_that_does_not_learn():
    def kind(left, flat, loss):
        start = saturation.Start([left] + [1.0] * 7, 0.2, flat)
        return saturation.Measured([start], [curve([2.3, loss])])

    kinds = {
        "sigmoid": kind(1e-5, 0.0, 2.31), "tanh": kind(1.0, 0.0, 0.1),
        "saturated": kind(1e-12, 0.97, 2.4), "relu": kind(0.9, 0.5, 0.1),
    }  # fmt: skip
    assert saturation.finding(kinds, "en").said == "seen"
    assert saturation.finding(kinds | {"saturated": kind(1e-12, 0.97, 0.15)}, "en").said == "unseen"
    assert saturation.finding(kinds | {"saturated": kind(1e-12, 0.2, 2.4)}, "en").said == "unseen"
    assert saturation.finding(kinds | {"tanh": kind(1e-12, 0.0, 2.4)}, "en").said == "unseen"


def test_the_saturated_network_is_the_second_one_but_for_its_first_biases():
    data = digits_split(32)
    flat = {}
    for key in ("tanh", "saturated"):
        mr.set_seed(0)
        activation, *rest = saturation.KINDS[key]
        flat[key] = saturation.start(saturation.network(activation, *rest, 3), "tanh", data.x_train, data.y_train)
    assert flat["tanh"].flat < 0.05 and flat["saturated"].flat > 0.9
    assert flat["tanh"].left > 0.1 and flat["saturated"].left < 1e-3


def test_batches_are_told_by_steps_and_a_rate_that_is_too_high_is_named():
    def arms(epochs, missed=()):
        return {size: [curve([1.0] * (n - 1) + [1.0 if size in missed else 0.2])] for size, n in epochs.items()}

    spread = {1: 8.0, 4: 4.0, 16: 2.0, 64: 1.0}
    same = arms({8: 3, 32: 11, 128: 40, 512: 130})  # 150 steps an epoch, 38, 10, 3
    scaled = arms({8: 3, 32: 3, 128: 4, 512: 5}, missed=(512,))
    for language in LANGUAGES:
        made = batch_size.finding(batch_size.Measured(spread, same, scaled), language)
        assert made.said == "seen"
        text = said(made, words("concepts", language)["batch-size"])
        assert "390" in text and "450" in text and "3.2" in text and "{" not in text
    text = said(made, words("concepts", "zh")["batch-size"])
    assert "1 个种子中有 1 个没有达到" in text
    fine = batch_size.finding(batch_size.Measured(spread, same, arms({8: 3, 32: 3, 128: 4, 512: 5})), "en")
    assert "That has a limit" not in said(fine, words("concepts", "en")["batch-size"])
    uneven = arms({8: 1, 32: 11, 128: 40, 512: 200})
    assert batch_size.finding(batch_size.Measured(spread, uneven, scaled), "en").said == "unseen"


def test_each_line_of_progress_says_the_rate_it_tries(monkeypatch):
    lines = []

    class Told:
        """Trains nothing, and keeps what its lines call each training."""

        def __init__(self, say, language):
            pass

        def train(self, arm, data, epochs, seed, enough, rate, called):
            lines.append(called)
            return curve([1.0], error=[0.0])

    monkeypatch.setattr(why_relu, "UNITS", {"tanh": "glorot_uniform"})
    monkeypatch.setattr(why_relu, "Trials", Told)
    why_relu.measure(quiet, "zh", rates=(0.01, 0.1), seeds=(0,))
    assert lines == ["tanh，学习率 0.01", "tanh，学习率 0.1", "tanh，学习率 0.01"]


def test_an_experiment_that_took_no_time_does_not_say_how_long_it_took(monkeypatch):
    numbers = dict.fromkeys(placeholders(words("concepts", "en")["momentum"]["seen"]), 2.0)
    concept = replace(momentum.MOMENTUM, experiment=lambda language, say: Finding("seen", numbers))
    assert len(concept_page(concept, "en", quiet).sections[2].parts) == 1
    monkeypatch.setattr("millrace.concepts.page.TOLD", 0.0)
    assert "The experiment took" in concept_page(concept, "en", quiet).sections[2].parts[1].text


def test_pictures_of_augmentation_are_described_in_other_words_than_their_captions():
    for picture in augmentation.views(words("concepts", "en")["augmentation"]).pictures:
        assert picture.about != picture.caption and "digit" in picture.about


def test_dropout_is_not_praised_where_it_does_not_help():
    same = {key: [curve([1.0], error=[0.1])] for key in dropout.RATES}
    masks = dropout.masked(np.linspace(0.0, 1.0, 256), masks=500)
    assert dropout.finding(masks, same, "en").said == "unseen"


def test_relu_is_held_against_tanh_and_sigmoid_by_epochs():
    def at(epochs):
        return why_relu.Measured(0.03, [curve([1.0] * epochs, error=[0.5] * (epochs - 1) + [0.02])], [0.1], [0.5])

    told = {n: why_relu.finding({"relu": at(4), "tanh": at(n), "sigmoid": at(20)}, "en").said for n in (4, 12)}
    assert told == {4: "seen", 12: "seen_tanh"}
    assert why_relu.finding({"relu": at(20), "tanh": at(20), "sigmoid": at(20)}, "en").said == "unseen"


def test_normalization_and_regularization_are_told_apart_by_their_table():
    def arm(epochs, held):
        errors = [0.5] * (epochs - 1) + [0.2] * (12 - epochs)
        return [curve([1.0] * len(errors), error=errors, held_error=[held] * len(errors))]

    ways = {"neither": arm(5, 0.2), "normalized": arm(2, 0.2), "regularized": arm(9, 0.1), "both": arm(4, 0.08)}
    assert regularizing.finding(ways, "zh").said == "seen"
    assert regularizing.finding(ways | {"normalized": arm(6, 0.2)}, "zh").said == "unseen"


def test_decay_is_told_by_norms_and_errors():
    def arm(norm, training, held):
        return weight_decay.Measured([curve([1.0], error=[training], held_error=[held])] * 2, [norm, norm])

    found = {0.0: arm(28, 0.0, 0.2), 0.01: arm(10, 0.17, 0.09), 0.05: arm(5, 0.3, 0.2)}
    made = weight_decay.finding(found, "en")
    assert made.said == "seen" and made.numbers["best"] == 0.01
    assert "With 0.01, the best here, the norm is 10.0" in said(made, words("concepts", "en")["weight-decay"])
    assert weight_decay.finding(found | {0.01: arm(30, 0.17, 0.09)}, "en").said == "unseen"


# ---- experiments, whole where that is quick


@pytest.mark.parametrize("language", LANGUAGES)
def test_momentum_walks_the_valley_sooner(language):
    lines = []
    found = momentum.experiment(language, lines.append)
    assert found.said == "seen" and len(lines) == len(momentum.MOMENTA)
    assert found.numbers["condition"] == pytest.approx(470.08, abs=0.01)
    told = said(found, words("concepts", language)["momentum"])
    assert "470" in told and "{" not in told
    assert [type(part) for part in found.parts] == [Listing, Figure, Figure]


def test_a_small_training_is_told_and_starts_anew_from_its_seed():
    lines = []
    trials = Trials(lines.append, "zh")
    arm = Arm("小网络", lambda: dense_network((8,)), 0.1, lambda: SGD(0.1))
    first, again = (trials.train(arm, digits_split(64), 2, seed=1) for _ in range(2))
    assert first.columns == again.columns
    assert lines[0].startswith("小网络，种子 1，2 轮：训练错误率")


@pytest.mark.slow
@pytest.mark.parametrize("concept", LEARNING, ids=NAMES)
def test_every_experiment_shows_its_effect_within_a_minute(concept):
    started = time.process_time()
    found = concept.experiment("en", quiet)
    took = time.process_time() - started  # of the processor: a wait for others is not the experiment's
    assert took < 60
    assert found.said.startswith("seen")
    assert all(isinstance(number, (float, str)) for number in found.numbers.values()), found.numbers
    assert any(isinstance(part, (Figure, Pictures)) for part in found.parts)
    for language in LANGUAGES:
        assert "{" not in said(found, words("concepts", language)[concept.name])
