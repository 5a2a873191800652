"""`millrace train alexnet` on pictures kept as ImageNet keeps them: a run, going on with it, and what it refuses."""

import contextlib
import io
import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import millrace as mr
from millrace.cli.main import main
from millrace.data.image_folder import ImageFolder
from millrace.data.stats import pixel_stats, read_stats
from millrace.models import ten_crops
from millrace.training.run import Run

COLOURS = {"n01440764": (200, 30, 30), "n02102040": (30, 200, 30), "n03000684": (30, 30, 200)}
NAMES = {"n01440764": "tench, Tinca tinca", "n02102040": "English springer", "n03000684": "chain saw, chainsaw"}
SMALL = ("--width", 0.02, "--batch-size", 12, "--seed", 3)


def photograph(path, colour, rng):
    """A JPEG of some size in about one colour."""
    height, width = rng.integers(40, 90, 2)
    pixels = np.array(colour) + rng.integers(-30, 31, (height, width, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def command(*arguments):
    """What the command printed, in this process; it must end well."""
    out, code = io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main(list(map(str, arguments)))
        except SystemExit as end:
            code = end.code
    lines = [line for line in out.getvalue().splitlines() if "/" not in line]  # paths are never broken up
    assert not code and max(map(len, lines), default=0) <= 80, out.getvalue()
    return out.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a small ImageNet, one of its files damaged, and a run of one epoch on it."""
    place = tmp_path_factory.mktemp("imagenet")
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 4)):
        for label, colour in COLOURS.items():
            for n in range(count):
                photograph(place / "imagenet" / part / label / f"{label}_{n}.JPEG", colour, rng)
    damaged = place / "imagenet" / "train" / "n01440764" / "n01440764_0.JPEG"
    damaged.write_bytes(damaged.read_bytes()[:-300])
    text = "".join(f"{label} {name}\n" for label, name in NAMES.items())
    (place / "imagenet" / "LOC_synset_mapping.txt").write_text(text)
    before, columns = os.getcwd(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "80"
    os.chdir(place)
    try:
        (place / "printed.txt").write_text(command("train", "alexnet", "--data", "imagenet", "--epochs", 1, *SMALL))
        yield place
    finally:
        os.chdir(before)
        os.environ.pop("COLUMNS") if columns is None else os.environ.update(COLUMNS=columns)


@pytest.fixture
def run(place):
    return place / "runs" / "alexnet-1"


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run to go on with."""
    return shutil.copytree(run, tmp_path / "copy")


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_it_trains_and_is_tested_on_the_middle_and_on_ten_crops(place, run):
    printed = (place / "printed.txt").read_text()
    assert re.search(r"^Training AlexNet on imagenet\.$", printed, re.M)
    assert "24 images to learn from, 12 held out." in printed
    assert "left out: n01440764/n01440764_0.JPEG: the picture is cut short" in printed
    held = ImageFolder(place / "imagenet" / "val")
    model = mr.load_model(Run(run).weights)
    assert str(model.inputs[0].type) == "uint8[batch, 256, 256, 3]" and model.output.shape[1:] == (3,)
    for words, one in (("the middle of each", model), ("ten crops, averaged", ten_crops(model))):
        found = one.evaluate(held, batch_size=12)
        shown = re.search(rf"^{words} +([\d.]+)% +([\d.]+)%$", printed, re.M).groups()
        assert float(shown[0]) == pytest.approx(100 * found["accuracy"], abs=0.01)
        assert float(shown[1]) == pytest.approx(100 * found["sparse_top_k_categorical_accuracy"], abs=0.01) == 100
    assert "ten crops, averaged" in (run / "report.html").read_text()


def test_the_run_says_what_it_was_made_of(place, run):
    config = json.loads((run / "config.json").read_text())
    expected = {"model": "alexnet", "variant": "paper", "width": 0.02, "stats": None, "epochs": 1, "batch_size": 12}
    assert expected.items() <= config.items() and config["data"] == str(place / "imagenet")
    assert json.loads((run / "words.json").read_text())["classes"] == ["tench", "English springer", "chain saw"]
    assert {"val_accuracy", "val_sparse_top_k_categorical_accuracy", "learning_rate"} <= set(metrics(run)[0])
    computed = pixel_stats(ImageFolder(place / "imagenet" / "train"), 256)
    kept = read_stats(run / "stats.npz")
    assert kept.count == computed.count == 23
    model = mr.load_model(Run(run).weights)
    np.testing.assert_allclose(model.get_layer("centred").mean.numpy(), computed.mean_image, rtol=1e-6)
    np.testing.assert_allclose(model.get_layer("colour").eigenvalues, computed.eigenvalues / 255, rtol=1e-6)


def test_photographs_are_told_apart_by_name(place, run):
    files = [f"imagenet/val/{label}/{label}_0.JPEG" for label in COLOURS]
    printed = command("predict", run, *files)
    assert len(re.findall(r"│ +(?:tench|English springer|chain saw) │ +\d+\.\d% │", printed)) == 3


def test_a_run_goes_on_where_its_data_are_now_and_packed(place, copy, tmp_path):
    for part in ("train", "val"):
        command("data", "pack", place / "imagenet" / part, tmp_path / "packed" / part)
    with pytest.warns(UserWarning, match="made with 24 records"):  # packing has left the damaged one out
        printed = command("train", "--resume", copy, "--epochs", 2, "--data", tmp_path / "packed")
    assert f"Going on with {copy} at epoch 2" in " ".join(printed.split("\n"))
    assert "measuring" not in printed
    config = json.loads((copy / "config.json").read_text())
    assert config["data"] == str(tmp_path / "packed") and config["variant"] == "paper" and config["width"] == 0.02
    assert [line["epoch"] for line in metrics(copy)] == [1, 2]
    assert (copy / "stats.npz").read_bytes() == (place / "runs" / "alexnet-1" / "stats.npz").read_bytes()


def test_statistics_and_a_variant_are_taken_from_the_command(place, tmp_path, millrace):
    command("data", "stats", "imagenet/train", "--size", 256, "--out", tmp_path / "stats.npz")
    command(
        "train", "alexnet", "--data", "imagenet", "--variant", "one_gpu", "--stats", tmp_path / "stats.npz",
        "--epochs", 1, "--out", tmp_path, "--engine", "numpy", *SMALL,
    )  # fmt: skip
    run = tmp_path / "alexnet-1"
    config = json.loads((run / "config.json").read_text())
    assert config["variant"] == "one_gpu" and config["stats"] == str(tmp_path / "stats.npz")
    assert mr.load_model(Run(run).weights).get_layer("conv2").groups == 1
    (tmp_path / "stats.npz").unlink()  # the run has its own
    _, err, code = millrace("train", "--resume", run)
    assert code == 2 and "has finished its 1 epochs" in err


def test_who_stops_the_measuring_is_told_how_to_begin_again(place, tmp_path, millrace, monkeypatch):
    from millrace.models import imagenet

    def stopped(source, size, report):
        report(5, source.count)
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "imagenet", "pictures")
    arguments = ("--data", "pictures", "--epochs", 1, "--engine", "numpy", *SMALL)
    with monkeypatch.context() as patched:
        patched.setattr(imagenet, "pixel_stats", stopped)
        _, err, code = millrace("train", "alexnet", *arguments)
    run = tmp_path / "runs" / "alexnet-1"
    assert code == 130 and "stopped after 5 of 24 images were measured" in err
    assert "millrace train --resume runs/alexnet-1" in err and not (run / "stats.npz").exists()
    assert Run(run).state.name == "stopped"
    printed = command("train", "--resume", run)
    assert "starts from the first step" in " ".join(printed.split()) and (run / "stats.npz").is_file()


REFUSED = [
    (("alexnet", "--data", "nowhere"), "nowhere does not exist: expected a folder with train and val"),
    (("alexnet", "--data", "imagenet/train"), "lacks the folder train (it holds n01440764"),
    (("alexnet", "--data", "flat"), "millrace data sort-val"),
    (("alexnet", "--data", "foreign"), "classes that train lacks (n09999999)"),
    (("alexnet", "--data", "imagenet", "--variant", "vgg"), "unknown --variant 'vgg'"),
    (("alexnet", "--data", "imagenet", "--width", "0"), "--width"),
    (("alexnet", "--data", "imagenet", "--stats", "small.npz"), "pictures 8 x 8 x 3, alexnet takes 256 x 256 x 3"),
    (("alexnet", "--data", "imagenet", "--stats", "runs"), "holds no statistics of pictures"),
    (("digits", "--data", "imagenet"), "digits takes no --data"),
    (("lenet", "--variant", "paper"), "lenet takes no --variant"),
    (("--resume", "runs/alexnet-1", "--variant", "release"), "goes on as it began"),
    (("--resume", "runs/alexnet-1", "--stats", "small.npz"), "goes on as it began"),
    (("--resume", "runs/alexnet-1", "--data", "nowhere", "--epochs", "2"), "nowhere does not exist"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED, ids=lambda x: " ".join(x) if isinstance(x, tuple) else "")
def test_what_does_not_fit_is_refused_and_no_run_is_made(place, millrace, arguments, said):
    if not (place / "flat").exists():
        for name in ("flat", "foreign"):
            shutil.copytree(place / "imagenet", place / name)
        for n, file in enumerate((place / "flat" / "val").rglob("*.JPEG")):
            file.rename(place / "flat" / "val" / f"ILSVRC2012_val_{n:08}.JPEG")
        (place / "foreign" / "val" / "n03000684").rename(place / "foreign" / "val" / "n09999999")
        command("data", "stats", "imagenet/train", "--size", 8, "--out", "small.npz")
    _, err, code = millrace("train", *arguments)
    assert code == 2 and said in err
    assert [path.name for path in (place / "runs").iterdir()] == ["alexnet-1"]


def test_validation_pictures_are_sorted_by_the_command(millrace, tmp_path):
    rng = np.random.default_rng(0)
    for n in range(3):
        photograph(tmp_path / "val" / f"ILSVRC2012_val_0000000{n}.JPEG", (n, n, n), rng)
    rows = "".join(f"ILSVRC2012_val_0000000{n},n0100000{n % 2} 1 2 3 4\n" for n in range(4))
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + rows)
    out, err, code = millrace("data", "sort-val", tmp_path / "val", tmp_path / "LOC_val_solution.csv")
    told = " ".join((out + err).split())
    assert code == 0 and "3 pictures moved into 2 folders of classes" in told
    assert "1 pictures that have a label are not there, such as ILSVRC2012_val_00000003" in told
    assert len(list((tmp_path / "val" / "n01000000").iterdir())) == 2
    out, _, _ = millrace("data", "sort-val", tmp_path / "val", tmp_path)
    assert "3 were there already" in " ".join(out.split())
    _, err, code = millrace("data", "sort-val", tmp_path / "none", tmp_path)
    assert code == 2 and "does not exist" in err


def test_without_a_folder_it_asks_for_imagenette(millrace, tmp_path, monkeypatch):
    monkeypatch.setenv("MILLRACE_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    _, err, code = millrace("train", "alexnet")
    assert code == 2 and "'imagenette' lacks train/, val/" in err and not (tmp_path / "runs").exists()
