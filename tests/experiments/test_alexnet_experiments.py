"""The experiments on AlexNet at toy scale, on pictures made up in the layout of Imagenette: a colour for each class."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import millrace as mr
from millrace.cli.experiment import run_experiment
from millrace.data.datasets import IMAGENETTE_CLASSES
from millrace.data.decode import decode_image
from millrace.experiments import EXPERIMENTS, Scale, arms, augmentation, kernels, neighbours
from millrace.experiments.arms import Curve
from millrace.experiments.experiment import Setting
from millrace.experiments.imagenette_pictures import imagenette_parts, imagenette_photographs, side_for
from millrace.experiments.kernel_sheet import kernel_sheet
from millrace.experiments.neighbour_sheet import APART, CELL, GAP, MARGIN
from millrace.experiments.small_alexnet import colours, front
from millrace.ir.errors import ArgumentError, DataError
from millrace.models.alexnets import alexnet
from millrace.training.run import Run

TINY = Scale(images=40, validation=20, epochs=1, width=4, batch_size=10, size=67)
RNG = np.random.default_rng(0)
HUES = RNG.integers(40, 216, (10, 3))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of data sets with six pictures of each class to train on, and three held out."""
    root = tmp_path_factory.mktemp("data")
    for part, count in (("train", 6), ("val", 3)):
        for label, wnid in enumerate(IMAGENETTE_CLASSES):
            folder = root / "imagenette" / part / wnid
            folder.mkdir(parents=True)
            for n in range(count):
                pixels = (HUES[label] + RNG.normal(0, 12, (80, 90, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{n}.png")
    return root


@pytest.fixture(autouse=True)
def data(pictures, monkeypatch):
    monkeypatch.setenv("MILLRACE_DATA", str(pictures))


def setting(tmp_path, said=None, seeds=(0,), **changes):
    told = (lambda line: None) if said is None else said.append
    return Setting(True, seeds, tmp_path, told, replace(TINY, **changes))


# ---- the photographs


def test_photographs_are_decoded_in_their_order(pictures):
    found = imagenette_photographs(TINY)
    train, _ = imagenette_parts(TINY)
    assert found.side == side_for(67) == 76 and side_for(227) == 256
    assert found.data.x_train.shape == (40, 76, 76, 3) and found.data.x_validation.shape == (20, 76, 76, 3)
    assert (
        np.bincount(found.data.y_train).tolist() == [4] * 10
        and np.bincount(found.data.y_validation).tolist() == [2] * 10
    )
    for place in (0, 17, 39):
        file = pictures / "imagenette" / "train" / train.source.record(int(train.numbers[place]))
        assert (found.data.x_train[place] == decode_image(file.read_bytes(), 76, 76)).all()
        assert file.parent.name == list(IMAGENETTE_CLASSES)[found.data.y_train[place]]
    assert found.stats.mean == pytest.approx(found.data.x_train.mean((0, 1, 2)))


def test_more_than_there_are():
    with pytest.raises(DataError, match="imagenette/train: pictures to train on: 70 are asked for, there are 60"):
        imagenette_photographs(replace(TINY, images=70))


def test_a_damaged_picture_is_named(pictures):
    _, held = imagenette_parts(TINY)
    file = pictures / "imagenette" / "val" / held.source.record(int(held.numbers[7]))
    content = file.read_bytes()
    file.write_bytes(content[:100])
    try:
        with pytest.raises(
            DataError, match=rf"{file.parent.name}/{file.name} of imagenette/val cannot be used: .*Remove it"
        ):
            held.pixels(76)
    finally:
        file.write_bytes(content)


# ---- in what the networks differ


def names(model):
    return [layer.name for layer in model.layers]


def test_what_a_network_sees_of_the_middle_alone():
    photographs = imagenette_photographs(TINY)
    given, *layers = front(photographs, moved=False)
    out = given
    for layer in layers:
        out = layer(out)
    x = photographs.data.x_train[:2]
    expected = (x[:, 4:71, 4:71].astype(float) - photographs.stats.mean) / photographs.stats.std.mean()
    assert np.asarray(mr.function([given], out)(x)) == pytest.approx(expected, abs=1e-5)


def test_colours_are_those_of_pixels_from_0_to_1():
    photographs = imagenette_photographs(TINY)
    pixels = photographs.data.x_train.reshape(-1, 3) / 255
    values, vectors = np.linalg.eigh(np.cov(pixels, rowvar=False, bias=True))
    found, axes = colours(photographs)
    assert found == pytest.approx(255 * values[::-1])
    assert np.abs(axes) == pytest.approx(np.abs(vectors[:, ::-1]), abs=1e-6)


def test_the_kernels_network_has_the_papers_first_layer():
    photographs = imagenette_photographs(TINY)
    model, paper = kernels.network(photographs, 12), alexnet(classes=10)
    first, papers = model.get_layer("conv1"), paper.get_layer("conv1")
    assert first.kernel.shape == papers.kernel.shape == (11, 11, 3, 96)
    assert first.strides == papers.strides and first.padding == papers.padding
    assert names(model)[-len(names(paper)) :] == names(paper)
    assert model.get_layer("conv2").kernel.shape == (5, 5, 48, 32)  # each tower sees its own half of conv1


# ---- arms that are told apart, without training them


@pytest.fixture
def untrained(monkeypatch):
    """Networks that would be trained, by the names of their arms; each ends 1 point above the one before, from 20%."""
    kept = {}

    def compare(made, data, seeds, epochs, batch_size, watch, **how):
        kept.update({arm.name: arm.build() for arm in made})
        return {
            arm.name: [Curve(arm.name, seed, ends(0.2 + n / 100 + 1e-4 * seed, **how)) for seed in seeds]
            for n, arm in enumerate(made)
        }

    def ends(error, over_all=False):
        return {"val_error": [error], **({"train_error": [error / 2]} if over_all else {})}

    monkeypatch.setattr(arms, "compare", compare)
    return kept


def kernel_shapes(model):
    return {name: model.get_layer(name).kernel.shape for name in names(model) if name.startswith(("conv", "fc"))}


def test_two_towers(tmp_path, untrained):
    built = untrained
    found = EXPERIMENTS["two-towers"].run(setting(tmp_path, seeds=(0, 1, 2), width=24))
    one, two = built["one tower"], built["two towers"]
    convolutions = [f"conv{n}" for n in range(1, 6)]
    assert [kernel_shapes(two)[name][-1] for name in convolutions] == [24, 64, 96, 96, 64]
    assert [kernel_shapes(one)[name][-1] for name in convolutions] == [12, 32, 48, 48, 64]
    assert [two.get_layer(name).groups for name in convolutions] == [1, 2, 1, 2, 2]
    assert [one.get_layer(name).groups for name in convolutions] == [1] * 5
    assert [row[:2] for row in found.rows] == [["one tower", "-"], ["two towers", "1.7 points lower"]]
    assert "two towers: the validation error is 1.0 points higher than with one tower" in found.verdict
    assert "the paper says lower" in found.verdict and (tmp_path / "two-towers.svg").is_file()


@pytest.mark.parametrize(("quick", "removed"), [(True, 3), (False, 5)])
def test_depth(tmp_path, untrained, quick, removed):
    built = untrained
    found = EXPERIMENTS["depth"].run(replace(setting(tmp_path, seeds=(0, 1, 2)), quick=quick))
    whole = kernel_shapes(built["all layers"])
    middle = ["conv3", "conv4", "conv5", "fc6", "fc7"][:removed]
    assert [row[0] for row in found.rows] == ["all layers", *(f"without {name}" for name in middle)]
    for name in middle:
        assert list(kernel_shapes(built[f"without {name}"])) == [one for one in whole if one != name]
    assert found.verdict.count("higher than with all layers") == found.verdict.count("as the paper says") == removed


def test_pca_colour(tmp_path, untrained):
    built = untrained
    found = EXPERIMENTS["pca-colour"].run(setting(tmp_path, seeds=(0, 1, 2)))
    plain, changed = names(built["plain colours"]), names(built["changed colours"])
    assert [name for name in changed if name not in plain] == ["colour"] and "reflection" in plain
    assert "changed colours: the validation error is 1.0 points higher than with plain colours" in found.verdict


def test_augmentation(tmp_path, untrained):
    built = untrained
    found = EXPERIMENTS["augmentation"].run(setting(tmp_path, seeds=(0, 1, 2)))
    still, moved = (names(built[name]) for name in (augmentation.WITHOUT, augmentation.WITH))
    assert [name for name in moved if name not in still] == ["reflection"] and "crop" in still
    assert [row[0] for row in found.rows] == ["the middle alone", "crops and reflections"]
    assert (tmp_path / "augmentation.svg").is_file()


# ---- toy runs


def test_kernels(tmp_path):
    found = EXPERIMENTS["kernels"].run(setting(tmp_path))
    assert [row[0] for row in found.rows] == ["seed 0, upper half", "seed 0, lower half"]
    json.dumps(found.numbers)
    (picture,) = found.figures
    assert Image.open(picture).size == kernel_sheet(np.ones((11, 11, 3, 96))).shape[1::-1]
    shares = found.numbers["colourfulness"]["seed 0"]
    assert all(len(share) == 48 and 0 <= min(share) <= max(share) <= 1 for share in shares.values())
    assert "Seed 0: the" in found.verdict


def test_neighbours_of_pictures_that_are_one_colour_each(tmp_path):
    found = EXPERIMENTS["neighbours"].run(setting(tmp_path))
    assert [row[0] for row in found.rows] == ["activations of fc7", "pixels", "chance"]
    assert found.numbers["share of the same class by chance"] == pytest.approx(0.1)
    # four of a colour are to be trained on, and the six nearest by pixels begin with those
    assert found.numbers["share of the same class by pixels"] == pytest.approx(4 / 6, abs=0.1)
    assert 0 <= found.numbers["share of the same class by fc7"][0] <= 1
    width, height = Image.open(found.figures[0]).size
    assert width > 7 * 96 and height > 5 * 96


# ---- a run's network


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of AlexNet on photographs of 76 pixels, as it was before its first step."""
    run = Run.new(tmp_path_factory.mktemp("runs"), "alexnet")
    run.write_config({"model": "alexnet", "engine": "xla", "seed": 0, "epochs": 1, "batch_size": 8})
    start = [mr.Input((76, 76, 3), dtype="uint8"), mr.layers.RandomCrop(67, 67), mr.layers.Rescaling(1 / 255)]
    mr.set_seed(1)
    model = alexnet(classes=10, width=0.05, kernel_initializer="he_normal", front=start)
    model.save(run.weights if run.checkpoints.files else run.path / "weights.safetensors")
    return run, model


def test_kernels_of_a_run(tmp_path, run):
    given, model = run
    said = []
    found = EXPERIMENTS["kernels"].run(replace(setting(tmp_path, said), trained=given.path))
    assert (np.asarray(Image.open(found.figures[0])) == kernel_sheet(model.get_layer("conv1").kernel.numpy())).all()
    assert found.verdict.startswith("The run: ") and str(given.path) in said[0]


def test_kernels_of_one_tower(tmp_path):
    one = Run.new(tmp_path, "alexnet")
    one.write_config({"model": "alexnet", "engine": "xla", "seed": 0, "epochs": 1, "batch_size": 8})
    alexnet("one_gpu", 10, width=0.1, size=67).save(one.path / "weights.safetensors")
    found = EXPERIMENTS["kernels"].run(replace(setting(tmp_path), trained=one.path))
    assert "one tower" in found.verdict and "specialised" not in found.verdict


def test_neighbours_of_a_run(tmp_path, run):
    given, model = run
    found = EXPERIMENTS["neighbours"].run(replace(setting(tmp_path), trained=given.path))
    train, held = imagenette_parts(TINY)
    cut = mr.Model(model.inputs, model.get_layer("fc7").output)
    queries, known = (cut.predict(part.pixels(76)) for part in (held, train))
    expected = [
        np.mean(train.labels[np.argsort(((known - query) ** 2).sum(1), kind="stable")[:6]] == label)
        for query, label in zip(queries, held.labels, strict=True)
    ]
    assert found.numbers["share of the same class by fc7"] == [pytest.approx(np.mean(expected))]


def test_a_run_of_another_network(tmp_path):
    other = Run.new(tmp_path, "mlp")
    other.write_config({"model": "mlp", "engine": "xla", "seed": 0, "epochs": 1, "batch_size": 8})
    mr.Sequential([mr.Input((8,)), mr.layers.Dense(2, name="fc7")]).save(other.path / "weights.safetensors")
    with pytest.raises(ArgumentError, match="has no layer conv1, only fc7: give a run of `millrace train alexnet`"):
        EXPERIMENTS["kernels"].run(replace(setting(tmp_path), trained=other.path))
    with pytest.raises(ArgumentError, match=r"takes float32\[batch, 8\], but photographs are uint8"):
        EXPERIMENTS["neighbours"].run(replace(setting(tmp_path), trained=other.path))


def test_the_command_looks_at_a_run(tmp_path, run, capsys):
    run_experiment("kernels", False, None, tmp_path, run[0].path)
    printed = "".join(capsys.readouterr().out.split())  # a long path may be broken anywhere
    assert f"looksatthenetworkof{run[0].path}" in printed
    kept = json.loads((tmp_path / "kernels" / "numbers.json").read_text())
    assert kept["figures"] == ["kernels.png"] and (tmp_path / "kernels" / "kernels.png").is_file()


@pytest.mark.parametrize(
    ("name", "seeds", "says"),
    [
        ("depth", None, "--run gives the trained network that kernels, neighbours look at; depth trains its own"),
        ("kernels", 3, "kernels trains none then: leave --seeds out"),
    ],
)
def test_a_run_where_none_is_wanted(tmp_path, run, name, seeds, says):
    with pytest.raises(ArgumentError, match=says):
        run_experiment(name, False, seeds, tmp_path, run[0].path)


# ---- what is said of curves


def curves(arm, trained, held):
    """One curve a seed that ends at these errors."""
    return [
        Curve(arm, seed, {"train_error": [0.9, *[a] * 3], "val_error": [0.9, *[b] * 3]})
        for seed, (a, b) in enumerate(zip(trained, held, strict=True))
    ]


def test_augmentation_of_curves_by_hand(tmp_path):
    with_, without = augmentation.WITH, augmentation.WITHOUT
    found = augmentation.outcome(
        setting(tmp_path, seeds=(0, 1, 2)),
        {
            without: curves(without, [0.01, 0.02, 0.03], [0.50, 0.51, 0.52]),
            with_: curves(with_, [0.38, 0.40, 0.39], [0.48, 0.52, 0.50]),
        },
    )
    assert found.rows[0][2:] == ["2.0 ± 1.0%", "51.0 ± 1.0%", "49.0 ± 0.0"]
    assert found.rows[1][2:] == ["39.0 ± 1.0%", "50.0 ± 2.0%", "11.0 ± 1.0"]
    # gaps 10, 12, 11 against 49 each: -38 with a deviation of 1, and 4.303 / sqrt(3) times that to each side
    assert "the gap from training to validation error is 38.0 points lower" in found.verdict
    assert "-38.0 ± 2.5" in found.verdict and "as the paper says" in found.verdict
    assert "within the spread over the seeds" in found.verdict  # the errors: -2, +1, -2


def test_the_sheet_shows_the_first_of_every_second_class_and_what_is_near_it():
    train, held = imagenette_parts(TINY)
    near = np.arange(20 * 6).reshape(20, 6) % 40
    picture = neighbours.sheet(train, held, near)
    shown = [int(np.argmax(held.labels == label)) for label in (0, 2, 4, 6, 8)]
    tops = [first_row(picture, held.some([query]).pixels(CELL)[0], MARGIN) for query in shown]
    assert tops == sorted(tops)
    for query, top in zip(shown, tops, strict=True):
        for place, pixels in enumerate(train.some(near[query]).pixels(CELL)):
            assert first_row(picture, pixels, MARGIN + CELL + APART + place * (CELL + GAP)) == top


def first_row(picture, pixels, left):
    """In which row of a picture another one begins, whose left edge is known."""
    column = picture[:, left : left + CELL]
    (top,) = [n for n in range(len(column) - CELL) if (column[n : n + CELL] == pixels).all()]
    return top
