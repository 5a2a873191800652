"""`millrace explain RUN IMAGE`, and options that do not go together."""

import numpy as np
import pytest
from PIL import Image

import millrace as mr
from millrace.training.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory of the digits network with first weights, as `millrace train` makes one."""
    from millrace.models import recipe

    made = Run.new(tmp_path_factory.mktemp("runs"), "digits")
    data, digits = mr.data.digits(), recipe("digits")
    config = {"model": "digits", "engine": "numpy", "seed": 0, "epochs": 1, "batch_size": 64, "learning_rate": 0.001}
    made.write_config(config)
    made.write_words(data.classes, ())
    mr.set_seed(0)
    model = digits.build(data)
    made.checkpoints.directory.mkdir()
    model.save(made.checkpoints.path(1, 0))
    return made.path


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "seven.png"
    ink = np.round(255 * (1 - mr.data.digits().x_validation[3, ..., 0])).astype(np.uint8)
    Image.fromarray(ink).save(path)
    return path


def test_a_picture_is_explained_layer_by_layer(run, picture, millrace):
    out, err, code = millrace("explain", run, picture)
    assert (code, err) == (0, "")
    assert out.startswith("What digits sees in seven.png ")
    assert "The greatest is class " in out and "% sure" in out and "The usual distance" in out
    for part in ("It says ", "Which pixels mattered", "conv1: Conv2D [8, 8, 32]", "The nearest training examples"):
        assert part in out, part


def test_without_a_picture_it_takes_a_held_out_one_and_writes_a_page(run, millrace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, _, code = millrace("explain", run, "--html", "seen.html", "--lang", "zh")
    assert code == 0 and "seen.html" in out
    page = (tmp_path / "seen.html").read_text()
    assert "digits 在 digits 的第一个验证样本里看到了什么" in page
    assert 'lang="zh-Hans"' in page and "哪些像素起了作用" in page and page.rstrip().endswith("</html>")


def test_a_network_by_name_has_learned_nothing_yet(picture, millrace):
    out, err, code = millrace("explain", "digits", picture)
    assert (code, err) == (0, "") and "Nothing has been learned yet" in " ".join(out.split())


def test_what_is_no_picture_is_refused_by_name(run, tmp_path, millrace):
    (tmp_path / "notes.txt").write_text("no picture")
    _, err, code = millrace("explain", run, tmp_path / "notes.txt")
    assert code == 2 and "notes.txt" in err
    _, err, code = millrace("explain", tmp_path, tmp_path / "notes.txt")
    assert code == 2 and "no complete run" in err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["Dense", "--batch-size", "3"], "--batch-size belong"),
        (["--wrt", "w"], "--wrt belongs to --gradient"),
        (["Dense", "--lang", "fr"], "fr"),
        (["Densee"], "Dense"),
        (["--gradient", "tanhh(w)"], "tanh"),
    ],
)
def test_what_does_not_go_together_is_said(given, said, millrace):
    out, err, code = millrace("explain", *given)
    assert (out, code) == ("", 2) and said in err
