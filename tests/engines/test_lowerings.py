"""What is chosen for speed gives the same numbers, and is chosen where it should be."""

import numpy as np
import pytest

import millrace as mr
from millrace.engines import allocator, compiler
from millrace.ir.errors import ShapeError
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType
from millrace.ops import contract

CPU = compiler.jax.default_backend() == "cpu"


def both(function, *arrays):
    """A function's result on both engines, and the notes that the compiler took."""
    values = [Placeholder(f"x{n}", TensorType.of(x))() for n, x in enumerate(arrays)]
    out = function(*values)
    compiled = mr.function(values, out)
    got = np.asarray(compiled(*arrays))
    expected = np.asarray(mr.function(values, out, engine="numpy")(*arrays))
    return got, expected, {choice for _, choice, _ in compiled.programs[0].notes}


def rows(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.skipif(not CPU, reason="chosen on CPUs")
def test_a_few_rows_by_a_large_transposed_matrix(monkeypatch):
    monkeypatch.setattr(contract, "LARGE", 6)
    got, expected, notes = both(contract.Dot((1,), (1,)), rows(0, 3, 5), rows(1, 4, 5))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    assert "large factor first" in notes
    monkeypatch.setattr(contract, "FEW", 2)
    assert "large factor first" not in both(contract.Dot((1,), (1,)), rows(0, 3, 5), rows(1, 4, 5))[2]


@pytest.mark.skipif(not CPU, reason="chosen on CPUs")
@pytest.mark.parametrize("strides", [1, 2])
def test_a_kernel_larger_than_its_map(xla_alone, strides):
    """2 x 2 maps under kernels of 3 x 3: XLA by itself takes naive loops there."""
    got, expected, notes = both(
        lambda x, k: mr.conv(x, k, strides, padding=((1, 1), (1, 1))), rows(0, 2, 2, 2, 4), rows(1, 3, 3, 4, 5)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert "padded first" in notes


@pytest.mark.skipif(not CPU, reason="chosen on CPUs")
def test_column_sums_are_products_from_enough_rows_on():
    for count, chosen in ((63, False), (64, True)):
        got, expected, notes = both(lambda x: mr.sum(x, axis=0), rows(0, count, 3))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        assert ("product with ones" in notes) == chosen


@pytest.mark.skipif(not CPU, reason="chosen on CPUs")
def test_no_large_weight_is_copied_in_a_step_with_momentum():
    """Each variable's new value lies where its old one lay; XLA would copy all weights first where they cross."""
    w = mr.Variable(rows(0, 64, 64), name="w")
    v = mr.Variable(np.zeros((64, 64), np.float32), name="v")
    x = mr.Input((64,), name="x")
    (g,) = mr.gradients(mr.sum(mr.tanh(mr.matmul(x, w))), [w])
    new = 0.9 * v - 0.1 * g
    step = mr.function([x], [], {v: new, w: w + new})
    step(rows(1, 8, 64))
    text = step.programs[0].compiled.as_text()
    assert not [line for line in text.splitlines() if " copy(" in line and "f32[64,64]" in line]


def test_a_step_that_is_not_finite_leaves_weights_and_memory_as_they_were():
    model = mr.Sequential([mr.Input((3,)), mr.layers.Dense(2)])
    model.compile(mr.optimizers.SGD(0.1, momentum=0.9), "mse")
    x, y = rows(0, 8, 3), rows(1, 8, 2)
    model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    held = [v.numpy() for v in (*model.weights, *model.optimizer.variables)]
    steps = model.training_steps
    ones = np.ones(8, np.float32)
    steps.train(np.where(x > 0, np.inf, x).astype(np.float32), y, ones, ones)
    assert not steps.healthy.numpy()
    for before, variable in zip(held, (*model.weights, *model.optimizer.variables), strict=True):
        np.testing.assert_array_equal(before, variable.numpy())


def test_variables_move_to_the_device_once_and_stay_assignable():
    w = mr.Variable(np.float32([1, 2]), name="w")
    x = mr.Input((2,), name="x")
    run = mr.function([x], x * w)
    np.testing.assert_array_equal(run(np.float32([[1, 1]])), [[1, 2]])
    buffer = w._buffer
    run(np.float32([[1, 1]]))
    assert w._buffer is buffer
    w.assign(np.float32([3, 4]))
    np.testing.assert_array_equal(run(np.float32([[1, 1]])), [[3, 4]])


def test_a_known_shape_of_another_dtype_is_still_converted_or_refused():
    x = mr.Input((2,), name="x")
    run = mr.function([x], x * 2.0)
    run(np.float32([[1, 1]]))
    assert np.asarray(run(np.float64([[1, 3]]))).dtype == np.float32
    with pytest.raises(ShapeError):
        run(np.float32([[1, 1, 1]]))
    with pytest.raises(ShapeError):
        run(np.float32([1, 1]))


@pytest.mark.skipif(not CPU, reason="chosen on CPUs")
def test_a_large_step_computes_with_its_arguments_as_they_were(monkeypatch):
    """Its arguments are copied to one place, again and again, while the call before may still run."""
    monkeypatch.setattr(compiler, "LARGE", 0)
    w = mr.Variable(np.zeros((300, 300), np.float32), name="w")
    x = mr.Input((300,), name="x")
    step = mr.function([x], [], {w: w + mr.matmul(mr.transpose(x), mr.tanh(x))})
    given, expected = rows(0, 400, 300), np.zeros((300, 300))
    for n in range(5):
        given[:] = n + 1
        step(given)
        expected += 400.0 * (n + 1) * np.tanh(n + 1.0)
    given[:] = np.nan
    assert step.programs[0].is_large
    np.testing.assert_allclose(w.numpy(), expected, rtol=1e-5)


@pytest.mark.skipif(not CPU, reason="chosen on CPUs")
def test_large_steps_that_hand_a_variable_to_and_fro_keep_their_arguments(monkeypatch):
    """The other step takes the memory of what the first one made, so that the first cannot wait for it."""
    monkeypatch.setattr(compiler, "LARGE", 0)
    w = mr.Variable(np.zeros((300, 300), np.float32), name="w")
    x = mr.Input((300,), name="x")
    product = mr.matmul(mr.transpose(x), mr.tanh(x))
    add, take = mr.function([x], [], {w: w + product}), mr.function([], [], {w: w * 1.0})
    given, expected = rows(0, 400, 300), np.zeros((300, 300))
    for n in range(5):
        given[:] = n + 1
        add(given)
        take()
        expected += 400.0 * (n + 1) * np.tanh(n + 1.0)
    np.testing.assert_allclose(w.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MILLRACE_ALLOCATOR": "default"}, "MILLRACE_ALLOCATOR=default"),
        ({"MALLOC_ARENA_MAX": "2"}, "MALLOC_ARENA_MAX set by the user"),
        ({"LD_PRELOAD": "libjemalloc.so"}, "LD_PRELOAD set by the user"),
    ],
)
def test_the_allocator_is_left_alone_where_the_user_says_so(monkeypatch, environment, said):
    for name in [n for n in allocator.os.environ if n.startswith(allocator.THEIRS) or n == allocator.SWITCH]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = allocator.tune.__wrapped__()
    assert found.startswith("allocator as it was") and said in found
