"""Small programs run as few calls: with the same results as the interpreter's, and nothing else changed."""

import threading

import numpy as np
import pytest

import millrace as mr
from millrace.engines import native
from millrace.engines.bundles import everything_bundled
from millrace.engines.tracing import lowering, timed
from millrace.ir.errors import MillraceError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType
from millrace.ops.contract import Dot

pytestmark = pytest.mark.skipif(not native.offered(), reason="no C compiler built the routines that are bundled")


def array(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def given(*shapes):
    return [Placeholder(f"x{n}", TensorType("float32", shape))() for n, shape in enumerate(shapes)]


def compiled(inputs, outputs, arrays, updates=None):
    """The results of a program whose routines are all bundled, and how many bundles there are."""
    with everything_bundled():
        f = mr.function(inputs, outputs, updates, engine="xla")
        made = f(*arrays)
    return made, f.programs[0].bundles


def names(bundles):
    return [name for steps in bundles.values() for name, _ in steps]


# ---- one pass over memory


def step(mr, rng, values, operand):
    """One more operation on what there is already."""

    def one():
        return values[rng.integers(len(values))]

    x = one()
    kinds = [
        lambda: x + operand(), lambda: operand() - x, lambda: x * operand(), lambda: mr.maximum(x, operand()),
        lambda: mr.minimum(operand(), x), lambda: mr.relu(x), lambda: mr.tanh(x), lambda: mr.sigmoid(x),
        lambda: mr.abs(x) + x, lambda: -x, lambda: mr.where(x > operand(), operand() + x * 0.0, one()),
        lambda: 0.9 * x + 0.1 * one(), lambda: 0.99 * x + 0.01 * one() ** 2,
        lambda: x - (0.1 * one()) / (mr.sqrt(mr.abs(one()) * 0.5) + 0.25), lambda: x - one() / (mr.sqrt(x * x) + 0.5),
        lambda: 0.5 - one() / (mr.sqrt(x * x) + 0.5), lambda: x - 2.0 / (mr.sqrt(operand() ** 2 + 0.0 * x) + 0.5),
        lambda: mr.cast(x >= operand(), "float32") * one(), lambda: x / (mr.abs(operand()) + 1.0),
    ]  # fmt: skip
    return kinds[rng.integers(len(kinds))]()


@pytest.mark.parametrize("seed", range(24))
def test_random_expressions_of_whole_arrays_rows_columns_and_numbers(seed):
    rng = np.random.default_rng(seed)
    rows, columns = [(7, 19), (1, 40000), (2000, 3), (33, 16)][seed % 4]
    inputs = given((rows, columns), (rows, columns), (columns,), (rows, 1), ())
    values = [inputs[0], inputs[1]]

    def operand():
        return [*inputs[2:], 0.75, values[rng.integers(len(values))]][rng.integers(5)]

    for _ in range(12):
        values.append(step(mr, rng, values, operand))
    last = values[-1]
    outputs = [last, values[rng.integers(2, 13)], mr.sum(last, axis=0), mr.sum(last, axis=1), mr.max(last, axis=1)]
    arrays = [array(rng, *value.shape) for value in inputs]
    made, bundles = compiled(inputs, outputs, arrays)
    assert "pass" in names(bundles)
    for ours, theirs in zip(made, mr.function(inputs, outputs, engine="numpy")(*arrays), strict=True):
        scale = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=3e-5, atol=3e-5 * scale)


def test_what_is_not_a_number_stays_so():
    x, y = given((3, 5), (3, 5))
    outputs = [mr.relu(x) + y, mr.maximum(x, y), mr.max(x * 1.0 + y, axis=1), mr.where(x > 0.0, x * y, y)]
    a, b = np.ones((3, 5), np.float32), np.full((3, 5), 2.0, np.float32)
    a[0, 1], a[2, 2], b[1, 1] = np.nan, -np.inf, np.nan
    made, _ = compiled([x, y], outputs, [a, b])
    for ours, theirs in zip(made, mr.function([x, y], outputs, engine="numpy")(a, b), strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_an_old_value_is_given_back_though_the_new_one_lies_in_its_memory():
    w = mr.Variable(np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3), name="w")
    m = mr.Variable(np.ones((2, 3), np.float32), name="m")
    (g,) = given((2, 3))
    new_m = 0.5 * m + 0.5 * g
    updates = {m: new_m, w: w - 0.1 * new_m}
    outputs = [w.value * 2.0, m.value + g]
    before_w, before_m, a = w.numpy().copy(), m.numpy().copy(), np.full((2, 3), 4.0, np.float32)
    made, bundles = compiled([g], outputs, [a], updates)
    assert "pass" in names(bundles)
    np.testing.assert_allclose(made[0], before_w * 2)
    np.testing.assert_allclose(made[1], before_m + a)
    np.testing.assert_allclose(m.numpy(), 2.5)
    np.testing.assert_allclose(w.numpy(), before_w - 0.25, rtol=1e-6)


@pytest.mark.parametrize("reader", ["pass", "dense_rows"])
def test_an_old_value_is_read_after_the_new_one_is_made(reader):
    """In the same pass, or by a product that comes after it in the same call."""
    rng = np.random.default_rng(0)
    m, w = (mr.Variable(array(rng, 9, 9), name=name) for name in "mw")
    (g,) = given((9, 9))
    before, a = m.numpy().copy(), array(rng, 9, 9)
    new = m * 0.5 + g
    other = mr.tanh(new) - m.value if reader == "pass" else mr.matmul(new, m.value)
    _, bundles = compiled([g], (), [a], {m: new, w: other})
    assert len(bundles) == 1 and reader in names(bundles)
    after = before * 0.5 + a
    np.testing.assert_allclose(m.numpy(), after, rtol=1e-5, atol=1e-5)
    expected = np.tanh(after) - before if reader == "pass" else after @ before
    np.testing.assert_allclose(w.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_a_gradient_does_not_lie_where_the_weight_does_that_it_changes():
    w = mr.Variable(np.arange(1.0, 13.0, dtype=np.float32).reshape(3, 4), name="w")
    x, g = given((8, 3), (8, 4))
    rng = np.random.default_rng(0)
    a, b, before = array(rng, 8, 3), array(rng, 8, 4), w.numpy().copy()
    slope = Dot((0,), (0,))(x, g)
    _, bundles = compiled([x, g], (), [a, b], {w: w - 0.5 * slope})
    assert {"dense_gradient", "pass"} <= set(names(bundles))
    np.testing.assert_allclose(w.numpy(), before - 0.5 * (a.T @ b), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("healthy", [True, False])
def test_one_truth_decides_what_becomes_of_every_variable(healthy):
    w = mr.Variable(np.full((4, 6), 3.0, np.float32), name="w")
    v = mr.Variable(np.full((4, 6), 5.0, np.float32), name="v")
    g, flag = given((4, 6), ())
    truth = flag > 0.0
    new_v = 0.9 * v + 0.1 * g**2
    updates = {v: mr.where(truth, new_v, v.value), w: mr.where(truth, w - g / (mr.sqrt(new_v) + 1.0), w.value)}
    a = np.full((4, 6), 2.0, np.float32)
    compiled([g, flag], (), [a, np.float32(1 if healthy else -1)], updates)
    expected = 0.9 * 5.0 + 0.1 * 4.0
    np.testing.assert_allclose(v.numpy(), expected if healthy else 5.0, rtol=1e-6)
    np.testing.assert_allclose(w.numpy(), 3.0 - 2.0 / (np.sqrt(expected) + 1.0) if healthy else 3.0, rtol=1e-6)


# ---- whole networks


def network(kind):
    mr.set_seed(1)  # and names start anew, from which first weights are drawn too
    layers = mr.layers
    if kind == "dense":
        shape, chosen = (11,), [
            layers.Dense(33, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.3),
            layers.Dense(17, activation="tanh"), layers.Dense(5),
        ]  # fmt: skip
    elif kind == "convolutional":
        shape, chosen = (9, 9, 3), [
            layers.Conv2D(6, 3, activation="relu", padding="same"), layers.MaxPooling2D(2),
            layers.Conv2D(8, 3, activation="sigmoid"), layers.GlobalAveragePooling2D(), layers.Dense(5),
        ]  # fmt: skip
    else:
        shape, chosen = (6, 4), [
            layers.LSTM(12, return_sequences=True), layers.GRU(7), layers.LayerNormalization(), layers.Dense(5),
        ]  # fmt: skip
    return mr.Sequential(chosen), shape


def trained(kind, optimizer, engine, rounds=2):
    model, shape = network(kind)
    rng = np.random.default_rng(0)
    x, y = array(rng, 24, *shape), rng.integers(0, 5, 24)
    model.compile(optimizer, "sparse_categorical_crossentropy", engine=engine)
    model.fit(x, y, epochs=rounds, batch_size=8, verbose=0, shuffle=False)
    return model, [weight.numpy() for weight in model.weights]


@pytest.mark.parametrize(
    ("kind", "rule"), [("dense", "Adam"), ("dense", "SGD"), ("convolutional", "RMSprop"), ("recurrent", "Adam")]
)
def test_training_goes_as_in_the_interpreter(kind, rule):
    def optimizer():
        chosen = mr.optimizers.SGD(0.05, 0.9, weight_decay=1e-3) if rule == "SGD" else None
        return chosen or getattr(mr.optimizers, rule)(0.01)

    with everything_bundled():
        model, ours = trained(kind, optimizer(), "xla")
    made = names(model.training_steps.train.programs[0].bundles)
    assert {"dense_rows", "dense_gradient", "pass", "finite"} <= set(made)
    _, theirs = trained(kind, optimizer(), "numpy")
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4 * max(1.0, float(np.abs(b).max())))


def test_a_step_that_is_not_finite_changes_nothing():
    model, shape = network("dense")
    model.compile(mr.optimizers.Adam(0.01), "sparse_categorical_crossentropy", engine="xla")
    rng = np.random.default_rng(0)
    x, y = array(rng, 8, *shape), rng.integers(0, 5, 8)
    with everything_bundled():
        model.fit(x, y, epochs=1, batch_size=8, verbose=0)
        before = [weight.numpy().copy() for weight in model.weights]
        x[3, 2] = np.nan
        with pytest.raises(MillraceError):
            model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    for a, b in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(a, b.numpy())


def test_predictions_of_several_threads_at_once_are_each_ones_own():
    model, shape = network("convolutional")
    rng = np.random.default_rng(0)
    batches = [array(rng, 8, *shape) for _ in range(4)]
    with everything_bundled():
        alone = [model.predict(x) for x in batches]
    wrong = []

    def ask(n):
        for _ in range(20):
            if not np.array_equal(model.predict(batches[n]), alone[n]):
                wrong.append(n)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---- which programs


def dense(rows, units, depth):
    x, w, b = given((rows, depth), (depth, units), (units,))
    return Graph([x, w, b], [mr.relu(x @ w + b)])


def calls(graph):
    """What the plan says of routines that run together, if any do."""
    return next((reason for reason in lowering(graph, {}).plan.reasons if "routines in" in reason), "")


def test_a_small_programs_routines_are_one_call_and_the_plan_says_so():
    assert "in one call" in calls(dense(64, 256, 256))


def test_large_programs_and_tiny_ones_are_left_as_they_were():
    for graph in (dense(2048, 2048, 2048), dense(2, 3, 4)):
        assert not calls(graph)


def test_what_stays_with_xla_and_is_most_of_the_work_keeps_all_of_it_there():
    x, y, w = given((8, 64, 128), (8, 128, 64), (64, 64))
    graph = Graph([x, y, w], [mr.relu((x @ y) @ w)])  # of stacks of matrices there is no routine
    assert not calls(graph)


def test_a_profile_sees_the_routines_of_a_bundle():
    x, w = given((64, 512), (512, 512))
    out = mr.tanh(x @ w)
    f = mr.function([x, w], [mr.sum(out @ w, axis=0)], engine="xla")
    rng = np.random.default_rng(0)
    found = timed(f, [array(rng, 64, 512), array(rng, 512, 512)], 3)
    spent = {found.graph.nodes[number].op.name for number, seconds in found.nodes.items() if seconds}
    assert {"Dot", "Tanh", "Sum"} <= spent
    assert sum(found.nodes.values()) + found.elsewhere + found.idle == pytest.approx(found.watched, rel=1e-6)
