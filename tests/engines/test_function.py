"""`function`: one face for every engine; arguments, results, variables."""

import threading

import numpy as np
import pytest

import millrace as mr
from millrace.ir.errors import ArgumentError, DTypeError, GraphError, MillraceError, NonFiniteError, ShapeError
from millrace.ir.state import snapshot

both = pytest.mark.parametrize("engine", ["xla", "numpy"])


def data(*shape, name="x", **kwargs):
    return mr.Input(shape, name=name, **kwargs)


def variable(value, name="w"):
    return mr.Variable(np.array(value, np.float32), name=name)


def pair():
    x, y = data(3), data(2, name="y")
    return mr.function([x, y], mr.sum(x) + mr.sum(y), engine="numpy")


@pytest.mark.parametrize("arrays", [(), (np.ones((1, 3)),), (np.ones((1, 3)),) * 3])
def test_the_wrong_number_of_arguments_names_the_inputs(arrays):
    with pytest.raises(ArgumentError, match=rf"takes 2 arrays \(x, y\), got {len(arrays)}"):
        pair()(*arrays)


def test_a_wrong_shape_names_the_input_and_both_shapes():
    with pytest.raises(ShapeError, match=r"input 'x' takes \[batch, 3\], got shape \[2, 4\]"):
        pair()(np.ones((2, 4)), np.ones((2, 2)))
    with pytest.raises(ShapeError, match=r"input 'x' takes \[batch, 3\], got shape \[3\]"):
        pair()(np.ones(3), np.ones((2, 2)))


def test_inputs_that_disagree_about_the_batch_say_so():
    with pytest.raises(ShapeError, match=r"input 'y' takes \[batch, 2\], got shape \[5, 2\] \(with batch = 4\)"):
        pair()(np.ones((4, 3)), np.ones((5, 2)))


def test_an_empty_batch_is_refused():
    with pytest.raises(ShapeError, match=r"\[0, 3\]"):
        pair()(np.ones((0, 3)), np.ones((0, 2)))


@both
def test_sizes_bound_by_later_inputs_decide_earlier_ones(engine):
    n, m = mr.dim("n"), mr.dim("m")
    a = data(n * m, name="a", batch_size=1)
    b = data(m, name="b", batch_size=1)
    f = mr.function([a, b], mr.reshape(a, (n, m)) + b, engine=engine)
    assert f(np.ones((1, 6)), np.ones((1, 2))).shape == (3, 2)
    with pytest.raises(ShapeError):
        f(np.ones((1, 7)), np.ones((1, 2)))


@both
def test_sizes_are_bound_through_a_chain_of_inputs(engine):
    n, m, k = mr.dim("n"), mr.dim("m"), mr.dim("k")
    inputs = [data(size, name=f"i{p}", batch_size=1) for p, size in enumerate((n * m, m * k, k))]
    f = mr.function(inputs, mr.zeros((n, m, k)), engine=engine)
    assert f(np.ones((1, 6)), np.ones((1, 10)), np.ones((1, 5))).shape == (3, 2, 5)


@both
def test_a_size_that_no_argument_binds_is_an_error_that_names_it(engine):
    with pytest.raises(MillraceError, match="rows"):
        mr.function([], mr.sum(mr.zeros((mr.dim("rows"),))), engine=engine)()
    n = mr.dim("side")
    x = data(n * n, batch_size=1)
    with pytest.raises(MillraceError, match="side"):
        mr.function([x], mr.sum(x), engine=engine)(np.ones((1, 9)))


def test_ragged_lists_are_refused():
    with pytest.raises(ShapeError, match=r"input 'x'.*rows of equal length"):
        pair()([[1, 2, 3], [4]], np.ones((2, 2)))


def test_lists_of_numbers_are_arrays():
    assert pair()([[1, 2, 3]], [[4.5, 5]]) == 15.5


@pytest.mark.parametrize("text", [[["a", "b", "c"]], [[None, 1, 2]], np.ones((1, 3), complex)])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(DTypeError, match="'x'"):
        pair()(text, np.ones((1, 2)))


def converted(dtype, array):
    x = mr.Input((np.shape(array)[1],), name="x", dtype=dtype)
    return mr.function([x], x, engine="numpy")(array)


@pytest.mark.parametrize(
    ("dtype", "array"),
    [
        ("float32", np.array([[16777217]])),
        ("float64", np.array([[2**53 + 1]])),
        ("int32", np.array([[2**31]])),
        ("int8", np.array([[200]])),
        ("uint8", np.array([[-1]])),
        ("uint64", np.array([[-1]])),
        ("int64", np.array([[2**63]], np.uint64)),
        ("int32", np.array([[1.0]])),
        ("int32", np.array([[1.5]])),
        ("bool", np.array([[1]])),
    ],
    ids=lambda v: v if isinstance(v, str) else f"{v.dtype} {v.ravel()[0]}",
)
def test_a_number_that_its_input_cannot_hold_is_refused(dtype, array):
    with pytest.raises(DTypeError, match="'x'"):
        converted(dtype, array)


@pytest.mark.parametrize(
    ("dtype", "array"),
    [
        ("float32", np.array([[0.1]])),
        ("float16", np.array([[3]])),
        ("uint8", np.array([[255]])),
        ("int32", np.array([[7]], np.uint64)),
        ("uint32", np.array([[7]])),
        ("float32", np.array([[True]])),
        ("float32", np.arange(3, dtype=">f4").reshape(1, 3)),
        ("int32", np.arange(3, dtype=">i4").reshape(1, 3)),
    ],
    ids=str,
)
def test_a_number_that_fits_is_converted(dtype, array):
    got = converted(dtype, array)
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_allclose(got, array, rtol=1e-6)


@both
def test_arrays_of_the_other_byte_order_work_as_constants_and_variables(engine):
    array = np.arange(3, dtype=">f4")
    w = mr.Variable(array, name="w")
    f = mr.function([], mr.constant(array) + w, {w: w + 1.0}, engine=engine)
    np.testing.assert_array_equal(f(), [0, 2, 4])
    np.testing.assert_array_equal(w.numpy(), [1, 2, 3])


@both
def test_results_come_in_the_form_in_which_they_were_asked_for(engine):
    x = data(3)
    ones = np.ones((1, 3))
    y, z = x + 1.0, x * 3.0
    single = mr.function([x], y, engine=engine)(ones)
    assert single.shape == (1, 3)
    assert isinstance(mr.function([x], [y, z], engine=engine)(ones), list)
    assert isinstance(mr.function([x], (y, z), engine=engine)(ones), tuple)
    assert mr.function([x], (), engine=engine)(ones) == ()
    assert mr.function([x], [], engine=engine)(ones) == []
    assert len(mr.function([x], [y], engine=engine)(ones)) == 1
    first, second, again = mr.function([x], (x, y, y), engine=engine)(ones)
    np.testing.assert_array_equal(first, ones)
    np.testing.assert_array_equal(second, again)


@both
def test_constants_variables_and_numbers_can_be_results(engine):
    w = variable([1, 2])
    got = mr.function([], [w, 3.0, mr.constant(np.arange(2)), w], engine=engine)()
    np.testing.assert_array_equal(got[0], [1, 2])
    assert got[1] == 3
    np.testing.assert_array_equal(got[2], [0, 1])


def test_one_input_instead_of_a_list_is_refused():
    x = data(3)
    with pytest.raises(ArgumentError, match=r"mr\.function\(\[x\]"):
        mr.function(x, x)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ArgumentError, match="numpy"):
        mr.function([], mr.constant(1.0), engine="nunpy")


def test_a_forgotten_input_is_refused():
    with pytest.raises(GraphError, match="'x' is used but is not among the inputs"):
        mr.function([], mr.sum(data(3)))


@both
def test_two_variables_are_swapped_in_one_step(engine):
    a, b = variable([1, 2], "a"), variable([3, 4], "b")
    swap = mr.function([], [a, b], {a: b, b: a}, engine=engine)
    for _ in range(3):
        old = a.numpy(), b.numpy()
        got = swap()
        np.testing.assert_array_equal(got, old)
        np.testing.assert_array_equal(a.numpy(), old[1])
        np.testing.assert_array_equal(b.numpy(), old[0])


@both
def test_results_are_computed_from_what_was_read_before_the_write(engine):
    w = variable(1.0)
    f = mr.function([], [w, w + 1.0], {w: w + 1.0}, engine=engine)
    assert [float(v) for v in f()] == [1, 2]
    assert [float(v) for v in f()] == [2, 3]


@both
def test_two_variables_that_are_given_the_same_value_stay_two(engine):
    a, b = variable([1, 2], "a"), variable([3, 4], "b")
    same = mr.function([], (), {a: a + b, b: a + b}, engine=engine)
    bump = mr.function([], (), {a: a + 1.0}, engine=engine)
    same(), same()
    bump()
    np.testing.assert_array_equal(a.numpy(), [9, 13])
    np.testing.assert_array_equal(b.numpy(), [8, 12])


@both
def test_an_update_is_converted_to_the_variables_dtype(engine):
    count = mr.Variable(np.int32(3), name="count")
    mr.function([], (), {count: mr.constant(2.7)}, engine=engine)()
    assert count.numpy() == 2 and count.numpy().dtype == np.int32


def test_engines_take_turns_on_the_same_variables():
    w = variable([1, 2])
    steps = [mr.function([], (), {w: w * 2.0}, engine=e) for e in ("xla", "numpy")]
    for _ in range(3):
        for step in steps:
            step()
    np.testing.assert_array_equal(w.numpy(), [64, 128])


@both
def test_an_old_result_stays_what_it_was_while_steps_go_on(engine):
    w = variable([1, 2, 3])
    read, step = (mr.function([], w, engine=engine), mr.function([], w, {w: w + 1.0}, engine=engine))
    first, before = read(), step()
    for _ in range(3):
        step()
    np.testing.assert_array_equal(np.asarray(first), [1, 2, 3])
    np.testing.assert_array_equal(np.asarray(before), [1, 2, 3])


@both
def test_writing_into_a_result_does_not_change_a_variable(engine):
    w = variable([1, 2, 3])
    for f in (mr.function([], w, engine=engine), mr.function([], w + 0.0, engine=engine)):
        result = np.asarray(f())
        try:
            result[...] = 99
        except ValueError:
            assert not result.flags.writeable
        np.testing.assert_array_equal(w.numpy(), [1, 2, 3])


@both
def test_writing_into_an_argument_after_the_call_does_not_change_a_variable(engine):
    w, x = variable([[0, 0, 0]]), data(3, batch_size=1)
    f = mr.function([x], (), {w: x}, engine=engine)
    batch = np.ones((1, 3), np.float32)
    f(batch)
    batch[:] = 99
    np.testing.assert_array_equal(w.numpy(), [[1, 1, 1]])


@both
def test_writing_into_an_argument_after_the_call_does_not_change_the_result(engine):
    x = data(384, batch_size=384)
    y = x
    for _ in range(16):
        y = mr.tanh(y @ x * 0.01)
    f = mr.function([x], mr.sum(y) + mr.sum(x), engine=engine)
    rng = np.random.default_rng(0)
    for _ in range(8):
        batch = rng.random((384, 384), np.float32)
        expected = float(f(batch.copy()))
        result = f(batch)
        batch[:] = 0
        assert float(result) == pytest.approx(expected, rel=1e-4)


@both
def test_a_result_is_not_a_window_on_the_argument(engine):
    x = data(3, batch_size=1)
    batch = np.ones((1, 3), np.float32)
    result = mr.function([x], x, engine=engine)(batch)
    batch[:] = 99
    np.testing.assert_array_equal(np.asarray(result), [[1, 1, 1]])


def test_an_array_of_the_users_is_never_given_away():
    import jax.numpy as jnp

    w, x = variable([[0, 0, 0]]), data(3, batch_size=1)
    mine = jnp.ones((1, 3))
    mr.function([x], (), {w: x}, engine="xla")(mine)
    mr.function([], (), {w: w + 1.0}, engine="xla")()
    np.testing.assert_array_equal(np.asarray(mine), [[1, 1, 1]])


@both
def test_one_program_for_each_batch_size(engine):
    x = data(3)
    f = mr.function([x], mr.mean(x, axis=0), engine=engine)
    assert f.compiled_programs == 0
    for batch, count in ((2, 1), (2, 1), (5, 2), (2, 2), (1, 3)):
        assert np.shape(f(np.ones((batch, 3)))) == (3,)
        assert f.compiled_programs == count


def test_a_failed_call_makes_no_program():
    f = pair()
    with pytest.raises(ShapeError):
        f(np.ones((2, 4)), np.ones((2, 2)))
    assert f.compiled_programs == 0


def guarded(engine):
    w, count = variable([1.0, 2.0]), mr.Variable(np.int32(0), name="count", trainable=False)
    x = data(2)
    born = mr.log(x)
    loss = mr.sum(born * w)
    step = mr.function([x], loss, {w: w + mr.sum(born, axis=0), count: count + 1}, engine=engine, check_finite=True)
    return step, w, count


@both
def test_check_finite_keeps_the_old_state_and_names_the_culprit(engine):
    step, w, count = guarded(engine)
    step(np.ones((1, 2)))
    before = w.numpy()
    with pytest.raises(NonFiniteError) as caught:
        step(np.array([[-1.0, 1.0]]))
    assert "NaN was born in log" in str(caught.value)
    assert "test_function.py" in str(caught.value) and "born = mr.log(x)" in str(caught.value)
    np.testing.assert_array_equal(w.numpy(), before)
    assert count.numpy() == 1
    step(np.ones((1, 2)))
    assert count.numpy() == 2


@both
def test_check_finite_blames_the_data_or_a_variable_where_they_are_bad_already(engine):
    step, w, _ = guarded(engine)
    with pytest.raises(NonFiniteError, match=r"input 'x' is not finite at index \[1, 0\]"):
        step(np.array([[1.0, 1.0], [np.nan, 1.0]]))
    w.assign(np.array([1, np.inf], np.float32))
    with pytest.raises(NonFiniteError, match=r"variable 'w' is not finite at index \[1\]"):
        step(np.ones((1, 2)))


@both
def test_check_finite_names_the_culprit_although_infinity_was_wanted_elsewhere(engine):
    x = data(2)
    masked = mr.sum(mr.softmax(mr.where(x > 0, x, -np.inf)))
    born = mr.log(x)
    f = mr.function([x], masked + mr.sum(born), engine=engine, check_finite=True)
    f(np.ones((1, 2)))
    with pytest.raises(NonFiniteError, match="born in log"):
        f(np.array([[-1.0, 1.0]]))


@both
def test_check_finite_gives_results_in_their_form(engine):
    x = data(2)
    assert mr.function([x], (), engine=engine, check_finite=True)(np.ones((1, 2))) == ()
    assert len(mr.function([x], [x, x], engine=engine, check_finite=True)(np.ones((1, 2)))) == 2
    assert mr.function([x], mr.sum(x), engine=engine, check_finite=True)(np.ones((1, 2))) == 2


@both
def test_a_snapshot_stays_intact_while_steps_go_on(engine):
    a, b = variable(np.arange(1000), "a"), variable(np.arange(1000), "b")
    step = mr.function([], (), {a: a + 1.0, b: b * 2.0}, engine=engine)
    step()
    with snapshot([a, b]) as buffers:
        expected = [np.array(x) for x in buffers]
        for _ in range(5):
            step()
        for buffer, value in zip(buffers, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(buffer), value)
    np.testing.assert_array_equal(a.numpy(), np.arange(1000) + 6)


@both
def test_nested_snapshots_and_one_variable_twice_stay_intact(engine):
    a = variable(np.arange(10), "a")
    step = mr.function([], (), {a: a + 1.0}, engine=engine)
    step()
    with snapshot([a, a]) as outer:
        with snapshot([a]) as inner:
            step()
            np.testing.assert_array_equal(np.asarray(inner[0]), np.arange(10) + 1)
        step()
        np.testing.assert_array_equal(np.asarray(outer[0]), np.arange(10) + 1)
        np.testing.assert_array_equal(np.asarray(outer[1]), np.arange(10) + 1)
    step()
    np.testing.assert_array_equal(a.numpy(), np.arange(10) + 4)


def run_all(*targets):
    errors = []

    def guard(target):
        try:
            target()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guard, args=(t,)) for t in targets]
    [t.start() for t in threads]
    [t.join(60) for t in threads]
    assert not errors, errors[0]
    assert not any(t.is_alive() for t in threads)


@both
def test_many_threads_lose_no_update(engine):
    count = mr.Variable(np.int32(0), name="count", trainable=False)
    step = mr.function([], (), {count: count + 1}, engine=engine)
    run_all(*[lambda: [step() for _ in range(100)]] * 8)
    assert count.numpy() == 800


@both
def test_two_functions_and_assignments_of_one_variable_lose_nothing(engine):
    count = mr.Variable(np.int32(0), name="count", trainable=False)
    up = mr.function([], (), {count: count + 3}, engine=engine)
    down = mr.function([], (), {count: count - 1}, engine=engine)
    run_all(lambda: [up() for _ in range(100)], lambda: [down() for _ in range(100)], lambda: [up() for _ in range(50)])
    assert count.numpy() == 350


@both
def test_predictions_of_many_threads_are_each_of_their_own_argument_and_of_one_set_of_weights(engine):
    """Arguments are overwritten as soon as a call is back, and weights replaced while others predict."""
    a, b, x = variable(np.ones((40, 30)), "a"), variable(np.ones((30, 2)), "b"), data(40, batch_size=2)
    predict = mr.function([x], mr.matmul(mr.matmul(x, a), b), engine=engine)
    grow = mr.function([], (), {a: a * 2.0, b: b * 0.5}, engine=engine)
    given, results = np.ones((2, 40), np.float32), []
    predict(given), grow()

    def ask(own):
        mine = np.empty((2, 40), np.float32)
        for n in range(60):
            mine[:] = own + n % 3
            results.append((own + n % 3, predict(mine)))
            mine[:] = np.nan

    run_all(*(lambda own=own: ask(own) for own in (1, 10, 100)), lambda: [grow() for _ in range(60)])
    for own, result in results:
        assert (np.asarray(result) == own * 1200).all()


@both
def test_readers_never_see_half_a_step(engine):
    a, b = variable(np.zeros(500), "a"), variable(np.zeros(500), "b")
    step = mr.function([], (), {a: a + 1.0, b: b + 1.0}, engine=engine)
    read = mr.function([], [a, b, mr.max(mr.abs(a - b.value))], engine=engine)
    read(), step()
    done = threading.Event()

    def write():
        for _ in range(300):
            step()
        done.set()

    def watch():
        while not done.is_set():
            x, y, apart = read()
            assert apart == 0 and (np.asarray(x) == np.asarray(y)).all()

    def peek():
        while not done.is_set():
            with snapshot([a, b]) as (x, y):
                x, y = np.asarray(x), np.asarray(y)
                assert x[0] == y[0] and (x == x[0]).all() and (y == y[0]).all()

    run_all(write, watch, peek)
    assert a.numpy()[0] == 301


def test_the_engines_draw_the_same_bits():
    state = mr.Variable(mr.random_state(7), name="state", trainable=False)
    draws = [
        mr.random_bits(state, (5, 3), "bits"),
        mr.random_uniform(state, (101,), "uniform", -1.0, 3.0),
        mr.random_uniform(state, (33,), "double", dtype="float64"),
        mr.random_bernoulli(state, 0.3, (64,), "coin"),
        mr.dropout(mr.ones((9, 9)), 0.25, state, "drop"),
    ]
    functions = [mr.function([], draws, engine=e) for e in ("xla", "numpy")]
    step = mr.function([], (), {state: mr.next_state(state)})
    seen = []
    for _ in range(3):
        compiled, interpreted = (f() for f in functions)
        for a, b in zip(compiled, interpreted, strict=True):
            assert np.asarray(a).dtype == b.dtype
            assert np.asarray(a).tobytes() == b.tobytes()
        seen.append(interpreted[0].tobytes())
        step()
    assert len(set(seen)) == 3


def test_normal_draws_agree_to_rounding():
    state = mr.Variable(mr.random_state(7), name="state", trainable=False)
    draw = mr.random_normal(state, (1000,), "normal")
    a, b = (np.asarray(mr.function([], draw, engine=e)()) for e in ("xla", "numpy"))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert abs(a.mean()) < 0.15 and abs(a.std() - 1) < 0.1


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint32", "uint64", "int8", "uint8", "float16", "bool", "int16"])
def test_every_dtype_survives_compilation(dtype):
    array = np.array([[0, 1, 1]]).astype(dtype)
    if array.dtype.kind in "iu":
        array[0, 0] = np.iinfo(dtype).max
    if dtype == "float64":
        array[0, 0] = 1 / 3
    w = mr.Variable(array, name="w")
    x = mr.Input((3,), name="x", dtype=dtype, batch_size=1)
    y, z, v = mr.function([x], [x, mr.constant(array), w], {w: mr.flip(x, 1)}, engine="xla")(array)
    for got in (y, z, v):
        assert np.asarray(got).dtype == array.dtype
        np.testing.assert_array_equal(np.asarray(got), array)
    assert w.numpy().dtype == array.dtype
    np.testing.assert_array_equal(w.numpy(), array[:, ::-1])


def test_wide_arithmetic_is_not_narrowed_by_the_compiler():
    x = mr.Input((), name="x", dtype="int64", batch_size=1)
    y = mr.Input((), name="y", dtype="float64", batch_size=1)
    big, small = mr.function([x, y], [x * x, y / 3.0], engine="xla")([2**31 + 1], [1.0])
    assert np.asarray(big)[0] == (2**31 + 1) ** 2
    assert np.asarray(small)[0] == 1 / 3


def test_an_expression_without_inputs_is_evaluated_at_once():
    assert mr.evaluate(mr.constant(2.0) * 3.0) == 6
    assert mr.evaluate(variable([1, 2]) * 2.0).tolist() == [2, 4]


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int8", "uint32", "int64"])
def test_the_engines_agree_on_casting_numbers_that_do_not_fit(dtype):
    x = data(8, batch_size=1)
    numbers = [[-1.5, 300.7, 3e9, -3e9, 1e30, np.inf, -np.inf, np.nan]]
    compiled, interpreted = (mr.function([x], mr.cast(x, dtype), engine=e)(numbers) for e in ("xla", "numpy"))
    np.testing.assert_array_equal(np.asarray(compiled), interpreted)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, -0.0])
def test_the_engines_agree_on_numbers_that_are_no_numbers(number):
    x = data(3, batch_size=1)
    outputs = [
        mr.max(x),
        mr.min(x),
        mr.argmax(x),
        mr.argmin(x),
        mr.relu(x),
        mr.clip(x, -1.0, 1.0),
        mr.sign(x),
        mr.round(x),
        mr.isnan(x),
        mr.isfinite(x),
        mr.softmax(x),
        mr.logsumexp(x),
        mr.sqrt(x),
        mr.power(x, 0.0),
        mr.power(x, -1),
        mr.sigmoid(x),
        mr.tanh(x),
    ]
    compiled, interpreted = (mr.function([x], outputs, engine=e)([[1, number, 5]]) for e in ("xla", "numpy"))
    for value, a, b in zip(outputs, compiled, interpreted, strict=True):
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-6, err_msg=value.op.name)
