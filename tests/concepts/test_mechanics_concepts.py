"""Concepts about how networks and the framework work: their numbers by hand, and that what they say was seen."""

import re
from pathlib import Path

import numpy as np
import pytest

import millrace
import millrace as mr
from millrace.concepts import (
    CONCEPTS,
    compiling,
    convolution,
    convolution_3d,
    feedback_and_memory,
    frameworks,
    pooling,
    steps,
)
from millrace.concepts import local_response_normalization as lrn
from millrace.concepts import symbolic_differentiation as differentiation
from millrace.concepts.mechanics import MECHANICS
from millrace.concepts.page import concept_page, said
from millrace.concepts.worked import grid, number, product_sum
from millrace.explain.pages import Code, Figure, Listing
from millrace.layers import Dense, Input
from millrace.models.hopfield import recall
from millrace.training.model import Model
from millrace.words import words

LANGUAGES = ("en", "zh")
QUICK = ("convolution", "convolution-3d", "local-response-normalization", "dataflow-graph", "frameworks")
NAMES = [concept.name for concept in MECHANICS]


def quiet(line):
    """Nobody listens."""


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_texts_with_the_same_numbers_in_them(name):
    first, second = (words("concepts", language)[name] for language in LANGUAGES)
    assert set(first) == set(second)
    assert {"title", "lead", "text", "practice", "source"} <= set(first)
    for key, text in first.items():
        assert sorted(re.findall(r"{\w+[^}]*}", text)) == sorted(re.findall(r"{\w+[^}]*}", second[key])), key
        assert text.count("|") == second[key].count("|"), key
    assert not any("{" in first[key] for key in ("title", "lead", "text", "tried", "practice", "source"))
    stands = [int(n) for n in re.findall(r"^\((\d)\)$", first["text"], re.M)]
    assert sorted(stands) == list(range(1, len(CONCEPTS[name].formulas) + 1))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", QUICK)
def test_the_page_of_a_concept_says_what_its_experiment_found(name, language):
    page = concept_page(CONCEPTS[name], language, quiet)
    shown = [part.text for section in page.sections for part in section.parts if hasattr(part, "text")]
    table = words("concepts", language)[name]
    found = CONCEPTS[name].experiment(language, quiet)
    assert found.said in ("seen", "found") and said(found, table) in shown


# convolution


def by_loops(picture, kernel):
    height, width = (n - m + 1 for n, m in zip(picture.shape, kernel.shape, strict=True))
    size = kernel.shape
    return np.array(
        [[(picture[i : i + size[0], j : j + size[1]] * kernel).sum() for j in range(width)] for i in range(height)]
    )


def test_the_worked_convolution_is_that_of_plain_loops():
    made = convolution.convolved(convolution.EDGE, convolution.ACROSS)
    assert made.tolist() == [[36, 36, 0]] * 3
    picture = np.random.default_rng(0).random((7, 6), np.float32)
    np.testing.assert_allclose(
        convolution.convolved(picture, convolution.DOWN), by_loops(picture, convolution.DOWN), rtol=1e-5, atol=1e-6
    )
    assert product_sum(convolution.EDGE[:3, :3], convolution.ACROSS).endswith("+ (-1)*0 + 0*0 + 1*9\n= 36")


def test_parameters_are_the_papers_and_those_of_a_real_dense_layer():
    assert convolution.shared_and_dense(*convolution.ALEXNET) == (34_944, (227 * 227 * 3 + 1) * 55 * 55 * 96)
    shared, dense = convolution.shared_and_dense(*convolution.SMALL)
    real = mr.layers.Dense(6 * 6 * 16)
    real(mr.Input((64,)))
    assert (shared, dense) == (160, real.count_params())


def test_a_kernel_over_time_tells_directions_apart_and_one_on_pictures_does_not():
    found = CONCEPTS["convolution-3d"].experiment("en", quiet)
    assert (found.numbers["still"], found.numbers["left"], found.numbers["right"]) == (0, 4, 2)
    left = convolution_3d.CLIPS["left"]
    assert (left[0:2, 1:3, 1:3] * convolution_3d.KERNEL).sum() == 4 == convolution_3d.over_time(left)[0, 1, 1]
    assert {float(convolution_3d.by_picture(x).max()) for x in convolution_3d.CLIPS.values()} == {2}
    assert convolution_3d.parameters() == (3 * 9 * 64 + 64, 3 * 27 * 64 + 64)


# pooling and normalization


def test_pooling_by_hand():
    x = pooling.NUMBERS[None, :, :, None]
    assert pooling.pooled("max_2", x[:, :4, :4])[0, :, :, 0].tolist() == [[8, 2], [2, 7]]
    assert pooling.pooled("max_3", x)[0, :, :, 0].tolist() == [[8, 6], [5, 9]]
    assert pooling.pooled("average_2", x[:, :4, :4])[0, :, :, 0].tolist() == [[4, 1], [1.25, 4.5]]


def test_pooled_maps_of_digits_change_less_when_the_digits_move():
    found = pooling.changes(40)
    assert found["max_3"] < found["max_2"] < found["none"] and found["average_2"] < found["none"]


def test_response_normalization_is_the_papers_formula():
    a = lrn.CHANNELS
    by_hand = [
        x / (2 + 1e-4 * sum(a[j] ** 2 for j in range(max(0, i - 2), min(len(a), i + 3)))) ** 0.75
        for i, x in enumerate(a)
    ]
    np.testing.assert_allclose(lrn.normalized(a), by_hand, rtol=1e-5)
    found = CONCEPTS["local-response-normalization"].experiment("en", quiet)
    assert found.numbers["by_hand"] == pytest.approx(20 / 3.13**0.75) == pytest.approx(8.4991, abs=1e-4)
    assert found.numbers["alone"] == pytest.approx(2**-0.75, abs=1e-4)
    code = next(part.text for part in found.parts if isinstance(part, Code))
    assert "20 / (2 + 0.0001 * 11,300)^0.75" in code


# feedback and memory


def test_damaged_digits_are_recalled():
    stored = feedback_and_memory.ten_digits()
    assert stored.shape == (10, 64) and set(np.unique(stored)) == {-1, 1}
    made = recall("pseudo_inverse", stored, 40, feedback_and_memory.NOISE, engine="numpy")
    assert made.exact > 0.9 and made.wrong.mean() < 1


def test_the_answer_to_a_sequence_is_its_first_symbol_and_its_last_step_does_not_tell():
    x, y = feedback_and_memory.sequences(4000, 3)
    assert (x[:, 0].argmax(axis=1) == y).all()
    agree = (x[:, -1].argmax(axis=1) == y).mean()
    assert agree == pytest.approx(1 / feedback_and_memory.SYMBOLS, abs=0.03)


def test_a_lookup_reads_what_the_question_is_like():
    weights, read = feedback_and_memory.looked_up()
    e = np.exp([0.5, 4, 0])
    np.testing.assert_allclose(weights, e / e.sum(), rtol=1e-5)
    assert read == pytest.approx((e / e.sum()) @ [5, 7, 9], rel=1e-5)


@pytest.mark.parametrize(("memory", "expected"), [(1.0, "seen"), (0.5, "unseen")])
@pytest.mark.parametrize("language", LANGUAGES)
def test_memory_is_only_claimed_where_it_was_seen(memory, expected, language):
    recalled = recall("pseudo_inverse", feedback_and_memory.ten_digits(), 20, feedback_and_memory.NOISE, engine="numpy")
    learned = {
        "forward": feedback_and_memory.Learned([0.25, 0.26]),
        "memory": feedback_and_memory.Learned([0.3, memory]),
    }
    made = feedback_and_memory.finding(recalled, learned, language)
    assert made.said == expected and f"{memory:.0%}" in said(made, words("concepts", language)["feedback-and-memory"])


# graphs, gradients, the compiler


def test_a_small_step_is_counted_as_by_hand():
    graph = steps.small_step()
    # forward: multiply, add, subtract, power, mean; backward: 1/n, 2d, their product, times x, two sums;
    # for each of the two: rate times slope, and the subtraction
    assert len(steps.computing(graph)) == 5 + 6 + 4
    order = steps.levels(graph)
    assert len(order.groups) == 9 and order.count == 15
    figure = next(part for part in CONCEPTS["dataflow-graph"].experiment("en", quiet).parts if isinstance(part, Figure))
    assert figure.svg.count("<text") == 15 + 5 + 2  # and x, y, w, b, the batch size, and both writes


def test_the_small_step_steps_downhill():
    graph = steps.small_step()
    w, b = graph.updates
    run = mr.function(
        list(graph.inputs), list(graph.outputs), {v: u.node.inputs[0] for v, u in graph.updates.items()}, "numpy"
    )
    x = np.array([0, 1, 2, 3], np.float32)
    losses = [float(run(x, 2 * x + 1)[0]) for _ in range(60)]
    assert losses[-1] < 0.02 < losses[0] and float(w.numpy()) == pytest.approx(2, abs=0.2) and float(b.numpy()) > 0.5


def test_nodes_of_a_level_do_not_wait_for_each_other():
    graph = steps.digits_step()
    for group in steps.levels(graph).groups:
        values = {value for node in group for value in node.outputs}
        assert not any(x in values for node in group for x in node.inputs)
    counted = steps.passes_of(graph, steps.digits_model())
    assert sum(counted.values()) == steps.levels(graph).count == len(steps.computing(graph))


def test_differences_are_never_exact_and_worse_for_tiny_steps():
    single, double = differentiation.errors("float32"), differentiation.errors("float64")
    assert min(single) > 1e-6 > min(double) and single[-1] == pytest.approx(1)
    assert double.index(min(double)) not in (0, len(double) - 1)
    assert double[1] / double[2] == pytest.approx(10, rel=0.2)  # the error of a one-sided difference falls with h


def test_both_ways_give_the_same_gradient():
    assert differentiation.timed(20).apart < 1e-5


def test_all_gradients_take_about_three_times_the_work_of_the_loss():
    forward, both, parameters = differentiation.work_of_digits()
    assert 2 < both / forward < 4 and parameters == 151_306
    before, after = differentiation.nodes_of_digits()
    assert after < before


PROGRAM = """HloModule m

%fused (p: f32[4]) -> f32[4] {
  %p = f32[4] parameter(0)
  %a = f32[4] multiply(%p, %p)
  ROOT %b = f32[4] add(%a, %p)
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %x = f32[4] parameter(0)
  %c = f32[4] copy(%x)
  ROOT %f = f32[4] fusion(%c), kind=kLoop, calls=%fused
}
"""


def test_kernels_are_counted_in_the_compilers_own_text():
    assert compiling.kernels_of(PROGRAM) == (2, 1, 2)


def test_a_step_is_measured_by_both_engines():
    x = Input((8,))
    model = Model(x, Dense(10, "softmax")(Dense(6, "relu")(x)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    found = compiling.measure(model, 16, 1)
    assert found.apart < 1e-5 and found.simplified <= found.written
    assert 0 < found.fused <= found.kernels and found.inside >= found.fused
    assert min(found.preparing, found.interpreted, found.compiled) > 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_room_that_frameworks_are_mapped_to_is_there(language):
    source = Path(millrace.__file__).parent
    for framework in frameworks.FRAMEWORKS:
        table = frameworks.rows(framework, language)
        assert len(table) >= 6 and {len(row) for row in table} == {3}
        for _, room, _ in table:
            for path in re.findall(r"[\w/]+(?:\.py|/)", room):
                assert (source / path).exists(), path


def test_what_the_texts_say_was_tried_is_what_is_tried():
    tried = {name: words("concepts")[name]["tried"] for name in NAMES}
    assert f"{feedback_and_memory.STEPS} random symbols" in tried["feedback-and-memory"]
    assert f"{round(feedback_and_memory.NOISE * 64)} pixels were flipped" in tried["feedback-and-memory"]
    assert f"GRU of {feedback_and_memory.UNITS} units" in tried["feedback-and-memory"]
    assert f"each of {pooling.COUNT} digits" in tried["pooling"]
    assert f"by {differentiation.NUMBERS:,} numbers" in tried["symbolic-differentiation"]
    assert f"a batch of {steps.BATCH}" in tried["compiler"]


# what is written by hand


def test_arrays_stand_beside_each_other_under_their_names():
    assert (
        grid({"a": np.array([[1, -10]]), "卷积核": np.array([[0.5], [2]])})
        == "a         卷积核\n  1 -10   0.5\n            2"
    )
    assert grid({"卷积核": np.array([[1]]), "b": np.array([[2]])}) == "卷积核   b\n1        2"
    assert (number(0.00001), number(36.0), number(1.25)) == ("0", "36", "1.25")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in QUICK])
def test_whole_experiments_see_what_they_claim(name):
    for language in LANGUAGES:
        found = CONCEPTS[name].experiment(language, quiet)
        assert found.said == "seen"
        assert said(found, words("concepts", language)[name])
        assert any(isinstance(part, (Listing, Figure)) for part in found.parts)
