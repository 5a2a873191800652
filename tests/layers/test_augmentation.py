"""Layers that change images at random, held to plain loops, to the papers' formulas and to their distributions."""

import itertools
import math

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.ir.errors import ArgumentError, DTypeError, MillraceError, ShapeError
from millrace.training.forms import Form

both = pytest.mark.parametrize("engine", ["xla", "numpy"])
B, H, W = 64, 7, 9

RANDOM = {  # each kind of layer that draws, with arguments
    "crop": lambda **how: layers.RandomCrop(4, 5, **how),
    "flip": lambda **how: layers.RandomFlip(**how),
    "brightness": lambda **how: layers.RandomBrightness(0.3, **how),
    "contrast": lambda **how: layers.RandomContrast(0.5, **how),
    "colour": lambda **how: layers.PCAColor([3.0, 2.0, 1.0], np.eye(3), 10.0, **how),
    "cutout": lambda **how: layers.Cutout(3, **how),
    "erasing": lambda **how: layers.RandomErasing(1.0, **how),
    "mixup": lambda **how: layers.MixUp(1.0, **how),
}
MOVING = ("crop", "flip", "cutout", "erasing")  # exactly equal on both engines, and of the same dtype
every_random = pytest.mark.parametrize("kind", RANDOM)


@pytest.fixture(autouse=True)
def seed_zero():
    mr.set_seed(0)
    yield
    mr.set_seed(0)


def bytes_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def numbered(batch=B, height=H, width=W):
    """Images in which every pixel has a number of its own."""
    return np.arange(batch * height * width, dtype=np.int32).reshape(batch, height, width, 1)


def trained(layer, x, steps=1, engine="numpy"):
    """What the layer gives in so many training steps on the same x."""
    given = mr.Input(x.shape[1:], dtype=x.dtype.name)
    out = layer(given)
    run = mr.function([given], out, dict(layer.all_updates), engine=engine)
    made = [np.asarray(run(x)) for _ in range(steps)]
    return made[0] if steps == 1 else made


def in_use(layer, x, engine="numpy"):
    """What the layer gives once training is over."""
    given = mr.Input(x.shape[1:], dtype=x.dtype.name)
    used = Form([given], [layer(given)]).for_use()
    assert not any(op in str(mr.function([given], list(used.outputs))) for op in ("random_bits", "RandomBits"))
    return np.asarray(mr.function([given], used.outputs[0], engine=engine)(x))


def ks_distance(drawn, cdf):
    """The greatest distance between the share of numbers up to x and the probability of that (Kolmogorov, Smirnov)."""
    x = np.sort(np.asarray(drawn, np.float64).ravel())
    expected, n = cdf(x), len(x)
    return max(np.abs(expected - np.arange(n) / n).max(), np.abs(expected - np.arange(1, n + 1) / n).max())


def almost_surely(n):
    """What ks_distance stays below but for one time in 10,000."""
    return math.sqrt(-math.log(1e-4 / 2) / 2 / n)


# ---- the same for all that draw


@every_random
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_both_engines_draw_the_same(kind, dtype):
    x = bytes_of(16, H, W, 3).astype(dtype)
    one, other = (trained(RANDOM[kind](seed=5, name="one"), x, engine=engine) for engine in ("numpy", "xla"))
    assert one.dtype == other.dtype == (dtype if kind in MOVING else "float32")
    if kind in MOVING and not (kind == "erasing" and dtype == "float32"):  # that noise may differ in its last place
        np.testing.assert_array_equal(one, other)
    else:
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-3)


@every_random
def test_a_seed_gives_the_same_again_and_a_step_something_new(kind):
    x = bytes_of(16, H, W, 3)
    first, second = trained(RANDOM[kind](seed=5, name="one"), x, 2)
    np.testing.assert_array_equal(first, trained(RANDOM[kind](seed=5, name="one"), x))
    assert (first != second).any() and (first != trained(RANDOM[kind](seed=6, name="one"), x)).any()


@every_random
def test_images_of_a_batch_are_changed_each_in_its_own_way(kind):
    x = np.repeat(bytes_of(1, H, W, 3), 24, 0)
    if kind == "mixup":
        x = bytes_of(24, H, W, 3)
    made = trained(RANDOM[kind](seed=1), x)
    assert len(np.unique(made.reshape(24, -1), axis=0)) >= 3


@both
@every_random
def test_nothing_of_it_is_left_in_use(kind, engine):
    x = bytes_of(4, H, W, 3)
    expected = x[:, 1:5, 2:7] if kind == "crop" else x  # a crop becomes the middle
    made = in_use(RANDOM[kind](), x, engine)
    np.testing.assert_array_equal(made, expected)
    assert made.dtype == ("uint8" if kind in MOVING else "float32")


@every_random
@pytest.mark.parametrize("shape", [(), (4,), (6, 4), (4, 6, 6, 3)])
def test_what_is_no_image_is_refused(kind, shape):
    if kind == "mixup":
        return  # it takes any shape
    with pytest.raises(ShapeError, match=r"\[batch, height, width, channels\]") as caught:
        RANDOM[kind](name="one")(mr.Input(shape, name="x"))
    assert "'one'" in str(caught.value) and ("batch" in str(caught.value))


@every_random
def test_truth_values_are_refused(kind):
    with pytest.raises(MillraceError, match="bool"):
        RANDOM[kind](name="one")(mr.Input((H, W, 3), dtype="bool"))


@every_random
def test_it_is_saved_with_the_state_of_its_draws(kind, tmp_path):
    x, y = bytes_of(8, H, W, 3), np.zeros((8, 1), np.float32)
    model = mr.Sequential([mr.Input((H, W, 3), dtype="uint8"), RANDOM[kind](seed=3), layers.Rescaling(1 / 255),
                           layers.GlobalAveragePooling2D(), layers.Dense(1)])  # fmt: skip
    model.compile("sgd", "mse", engine="numpy")
    model.fit(x, y, 4, 1, verbose=0)
    model.save(tmp_path / "model.safetensors")
    again = mr.load_model(tmp_path / "model.safetensors", engine="numpy")
    assert again.layers[0].get_config() == model.layers[0].get_config()
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    one, other = (m.fit(x, y, 4, 2, verbose=0, initial_epoch=1).batch_losses for m in (model, again))
    assert one == other and len(set(one)) > 1


# ---- crops and flips


@both
def test_a_crop_is_a_window_of_its_image_and_every_place_occurs(engine):
    height, width = 4, 6
    places = set()
    for x, out in ((numbered(), out) for out in trained(layers.RandomCrop(height, width), numbered(), 8, engine)):
        assert out.shape == (B, height, width, 1) and out.dtype == np.int32
        for b in range(B):
            n, row, column = np.unravel_index(out[b, 0, 0, 0], (B, H, W))
            assert n == b
            for i, j in itertools.product(range(height), range(width)):
                assert out[b, i, j, 0] == x[b, row + i, column + j, 0]
            places.add((int(row), int(column)))
    assert places == set(itertools.product(range(H - height + 1), range(W - width + 1)))


def test_every_place_of_a_crop_is_equally_probable():
    counts = np.zeros((4, 4))
    for out in trained(layers.RandomCrop(4, 6), numbered(1000), 4):
        _, row, column = np.unravel_index(out[:, 0, 0, 0], (1000, H, W))
        np.add.at(counts, (row, column), 1)
    expected = 4000 / 16
    assert ((counts - expected) ** 2 / expected).sum() < 44.3  # chi-squared with 15 degrees, 1 in 10,000


def test_a_crop_of_the_whole_image_is_the_image():
    x = bytes_of(3, H, W, 3)
    np.testing.assert_array_equal(trained(layers.RandomCrop(H, W), x, engine="xla"), x)


def test_the_middle_of_an_image():
    x = bytes_of(2, 5, 8, 3)
    for height, width in ((5, 8), (4, 3), (1, 2), (2, 8)):
        out = trained(layers.CenterCrop(height, width), x)
        row, column = (5 - height) // 2, (8 - width) // 2
        np.testing.assert_array_equal(out, x[:, row : row + height, column : column + width])
        np.testing.assert_array_equal(out, in_use(layers.RandomCrop(height, width), x))


@pytest.mark.parametrize("kind", [layers.RandomCrop, layers.CenterCrop])
def test_a_crop_larger_than_the_image_is_refused_with_both_sizes(kind):
    for size in ((8, 4), (4, 10)):
        with pytest.raises(ShapeError) as caught:
            kind(*size, name="one")(mr.Input((7, 9, 3)))
        for word in ("'one'", f"height {size[0]}", f"width {size[1]}", "height 7", "width 9", "smaller"):
            assert word in str(caught.value)
    with pytest.raises(ShapeError, match="known height"):
        kind(4, 4)(mr.Input((None, 9, 3)))


def mirrored(image, mode):
    """An image mirrored, by plain loops."""
    out = np.empty_like(image)
    height, width = image.shape[:2]
    for i, j in itertools.product(range(height), range(width)):
        out[i, j] = image[height - 1 - i if "v" in mode else i, width - 1 - j if "h" in mode else j]
    return out


@both
@pytest.mark.parametrize(
    ("mode", "forms"),
    [("horizontal", ["", "h"]), ("vertical", ["", "v"]), ("horizontal_and_vertical", ["", "h", "v", "hv"])],
)
def test_each_image_is_flipped_or_not_as_often(mode, forms, engine):
    x, seen = bytes_of(400, 3, 4, 3), dict.fromkeys(forms, 0)
    out = trained(layers.RandomFlip(mode), x, engine=engine)
    for image, made in zip(x, out, strict=True):
        (form,) = [form for form in forms if (mirrored(image, form) == made).all()]
        seen[form] += 1
    for count in seen.values():
        share = 1 / len(forms)
        assert abs(count - 400 * share) < 4 * math.sqrt(400 * share * (1 - share))


def test_an_unknown_direction_is_refused():
    with pytest.raises(ArgumentError, match=r"mode 'horizontl'.*horizontal.*Known"):
        layers.RandomFlip("horizontl")


def test_all_images_mirrored():
    x = bytes_of(3, H, W, 3)
    np.testing.assert_array_equal(mr.evaluate(mr.flip_left_right(x)), np.stack([mirrored(i, "h") for i in x]))
    np.testing.assert_array_equal(mr.evaluate(mr.flip_up_down(x)), np.stack([mirrored(i, "v") for i in x]))


# ---- colours


@both
def test_brightness_adds_one_share_of_the_range_to_an_image_and_stays_within(engine):
    x = bytes_of(2000, 3, 3, 3)
    out = trained(layers.RandomBrightness((-0.2, 0.4), (10, 240)), x, engine=engine)
    assert out.dtype == np.float32 and out.min() == 10 and out.max() == 240
    shifts = []
    for image, made in zip(x.astype(float), out, strict=True):
        inside = (made > 10) & (made < 240)
        difference = (made - image)[inside]
        shifts.append(difference.mean())
        np.testing.assert_allclose(difference, shifts[-1], atol=1e-3)
        np.testing.assert_allclose(made, np.clip(image + shifts[-1], 10, 240), atol=2e-3)
    low, high = -0.2 * 230, 0.4 * 230
    assert ks_distance(shifts, lambda s: (s - low) / (high - low)) < almost_surely(2000)


def test_one_number_for_brightness_is_a_bound_on_both_sides():
    assert layers.RandomBrightness(0.3).factor == (-0.3, 0.3)
    x = np.full((500, 1, 1, 1), 0.5, np.float32)
    out = trained(layers.RandomBrightness(0.3, (0, 1)), x) - 0.5
    assert out.min() < -0.28 and out.max() > 0.28 and np.abs(out).max() <= 0.3 + 1e-6


@both
def test_contrast_stretches_each_channel_around_its_mean(engine):
    x = np.random.default_rng(1).uniform(90, 160, (1000, 3, 4, 2)).astype(np.float32)
    out = trained(layers.RandomContrast((0.4, 0.9), (70, 180)), x, engine=engine)
    factors = []
    for image, made in zip(x.astype(np.float64), out, strict=True):
        middle = image.mean((0, 1))
        distance = image - middle
        inside = (made > 70) & (made < 180) & (np.abs(distance) > 5)
        factors.append(np.median(((made - middle) / distance)[inside]))
        np.testing.assert_allclose(made, np.clip(distance * factors[-1] + middle, 70, 180), atol=1e-3)
    assert ks_distance(factors, lambda f: (f - 0.6) / 1.3) < almost_surely(1000)
    assert (out == 70).any() and (out == 180).any()


@both
def test_pca_colour_is_the_formula_of_the_paper(engine):
    values = np.array([0.22, 0.019, 0.0045])
    vectors = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    x = bytes_of(600, 2, 3, 3) / np.float32(255)
    out = trained(layers.PCAColor(values, vectors, stddev=0.1), x, engine=engine)
    draws = []
    for image, made in zip(x.astype(np.float64), out.astype(np.float64), strict=True):
        shift = (made - image).reshape(-1, 3)
        np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-6)
        draws.append([shift.mean(0) @ vectors[:, k] / values[k] for k in range(3)])
    normal = np.vectorize(lambda a: 0.5 * (1 + math.erf(a / 0.1 / math.sqrt(2))))
    for k in range(2):  # the third eigenvalue is too small to find the draws to many places
        assert ks_distance(np.array(draws)[:, k], normal) < almost_surely(600)
    assert np.abs(np.corrcoef(np.array(draws).T) - np.eye(3)).max() < 0.16


def test_pca_colour_by_hand_for_given_draws():
    values, vectors = np.float32([2, 3, 5]), np.float32([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    state, x = mr.random_state(4), bytes_of(2, 1, 2, 3)
    draws = mr.evaluate(mr.random_normal(state, (2, 3), "color", 0.0, 0.5)).astype(np.float64)
    out = mr.evaluate(mr.pca_color(x, values, vectors, state, "color", 0.5))
    for b, j, c in itertools.product(range(2), range(2), range(3)):
        expected = x[b, 0, j, c] + sum(vectors[c, k] * draws[b, k] * values[k] for k in range(3))
        assert out[b, 0, j, c] == pytest.approx(expected, rel=1e-5)
    assert out.dtype == np.float32


def test_pca_colour_refuses_what_does_not_fit():
    with pytest.raises(ArgumentError, match=r"eigenvectors must be \[3, 3\]"):
        layers.PCAColor([1, 2, 3], np.eye(2))
    with pytest.raises(ShapeError, match=r"eigenvalues \[1\].*float32\[3\]"):
        layers.PCAColor([1, 2, 3], np.eye(3))(mr.Input((4, 4, 1)))


# ---- boxes


@both
def test_cutout_covers_a_square_around_any_pixel_as_far_as_it_lies_inside(engine):
    state, size, n = mr.random_state(3), 4, 500
    x = np.ones((n, H, W, 2), np.float32)
    given = mr.Input((H, W, 2))
    cut = mr.random_cutout(given, size, state, "cutout", -1.0)
    rows, columns = (
        mr.random_integers(state, (given.shape[0],), f"cutout/{k}", m) for k, m in (("row", H), ("column", W))
    )
    out, rows, columns = map(np.asarray, mr.function([given], [cut, rows, columns], engine=engine)(x))
    for b in range(n):
        expected = np.ones((H, W, 2))
        for i in range(rows[b] - size // 2, rows[b] - size // 2 + size):
            for j in range(columns[b] - size // 2, columns[b] - size // 2 + size):
                if 0 <= i < H and 0 <= j < W:
                    expected[i, j] = -1
        np.testing.assert_array_equal(out[b], expected)
    assert set(rows) == set(range(H)) and set(columns) == set(range(W))


def test_cutout_fills_with_what_it_is_told_in_the_images_dtype():
    out = trained(layers.Cutout(3, fill_value=7), np.full((50, H, W, 1), 200, np.uint8))
    assert out.dtype == np.uint8 and set(np.unique(out)) == {7, 200}
    for bad in (-1, 256, 0.5):
        with pytest.raises(ArgumentError, match="uint8"):
            layers.Cutout(3, fill_value=bad)(mr.Input((H, W, 1), dtype="uint8"))


@both
def test_erasing_covers_a_box_inside_whose_sides_are_roots_of_shares(engine):
    scale, n, h, w = (0.04, 0.36), 3000, 40, 50
    out = trained(layers.RandomErasing(1.0, scale, fill_value=0), np.ones((n, h, w, 1), np.uint8), engine=engine)
    sides, gaps = [], []
    for image in out[..., 0] == 0:
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        assert image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert image.sum() == len(rows) * len(columns)
        sides.append((len(rows) / h, len(columns) / w))
        gaps.append((rows[0] / (h - len(rows)), columns[0] / (w - len(columns))))
    sides, gaps = np.array(sides), np.array(gaps)
    assert sides.min() == pytest.approx(0.2, abs=0.02) and sides.max() == pytest.approx(0.6, abs=0.02)
    spread = np.random.default_rng(0).uniform(-0.5, 0.5, sides.shape) / [h, w]  # undoes the rounding to whole pixels
    for k in range(2):
        share = np.clip((sides + spread)[:, k], 0.2, 0.6) ** 2
        assert ks_distance(share, lambda s: (s - 0.04) / 0.32) < 1.2 * almost_surely(n) + 0.01
        assert (
            abs(gaps[:, k].mean() - 0.5) < 4 * math.sqrt(1 / 12 / n) and gaps[:, k].max() == 1 and gaps[:, k].min() == 0
        )
    assert abs(np.corrcoef(sides.T)[0, 1]) < 0.08


@pytest.mark.parametrize(("factor", "share"), [(0.0, 0), (0.3, 0.3), ((0.2, 0.6), 0.4), (1, 1)])
def test_erasing_happens_with_its_probability(factor, share):
    out = trained(layers.RandomErasing(factor, fill_value=0), np.ones((2000, 8, 8, 1), np.uint8))
    erased = (out == 0).any((1, 2, 3)).mean()
    assert abs(erased - share) <= 4 * math.sqrt(share * (1 - share) / 2000)


@both
@pytest.mark.parametrize(("dtype", "limits"), [("uint8", (0, 255)), ("float32", (-1.0, 3.0)), ("uint8", (20, 30))])
def test_erasing_leaves_noise_that_is_equally_probable_in_the_range(dtype, limits, engine):
    x = np.full((300, 12, 12, 3), 254, dtype)
    layer = layers.RandomErasing(1.0, (0.3, 0.4), value_range=limits)
    out = trained(layer, x, engine=engine)
    noise = out[out != 254]
    assert out.dtype == dtype and noise.min() >= limits[0] and noise.max() <= limits[1]
    low, high = limits if dtype == "float32" else (limits[0] - 0.5, limits[1] + 0.5)
    smooth = noise if dtype == "float32" else noise + np.random.default_rng(0).uniform(-0.5, 0.5, noise.shape)
    assert ks_distance(smooth, lambda s: (s - low) / (high - low)) < 0.02
    alike = (out[0] == out[1:]) & (out[0] != 254)  # the noise of one image is not that of another
    assert alike.sum() < 0.2 * (out[1:] != 254).sum()


def test_erasing_fills_channels_with_numbers_of_their_own():
    out = trained(layers.RandomErasing(1.0, fill_value=[1, 2, 3]), np.full((5, H, W, 3), 9, np.uint8))
    erased = (out != 9).any(-1)
    assert erased.any() and (out[erased] == [1, 2, 3]).all()
    with pytest.raises(ArgumentError, match="each channel"):
        layers.RandomErasing(fill_value=[1, 2])(mr.Input((H, W, 3)))


# ---- draws that mixing needs


def beta_cdf(alpha):
    """The distribution function of the symmetric beta by the trapezoidal rule, below 1 over u = x^alpha."""
    power = min(alpha, 1.0)
    u = np.linspace(0, 0.5**power, 200_001)
    x = u ** (1 / power)
    inner = x ** (alpha - power) * (1 - x) ** (alpha - 1)
    area = np.concatenate([[0], np.cumsum((inner[1:] + inner[:-1]) / 2 * np.diff(u))])
    half = area / area[-1] / 2

    def cdf(x):
        below = np.interp(np.minimum(x, 1 - x) ** power, u, half)
        return np.where(x <= 0.5, below, 1 - below)

    return cdf


def test_the_oracle_of_the_beta_distribution_knows_what_is_known():
    x = np.linspace(0, 1, 101)
    np.testing.assert_allclose(beta_cdf(1.0)(x), x, atol=1e-9)
    np.testing.assert_allclose(beta_cdf(2.0)(x), 3 * x**2 - 2 * x**3, atol=1e-9)
    np.testing.assert_allclose(beta_cdf(0.5)(x), 2 / math.pi * np.arcsin(np.sqrt(x)), atol=1e-7)


@both
@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 2.0, 30.0])
def test_the_beta_distribution(alpha, engine):
    n = 50_000
    run = mr.function([], mr.random_beta(mr.random_state(11), alpha, (n,), "beta"), engine=engine)
    drawn = np.asarray(run())
    assert np.isfinite(drawn).all() and drawn.min() >= 0 and drawn.max() <= 1
    places = np.concatenate([np.geomspace(1e-6, 0.5, 500), 1 - np.geomspace(0.5, 1e-6, 500)])  # float32 ends at 6e-8
    share_below = np.searchsorted(np.sort(drawn), places, side="right") / n
    assert np.abs(share_below - beta_cdf(alpha)(places)).max() < almost_surely(n)
    assert drawn.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)
    with pytest.raises(ArgumentError, match="above 0"):
        mr.random_beta(mr.random_state(0), 0.0, (3,), "beta")


@both
def test_partners_are_others_that_count_and_each_is_the_partner_of_one(engine):
    weights = np.float32([1, 0, 1, 1, 2, 0, 1])
    given = mr.Input((), name="w")
    state = mr.Input((), dtype="uint32", batch_size=2)
    run = mr.function([given, state], mr.random_partner(given, state), engine=engine)
    seen = set()
    for count in range(60):
        partner = np.asarray(run(weights, mr.random_state(1, count)))
        real = np.flatnonzero(weights)
        assert set(partner[real]) == set(real) and (partner[real] != real).all()
        assert partner[1] == 1 and partner[5] == 5
        seen.add(int(partner[0]))
    assert seen == {2, 3, 4, 6}
    for few in ([0, 0, 1, 0], [0, 0, 0], [1]):
        assert run(np.float32(few), mr.random_state(1)).tolist() == list(range(len(few)))


@both
def test_whole_numbers_below_a_bound(engine):
    state = mr.random_state(2)
    one = np.asarray(mr.function([], mr.random_integers(state, (7000,), "n", 7), engine=engine)())
    assert one.dtype == np.int32 and set(one) == set(range(7))
    assert ((np.bincount(one) - 1000) ** 2 / 1000).sum() < 27.9  # chi-squared with 6 degrees, 1 in 10,000
    bounds = np.int32([1, 2, 1000] * 500)
    each = np.asarray(mr.function([], mr.random_integers(state, (1500,), "n", bounds), engine=engine)())
    assert (each < bounds).all() and (each >= 0).all() and each.max() > 990
    words = mr.evaluate(mr.random_bits(state, (7000,), "n"))
    assert one.tolist() == [int(word) * 7 >> 32 for word in words]


# ---- what a user may write


def test_a_front_of_such_layers_trains_on_bytes_with_a_short_last_batch():
    x, y = bytes_of(11, 12, 12, 3), np.arange(11) % 2
    model = mr.Sequential(
        [
            mr.Input((12, 12, 3), dtype="uint8"), layers.RandomCrop(10, 10), layers.RandomFlip("horizontal"),
            layers.RandomErasing(0.5), layers.MeanSubtraction(x.mean((0, 1, 2))), layers.PCAColor([1, 1, 1], np.eye(3)),
            layers.Rescaling(1 / 64), layers.MixUp(), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2, "softmax"),
        ]
    )  # fmt: skip
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    history = model.fit(x, y, 4, 2, validation_data=(x, y), verbose=0)
    assert np.isfinite(history.batch_losses).all() and len(history.batch_losses) == 6
    assert model.predict(x).shape == (11, 2)


def test_the_steps_of_both_engines_agree():
    x, y = bytes_of(10, 8, 8, 3), np.arange(10) % 2
    losses = []
    for engine in ("numpy", "xla"):
        mr.set_seed(4)
        model = mr.Sequential(
            [
                mr.Input((8, 8, 3), dtype="uint8"), layers.RandomCrop(6, 6), layers.RandomFlip(), layers.Cutout(2),
                layers.RandomBrightness(0.2), layers.RandomContrast(0.2), layers.Rescaling(1 / 255), layers.MixUp(1.0),
                layers.Flatten(), layers.Dense(2, "softmax"),
            ]
        )  # fmt: skip
        model.compile("sgd", "sparse_categorical_crossentropy", engine=engine)
        losses.append(model.fit(x, y, 4, 2, verbose=0).batch_losses)
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-5)


def test_in_mixed_precision_bytes_stay_whole_and_colours_are_floats():
    mr.set_dtype_policy("mixed_bfloat16")
    try:
        x = mr.Input((H, W, 3), dtype="uint8")
        crop = layers.RandomCrop(4, 4)(x)
        mean = layers.MeanSubtraction([100.5, 120.25, 90.125])(crop)
        assert crop.dtype == "uint8" and mean.dtype == "float32"
        assert layers.Conv2D(2, 3)(layers.RandomFlip()(mean)).dtype == "bfloat16"
        (out,) = mr.function([x], Form([x], [mean]).for_use().outputs, engine="numpy")(bytes_of(2, H, W, 3))
        np.testing.assert_array_equal(out, bytes_of(2, H, W, 3)[:, 1:5, 2:6] - np.float32([100.5, 120.25, 90.125]))
    finally:
        mr.set_dtype_policy(None)


def test_random_functions_refuse_what_is_no_image():
    state = mr.random_state(0)
    with pytest.raises(ShapeError, match="random_crop takes images"):
        mr.random_crop(np.zeros((3, 4, 4)), 2, 2, state)
    with pytest.raises(DTypeError, match="random_flip takes images of numbers"):
        mr.random_flip(np.zeros((1, 2, 2, 1), bool), state)
    with pytest.raises(ArgumentError, match="axis 1"):
        mr.random_flip(np.zeros((1, 2, 2, 1)), state, axis=3)


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_windows_are_cut_alike_by_a_loop_and_by_positions(platform):
    from millrace.engines.low import Low  # JAX takes a second
    from millrace.ops.crops import Crop

    x, top, left = bytes_of(4, H, W, 3), np.int32([0, 3, -2, 9]), np.int32([4, 0, 9, -1])
    low = Low(platform)
    np.testing.assert_array_equal(
        Crop(4, 5).lower(low, low.jnp.asarray(x), top, left), Crop(4, 5).evaluate(x, top, left)
    )
