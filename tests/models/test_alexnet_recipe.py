"""AlexNet's way from photographs to its input, held to the paper's words by plain loops; and its settings."""

import itertools
import math

import numpy as np
import pytest
from PIL import Image

import millrace as mr
from millrace.data.datasets import Dataset
from millrace.data.image_folder import ImageFolder
from millrace.data.memory import ArraySource
from millrace.data.source import Source
from millrace.data.stats import PixelStats, pixel_stats, read_stats
from millrace.ir.errors import ArgumentError, FileError
from millrace.models import imagenet, recipe
from millrace.models.alexnets import MEAN, alexnet
from millrace.training.forms import Form

SIDE = 256


def pictures(count=6, side=5):
    """Pictures in colours that go together: uint8 [count, side, side, 3]."""
    rng = np.random.default_rng(3)
    light = rng.integers(0, 120, (count, side, side, 1))
    return (light + rng.integers(0, 60, (count, side, side, 3)) + [10, 40, 70]).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def stats():
    """Statistics of three photographs of full size."""
    return pixel_stats(ArraySource(pictures(3, SIDE)))


def of_training(layers, x, runs=1):
    """What layers give in so many training steps, and in use."""
    mr.set_seed(0)
    given = mr.Input(x.shape[1:], dtype=x.dtype.name)
    out = given
    for layer in layers:
        out = layer(out)
    updates = dict(update for layer in layers for update in layer.all_updates)
    step = mr.function([given], out, updates)
    used = mr.function([given], Form([given], [out]).for_use().outputs[0])
    return [np.asarray(step(x)) for _ in range(runs)], np.asarray(used(x))


# ---- colours


def by_hand(x):
    """Eigenvalues and eigenvectors of the covariance of RGB pixels from 0 to 1, all sums as plain loops."""
    pixels = [x[place] / 255 for place in itertools.product(*map(range, x.shape[:3]))]
    mean = [sum(pixel[c] for pixel in pixels) / len(pixels) for c in range(3)]
    covariance = [
        [sum((p[i] - mean[i]) * (p[j] - mean[j]) for p in pixels) / len(pixels) for j in range(3)] for i in range(3)
    ]
    return np.linalg.eigh(covariance)


def test_colours_shift_as_section_4_1_says_from_the_pictures_to_the_step():
    x = pictures()
    values, vectors = by_hand(x)
    (colour,) = imagenet.front(227, pixel_stats(ArraySource(x)))[4:]
    used = np.repeat(x, 100, axis=0)  # 600 uses a step
    steps, after = of_training([colour], used, 2)
    np.testing.assert_array_equal(after, used)
    drawn = []
    for step in steps:
        shift = step.astype(np.float64) - used
        flat = shift.reshape(len(used), -1, 3)
        assert np.abs(flat - flat[:, :1]).max() < 1e-4  # every pixel of a use by the same
        drawn.append([[flat[n, 0] @ vectors[:, k] / (255 * values[k]) for k in range(3)] for n in range(len(used))])
    a = np.array(drawn)[..., 1:].reshape(-1, 2)  # the first of these eigenvalues is too small to tell its draws
    assert len(np.unique(a[:, 1].round(6))) > 0.99 * len(a)  # a draw of its own for each use, in each step
    deviation = 0.1 / math.sqrt(2 * len(a))
    for k in range(2):
        assert abs(a[:, k].std() - 0.1) < 4 * deviation and abs(a[:, k].mean()) < 4 * 0.1 / math.sqrt(len(a))
    assert abs(np.corrcoef(a.T)[0, 1]) < 4 / math.sqrt(len(a))
    for n, c in itertools.product(range(40), range(3)):  # the paper's sum, term by term
        parts = [vectors[c, k] * drawn[0][n][k] * values[k] for k in range(3)]
        assert steps[0][n, 0, 0, c] == pytest.approx(used[n, 0, 0, c] + 255 * sum(parts), abs=1e-3)


def test_eigenvalues_that_published_ones_are_of_shift_as_published():
    """ImageNet's eigenvalues of pixels from 0 to 1, as Facebook's ResNet in Torch has them, shift by 5.5 of 255."""
    published = np.array([0.2175, 0.0188, 0.0045])
    image = np.zeros((SIDE, SIDE, 3))
    stats = PixelStats(1, np.zeros(3), np.ones(3), image, np.eye(3), published * 255**2, np.eye(3))
    (out,), _ = of_training(imagenet.front(227, stats)[4:], np.zeros((4000, 1, 1, 3), np.float32))
    np.testing.assert_allclose(out[:, 0, 0].std(axis=0), 0.1 * published * 255, rtol=0.05)


# ---- the front


def test_the_mean_of_each_pixel_is_cropped_with_it(stats):
    front = imagenet.front(227, stats)[1:]
    x = pictures(2, SIDE)
    (out,), used = of_training(front[:3], x)
    mean = pictures(3, SIDE).astype(np.float64).mean(0)
    less = x - mean
    np.testing.assert_allclose(used, less[:, 14:241, 14:241], atol=1e-4)
    for image, made in zip(less, out, strict=True):
        places = itertools.product(range(30), range(30), (1, -1))
        fits = [(r, c, d) for r, c, d in places if abs(image[r, c : c + 227][::d][0] - made[0, 0]).max() < 1e-3]
        wholly = [1 for r, c, d in fits if np.allclose(image[r : r + 227, c : c + 227][:, ::d], made, atol=1e-3)]
        assert len(wholly) == 1


@pytest.mark.parametrize(
    ("variant", "size"), [("paper", 227), ("one_gpu", 227), ("release", 224), ("torchvision", 224)]
)
def test_each_variant_gets_the_windows_that_it_takes(stats, variant, size):
    data = imagenet.Photographs("x", None, None, None, None, ("a", "b", "c"), "", stats=stats)
    model = imagenet.network(data, variant, 0.02)
    assert str(model.inputs[0].type) == "uint8[batch, 256, 256, 3]" and model.output.shape[1:] == (3,)
    assert model.get_layer("conv1").input.shape[1:] == (size, size, 3)
    assert [layer.name for layer in model.layers[:5]] == ["centred", "crop", "reflection", "colour", "conv1"]


def test_without_statistics_the_mean_colour_is_imagenets(stats):
    data = Dataset("x", None, None, None, None, ("a", "b"), "")
    model = imagenet.network(data, width=0.02)
    np.testing.assert_allclose(model.get_layer("centred").mean.numpy(), MEAN, rtol=1e-6)
    assert not any(layer.name == "colour" for layer in model.layers)
    assert imagenet.network(None, width=0.02).count_params() == alexnet(width=0.02).count_params()


@pytest.mark.parametrize(
    ("variant", "classes", "width", "bias", "deviation"),
    [
        ("paper", 1000, 1.0, 1.0, 0.01),
        ("paper", 99, 1.0, 0.1, 0.01),
        ("one_gpu", 100, 0.25, 1.0, 0.02),
        ("release", 10, 0.04, 0.1, 0.05),
        ("torchvision", 10, 0.25, 0.0, None),
    ],
)
def test_first_weights_suit_few_classes_and_narrow_layers(variant, classes, width, bias, deviation):
    how = imagenet.beginning(variant, classes, width)
    small = width if width < 1 else 0.02
    data = Dataset("x", None, None, None, None, tuple(map(str, range(classes))), "")
    conv2 = imagenet.network(data, variant, small).get_layer("conv2")
    np.testing.assert_array_equal(conv2.weights[1].numpy(), np.float32(bias))
    if deviation is None:
        assert how == {}
    elif width < 1:
        assert conv2.weights[0].numpy().std() == pytest.approx(deviation, rel=0.15)
    else:
        assert "kernel_initializer" not in how


def test_a_photograph_is_scaled_and_its_middle_taken(tmp_path):
    wide = np.zeros((512, 768, 3), np.uint8)
    wide[:, 128:640] = (200, 100, 50)  # the middle 512 x 512
    Image.fromarray(wide).save(tmp_path / "wide.png")
    made = imagenet.example(str(tmp_path / "wide.png"))
    assert made.shape == (256, 256, 3) and made.dtype == np.uint8
    assert (made[:, 2:-2] == (200, 100, 50)).all()
    (tmp_path / "no.png").write_text("no")
    with pytest.raises(FileError, match=r"no\.png cannot be read as a picture"):
        imagenet.example(str(tmp_path / "no.png"))
    with pytest.raises(FileError, match="does not exist"):
        imagenet.example(str(tmp_path / "none.png"))


# ---- what is computed once


class Unreadable(Source):
    """Pictures that nobody may look at."""

    name, count, elements = "unreadable", 3, ArraySource(pictures(3, SIDE)).elements

    def take(self, numbers):
        raise AssertionError("the statistics were there already")


def test_statistics_are_computed_once_and_kept(tmp_path):
    for n, picture in enumerate(pictures(3, SIDE)):
        Image.fromarray(picture).save(tmp_path / f"{n}.png")
    data = Dataset("x", ImageFolder(tmp_path), None, None, None, ("a",), "source")
    told = []
    made = imagenet.prepared(data, tmp_path / "run", lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3) and (made.name, made.x_train, made.source) == ("x", data.x_train, "source")
    np.testing.assert_allclose(made.stats.mean_image, pictures(3, SIDE).mean(0, dtype=float))
    again = imagenet.prepared(Dataset("x", Unreadable(), None, None, None, ("a",), ""), tmp_path / "run", print)
    for name, array in made.stats.arrays().items():
        np.testing.assert_array_equal(again.stats.arrays()[name], array)


def test_statistics_that_are_given_are_taken_over(tmp_path, stats):
    (tmp_path / "given.npz").write_bytes(stats.content())
    data = Dataset("x", Unreadable(), None, None, None, ("a",), "")
    made = imagenet.prepared(data, tmp_path / "run", print, tmp_path / "given.npz")
    np.testing.assert_array_equal(made.stats.eigenvalues, stats.eigenvalues)
    (tmp_path / "given.npz").unlink()
    imagenet.prepared(data, tmp_path / "run", print, tmp_path / "given.npz")  # the run has its own


def test_a_file_of_statistics_is_read_back_or_refused(tmp_path, stats):
    path = tmp_path / "stats.npz"
    path.write_bytes(stats.content())
    for name, array in read_stats(path).arrays().items():
        np.testing.assert_array_equal(array, stats.arrays()[name])
    path.write_bytes(pixel_stats(ArraySource(pictures())).content())
    with pytest.raises(ArgumentError, match=r"pictures 5 x 5 x 3, alexnet takes 256 x 256 x 3.*--size 256"):
        imagenet.usable_stats(path)
    whole = stats.arrays()
    bad = {
        "damaged": stats.content()[:-200],
        "no archive": b"nothing",
        "another archive": {"x": np.zeros(3)},
        "shapes": whole | {"eigenvalues": np.zeros(2)},
        "numbers": whole | {"mean": np.array([1, np.nan, 1])},
        "objects": whole | {"mean": np.array([1, "a", None], object)},
    }
    for content in bad.values():
        if isinstance(content, dict):
            np.savez(path, **content)
        else:
            path.write_bytes(content)
        with pytest.raises(FileError, match="holds no statistics of pictures"):
            read_stats(path)
    with pytest.raises(FileError, match="does not exist"):
        read_stats(tmp_path / "none.npz")


# ---- the recipe


def test_the_recipe_trains_as_section_5_says():
    chosen = recipe("alexnet")
    assert (chosen.epochs, chosen.batch_size, chosen.learning_rate) == (90, 128, 0.01)
    made = chosen.optimizer(0.01).get_config()
    assert "0.9" in str(made) and "0.0005" in str(made)
    assert chosen.metrics == ("accuracy", "sparse_top_k_categorical_accuracy")


@pytest.mark.parametrize(("steps", "patience"), [(10_009, 5), (400, 5), (399, 6), (74, 28), (1, 2000)])
def test_the_learning_rate_waits_for_five_epochs_or_two_thousand_steps(steps, patience):
    model = alexnet(width=0.02, classes=2)
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"], engine="numpy")
    (rule,) = recipe("alexnet").callbacks()
    rule.model = model
    rule.on_train_begin({"steps": steps, "initial_epoch": 0, "initial_step": 0})
    assert rule.patience == patience
    for epoch in range(4 * patience + 1):  # a plateau from the first epoch on
        assert not model.stop_training
        reductions = max(0, epoch - 1) // patience  # the first epoch is the best one
        assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.01 * 0.1**reductions, rel=1e-4)
        rule.on_epoch_end(epoch, {"val_accuracy": 0.5})
    assert model.stop_training and float(model.optimizer.learning_rate.numpy()) == pytest.approx(1e-5, rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"variant": "papr"}, "unknown --variant 'papr'. Did you mean 'paper'?"),
        ({"width": 0.0}, "--width"),
        ({"width": -1.0}, "--width"),
        ({"stats": "/nowhere/stats.npz"}, "does not exist"),
        ({"depth": 3}, "takes no --depth: it takes --data, --variant, --width, --stats"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_done(settings, said):
    with pytest.raises((ArgumentError, FileError)) as caught:
        recipe("alexnet").configured(settings)
    assert said in str(caught.value)


def test_other_recipes_take_none_of_it():
    with pytest.raises(ArgumentError, match="digits takes no --data"):
        recipe("digits").configured({"data": "x", "variant": None})
    assert recipe("digits").configured({"data": None}) is recipe("digits")
