"""Hopfield's network and its modern form: what they recall, and that the energy never rises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import millrace as mr
from millrace.ir.errors import ArgumentError, DataError, FileError, MillraceError, ShapeError
from millrace.layers.hopfield import Hopfield, ModernHopfield, update_order

both = pytest.mark.parametrize("engine", ["xla", "numpy"])


def run(build, *arrays, engine="numpy"):
    """A graph function of inputs that are like the arrays."""
    inputs = [mr.Input(np.shape(a)[1:], dtype=str(np.asarray(a).dtype)) for a in arrays]
    return np.asarray(mr.function(inputs, build(*inputs), engine=engine)(*arrays))


def memory(w, thresholds=None, **arguments):
    """A network with weights given by hand."""
    w = np.asarray(w, np.float32)
    layer = Hopfield(**arguments)
    layer.store(np.ones((1, len(w))))
    layer.w.assign(w)
    layer.thresholds.assign(np.zeros(len(w), np.float32) if thresholds is None else np.asarray(thresholds, np.float32))
    return layer


def states(*rows):
    return np.array(rows, np.float32)


def by_hand(w, thresholds, state, sweeps):
    """Hopfield 1982 as plain loops: the state, and its energy by the definition after every single update."""
    s, energies = np.array(state, np.float64), []

    def energy():
        return -0.5 * sum(w[i][j] * s[i] * s[j] for i in range(len(s)) for j in range(len(s))) + np.dot(thresholds, s)

    energies.append(energy())
    for order in update_order(len(s), sweeps):
        for i in order:
            heard = np.dot(w[i], s) - thresholds[i]
            s[i] = 1 if heard > 0 else -1 if heard < 0 else s[i]
            energies.append(energy())
    return s, np.array(energies)


# ---- the binary network


@both
def test_hebbs_rule_by_hand(engine):
    layer = Hopfield("hebb")
    layer.store([[1, -1, 1, -1], [1, 1, 1, 1]])
    # w_ij = (x1_i x1_j + x2_i x2_j) / 4, diagonal 0: units 0 and 2 agree in both patterns, so do 1 and 3
    np.testing.assert_allclose(layer.w.numpy(), [[0, 0, 0.5, 0], [0, 0, 0, 0.5], [0.5, 0, 0, 0], [0, 0.5, 0, 0]])
    x = states([1, -1, 1, -1], [1, 1, 1, 1], [-1, 1, -1, 1])
    np.testing.assert_array_equal(run(layer, x, engine=engine), x)
    np.testing.assert_allclose(run(layer.energy, x, engine=engine), [-1, -1, -1])
    np.testing.assert_allclose(run(layer.energy, states([1, 1, -1, 1]), engine=engine), [0])


def test_the_pseudo_inverse_is_the_projection_onto_the_patterns():
    x = np.random.default_rng(0).choice([-1.0, 1.0], (5, 20))
    layer = Hopfield("pseudo_inverse")
    layer.store(np.concatenate([x, x[:1]]))  # one of them twice: the plain inverse of x x^T does not exist
    w = layer.w.numpy()
    assert np.array_equal(w, w.T) and not w.diagonal().any()
    q = np.linalg.qr(x.T)[0]
    projection = q @ q.T
    np.testing.assert_allclose(w, projection - np.diag(projection.diagonal()), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_asynchronous_recall_is_the_loop_by_hand_and_its_energy_never_rises(seed, units):
    """Symmetric weights and thresholds of small whole numbers: float32 is exact, so no tolerance hides a rise."""
    rng = np.random.default_rng(seed)
    w = rng.integers(-3, 4, (units, units))
    w = np.triu(w, 1) + np.triu(w, 1).T
    thresholds, start = rng.integers(-2, 3, units), rng.choice([-1, 1], (3, units))
    layer = memory(w, thresholds, sweeps=3)
    x = start.astype(np.float32)
    out, trace = run(layer, x), run(layer.trace, x)
    assert trace.shape == (3, 4)
    for k in range(3):
        s, energies = by_hand(w, thresholds, start[k], 3)
        np.testing.assert_array_equal(out[k], s)
        np.testing.assert_array_equal(trace[k], energies[::units])
        assert (np.diff(energies) <= 0).all()


@both
def test_random_weights_energy_falls_on_both_engines(engine):
    rng = np.random.default_rng(1)
    w = rng.normal(size=(50, 50))
    layer = memory(np.triu(w, 1) + np.triu(w, 1).T, rng.normal(size=50), sweeps=20)
    trace = run(layer.trace, rng.choice([-1, 1], (16, 50)).astype(np.float32), engine=engine)
    assert (np.diff(trace, axis=1) <= 1e-4).all() and (trace[:, -1] < trace[:, 0]).all()
    np.testing.assert_allclose(trace[:, -1], trace[:, -2], rtol=1e-6)  # at rest


def test_all_at_once_may_swing_for_ever_where_one_after_another_settles():
    """Two units that each want what the other is."""
    w, x = [[0, 1], [1, 0]], states([1, -1])
    for sweeps, ends in ((1, [[-1, 1]]), (2, [[1, -1]]), (5, [[-1, 1]])):
        np.testing.assert_array_equal(run(memory(w, sweeps=sweeps, mode="synchronous"), x), ends)
    settled = run(memory(w, sweeps=1), x)
    assert settled[0, 0] == settled[0, 1]
    np.testing.assert_array_equal(run(memory(w, sweeps=1, mode="synchronous").trace, x), [[1, 1]])


def test_a_unit_that_hears_its_threshold_stays():
    for mode in ("synchronous", "asynchronous"):
        layer = memory(np.zeros((3, 3)), [0, 1, -1], mode=mode)
        np.testing.assert_array_equal(run(layer, states([-1, 1, -1], [1, -1, 1])), [[-1, -1, 1], [1, -1, 1]])


@both
def test_states_and_patterns_of_each_kind(engine):
    x = np.random.default_rng(2).choice([-1, 1], (3, 30))
    expected = None
    for stored in (x, x > 0, (x > 0).astype(np.uint8), x.astype(np.float64)):
        layer = Hopfield()
        layer.store(stored)
        assert expected is None or np.array_equal(layer.w.numpy(), expected)
        expected = layer.w.numpy()
    for asked in (x.astype(np.float32), x > 0, (x > 0).astype(np.float32), x.astype(np.int32)):
        np.testing.assert_array_equal(run(layer, asked, engine=engine), x)


def test_hebb_recalls_few_patterns_at_random_and_forgets_when_there_are_many():
    """64 units: Hopfield 1982 and Amit et al. 1985 put the limit at about 0.138 * 64 = 9 patterns."""

    def kept(count):
        share = []
        for seed in range(5):
            x = np.random.default_rng(seed).choice([-1.0, 1.0], (count, 64)).astype(np.float32)
            layer = Hopfield("hebb")
            layer.store(x)
            damaged = x.copy()
            damaged[:, :6] *= -1  # a tenth of the units
            share.append((run(layer, damaged, engine="xla") == x).mean())
        return np.mean(share)

    assert kept(4) == 1 and kept(6) > 0.99
    assert kept(24) < 0.9


def test_an_order_holds_every_unit_once():
    order = update_order(20, 3)
    assert order.shape == (3, 20) and (np.sort(order, axis=1) == np.arange(20)).all()
    assert len({row.tobytes() for row in order}) == 3


def test_ten_digits_come_back_by_the_pseudo_inverse_and_not_by_hebb(real_data):
    real_data("mnist")
    from millrace.models.hopfield import drawing, recall_digits, table

    hebb, projection = recall_digits(trials=100, noise=0.2, seed=1)
    assert (hebb.rule, projection.rule) == ("hebb", "pseudo_inverse")
    assert ((projection.damaged != projection.stored).sum(axis=1) == 157).all()  # a fifth of 784
    assert projection.exact >= 0.95 and hebb.exact == 0 and hebb.wrong.mean() > 50
    assert len(np.unique(hebb.recalled, axis=0)) <= 2  # crosstalk: all ten fall to one mixture
    assert projection.energy_after < projection.energy_before
    assert (np.diff(projection.energies) <= 1e-3).all() and (np.diff(hebb.energies) <= 1e-3).all()
    assert "pseudo_inverse   100.0%" in table([projection])
    lines = drawing(projection, (3,)).split("\n")
    assert len(lines) == 13 and max(map(len, lines)) <= 80 and lines[0].split() == ["stored", "damaged", "recalled"]


def test_the_page_writes_its_picture(tmp_path):
    from PIL import Image

    from millrace.models.hopfield import recall, save_picture

    x = np.random.default_rng(0).choice([-1, 1], (10, 784)).astype(np.float32)
    result = recall("pseudo_inverse", x, trials=10)
    save_picture(result, tmp_path / "recall.png")
    with Image.open(tmp_path / "recall.png") as picture:
        assert picture.size == (10 * 32 * 4, 3 * 32 * 4)
        assert picture.getpixel((0, 0)) == 255
        corner = [picture.getpixel((2 * 4 + 1, row * 32 * 4 + 2 * 4 + 1)) for row in (0, 2)]
    assert corner == [0 if x[0, 0] > 0 else 255] * 2
    with pytest.raises(FileError, match="cannot be written"):
        save_picture(result, tmp_path / "no" / "recall.png")


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Hopfield("hebbian"), ArgumentError, "Did you mean 'hebb'"),
        (lambda: Hopfield(mode="parallel"), ArgumentError, "unknown mode"),
        (lambda: Hopfield(sweeps=0), ArgumentError, "sweeps"),
        (lambda: Hopfield().store([1, -1]), ShapeError, "patterns, units"),
        (lambda: Hopfield().store([[1, 2]]), DataError, "hold 2: use"),
        (lambda: Hopfield().store([[0.5, 1]]), DataError, "hold 0.5"),
        (lambda: Hopfield().store([[float("nan"), 1]]), DataError, "hold nan"),
        (lambda: Hopfield().store([[-1, 0, 1]]), DataError, "mix -1, 0 and 1"),
        (lambda: Hopfield().store([["a"]]), DataError, "numbers"),
        (lambda: Hopfield()(mr.Input((2, 3))), ShapeError, "Flatten"),
        (lambda: memory(np.zeros((3, 3)))(mr.Input((4,))), ShapeError, "3 units"),
        (lambda: memory(np.zeros((3, 3))).store([[1, -1]]), ShapeError, "3 units, a pattern has 2"),
        (lambda: ModernHopfield(beta=0), ArgumentError, "beta"),
        (lambda: ModernHopfield(steps=0), ArgumentError, "steps"),
        (lambda: ModernHopfield(stored=0), ArgumentError, "stored"),
        (lambda: ModernHopfield()(mr.Input((3,))), ArgumentError, "no patterns"),
        (lambda: ModernHopfield().store([1, 2]), ShapeError, "patterns, units"),
        (lambda: ModernHopfield().store([[1, np.inf]]), DataError, "finite"),
        (lambda: ModernHopfield(stored=2).store([[1, 2]]), ShapeError, "holds 2 patterns, got 1"),
        (lambda: ModernHopfield()([mr.Input((3,)), mr.Input((5, 4))]), ShapeError, "do not fit"),
    ],
)
def test_errors_say_what_to_mend(call, error, says):
    with pytest.raises(error, match=says) as raised:
        call()
    assert isinstance(raised.value, MillraceError)


def test_a_saved_memory_recalls(tmp_path):
    x = np.random.default_rng(4).choice([-1, 1], (3, 16)).astype(np.float32)
    for layer in (Hopfield("hebb", sweeps=2), ModernHopfield(beta=4.0)):
        layer.store(x)
        given_x = mr.Input((16,))
        model = mr.Model(given_x, layer(given_x))
        model.save(tmp_path / "memory.safetensors")
        again = mr.load_model(tmp_path / "memory.safetensors")
        np.testing.assert_allclose(again.predict(x), model.predict(x), atol=1e-6)
        np.testing.assert_allclose(again.predict(x), x, atol=1e-4)


# ---- the modern network


def attention(x, patterns, beta):
    """softmax(beta x K^T) V with K = V = patterns, in plain NumPy."""
    scores = beta * x @ patterns.T
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ patterns


@both
def test_one_step_is_attention(engine):
    rng = np.random.default_rng(0)
    patterns, x = rng.normal(size=(7, 12)).astype(np.float32), rng.normal(size=(5, 12)).astype(np.float32)
    layer = ModernHopfield()  # beta = 1 / sqrt(12), as attention scales
    layer.store(patterns)
    np.testing.assert_allclose(run(layer, x, engine=engine), attention(x, patterns, 12**-0.5), rtol=2e-5, atol=1e-6)
    layer = ModernHopfield(beta=2.0, steps=3)
    layer.store(patterns)
    expected = x
    for _ in range(3):
        expected = attention(expected, patterns, 2.0)
    np.testing.assert_allclose(run(layer, x, engine=engine), expected, rtol=1e-4, atol=1e-5)


@both
def test_patterns_of_each_example_as_a_second_input(engine):
    rng = np.random.default_rng(1)
    patterns, x = rng.normal(size=(5, 7, 12)).astype(np.float32), rng.normal(size=(5, 12)).astype(np.float32)
    out = run(lambda a, b: ModernHopfield(beta=0.5)([a, b]), x, patterns, engine=engine)
    expected = np.concatenate([attention(x[k : k + 1], patterns[k], 0.5) for k in range(5)])
    np.testing.assert_allclose(out, expected, rtol=2e-5, atol=1e-6)
    layer = ModernHopfield(beta=0.5, steps=4)
    trace = run(layer.trace, x, patterns, engine=engine)
    assert trace.shape == (5, 5) and (np.diff(trace, axis=1) <= 1e-5).all()


def test_the_energy_by_hand():
    """Equation 2 for two patterns, the unit vectors, at x = (1, 0) with beta = 1."""
    layer = ModernHopfield(beta=1.0)
    layer.store([[1, 0], [0, 1]])
    expected = -np.log(np.e + 1) + 0.5 + np.log(2) + 0.5
    np.testing.assert_allclose(run(layer.energy, states([1, 0])), [expected], rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 8))
def test_the_energy_never_rises(seed, beta):
    rng = np.random.default_rng(seed)
    layer = ModernHopfield(beta=beta, steps=5)
    patterns = rng.normal(size=(6, 8)).astype(np.float32)
    layer.store(patterns)
    trace = run(layer.trace, (rng.normal(size=(4, 8)) * 2).astype(np.float32))
    assert trace.shape == (4, 6) and (np.diff(trace, axis=1) <= 1e-4).all()
    assert (trace >= -1e-4).all()


def test_a_large_beta_recalls_in_one_step():
    """Ramsauer et al. 2021, theorem 4: well separated patterns come back in one update, more of them than units."""
    patterns = np.random.default_rng(3).choice([-1, 1], (200, 64)).astype(np.float32)
    x = patterns[:20].copy()
    x[:, :12] *= -1  # 19% of the units
    layer = ModernHopfield(beta=8.0)
    layer.store(patterns)
    np.testing.assert_allclose(run(layer, x), patterns[:20], atol=1e-3)
    blurred = ModernHopfield(beta=1e-4)
    blurred.store(patterns)
    np.testing.assert_allclose(run(blurred, x), np.tile(patterns.mean(0), (20, 1)), atol=5e-3)


def test_stored_patterns_are_learned():
    """The gradient of a step with respect to the patterns, beside finite differences."""
    mr.set_seed(0)
    layer = ModernHopfield(stored=4, beta=1.5)
    x = np.random.default_rng(5).normal(size=(3, 6)).astype(np.float32)
    given_x = mr.Input((6,))
    loss = mr.sum(mr.square(layer(given_x)))
    assert [v.shape for v in layer.trainable_weights] == [(4, 6)] and layer.count_params() == 24
    value, slope = mr.function([given_x], [loss, mr.gradients(loss, layer.trainable_weights)[0]], engine="numpy")(x)
    at = layer.patterns.numpy()
    for row, column in ((0, 0), (2, 5)):
        moved = []
        for step in (1e-2, -1e-2):
            near = at.copy()
            near[row, column] += step
            layer.patterns.assign(near)
            moved.append(float(mr.function([given_x], loss, engine="numpy")(x)))
        layer.patterns.assign(at)
        np.testing.assert_allclose(slope[row, column], (moved[0] - moved[1]) / 2e-2, rtol=1e-2, atol=1e-3)
    assert np.isfinite(value)
