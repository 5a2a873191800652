"""`millrace look`, as it is called: what it opens, what it says, how it ends."""

import threading
import urllib.request
import webbrowser

import numpy as np
import pytest
from PIL import Image

import millrace as mr
from millrace.cli.subjects import subject
from millrace.look.looking import Looking
from millrace.look.server import LookServer
from millrace.look.views import Views


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A saved model of photographs with two towers and a branch, and a picture file."""
    folder = tmp_path_factory.mktemp("photographs")
    x = mr.Input((12, 12, 3), name="image")
    a = mr.layers.Conv2D(16, 3, padding="same", name="a")(x)
    b = mr.layers.Conv2D(16, 3, groups=2, padding="same", name="b")(a)
    met = mr.layers.Add(name="met")([a, b])
    pooled = mr.layers.GlobalAveragePooling2D(name="mean")(met)
    model = mr.Model(x, mr.layers.Dense(3, "softmax", name="last")(pooled), name="branched")
    model.save(folder / "branched.safetensors")
    Image.fromarray(np.full((30, 40, 3), (255, 0, 128), np.uint8)).save(folder / "pink.png")
    return folder


def test_it_serves_the_page_and_ends_with_ctrl_c_like_the_other_commands(millrace, monkeypatch):
    opened = []

    def visit(address):
        opened.append(address)
        threading.Thread(target=lambda: opened.append(urllib.request.urlopen(address).status)).start()

    monkeypatch.setattr(webbrowser, "open", visit)

    def serve(server):
        server.timeout = 0.1
        while len(opened) < 2:
            server.handle_request()
        raise KeyboardInterrupt

    monkeypatch.setattr(LookServer, "serve_forever", serve)
    out, err, code = millrace("look", "digits")
    assert code == 130 and "the page is closed" in err
    assert opened[0].startswith("http://127.0.0.1:") and opened[0] in out and opened[1] == 200

    monkeypatch.setattr(LookServer, "serve_forever", lambda server: None)
    opened.clear()
    assert millrace("look", "mlp", "--no-browser", "--lang", "zh")[2] == 0 and not opened


def test_a_name_gives_first_weights_and_a_held_out_example():
    found = subject("digits", None)
    assert found.origin == "" and found.classes == tuple("0123456789") and found.held
    assert found.example.shape == (8, 8, 1) and found.truth in found.classes
    again = subject("digits", None)
    for one, other in zip(found.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_picture_is_prepared_as_predict_does_it(tmp_path):
    from millrace.models.digits import example

    Image.fromarray((np.eye(20) * 255).astype(np.uint8)).save(tmp_path / "slash.png")
    found = subject("digits", tmp_path / "slash.png")
    np.testing.assert_array_equal(found.example, example(str(tmp_path / "slash.png")))
    assert found.about == "slash.png" and found.truth == "" and not found.held


def test_a_run_brings_its_weights_and_its_classes(millrace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert millrace("train", "perceptron", "--epochs", 1, "--engine", "numpy", "--out", ".")[2] == 0
    found = subject("perceptron-1", None)
    assert found.origin.startswith("perceptron-1/checkpoint") and found.classes == ("even", "odd")
    bars = Views(Looking(found)).answer("network", {})["bars"]
    assert bars["names"] == ["even", "odd"] and sum(bars["values"]) == pytest.approx(1)


def test_a_saved_model_is_drawn_with_branches_and_towers(photographs):
    found = subject(str(photographs / "branched.safetensors"), photographs / "pink.png")
    np.testing.assert_allclose(found.example[5, 5], [1, 0, 128 / 255], atol=1e-3)
    calls = {call["name"]: call for call in Views(Looking(found)).answer("network", {})["calls"]}
    assert calls["met"]["inputs"] == ["a", "b"]
    assert calls["b"]["towers"] == 2 and len(calls["b"]["dots"]) == 8 and calls["mean"]["towers"] == 1
    without = subject(str(photographs / "branched.safetensors"), None)
    assert without.example.shape == (12, 12, 3) and without.about == "flower.jpg"


def test_stories_are_told_in_words_and_can_be_looked_at(monkeypatch):
    from millrace.models import memory_network

    monkeypatch.setattr(memory_network, "TRAINING", 20)
    monkeypatch.setattr(memory_network, "HELD", 5)
    views = Views(Looking(subject("memory_network", None)))
    story = views.answer("layer", {"name": "story"})
    assert len(story["words"]) == 10 and all(" " in sentence for sentence in story["words"])
    assert views.answer("maps", {"name": "story"})["size"] == [10, 5]
    for call in views.answer("network", {})["calls"]:
        views.answer("numbers", {"name": call["name"], "place": [0] * len(call["shape"]), "map": 0})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["look", "digit"], "Did you mean 'digits'"),
        (["look", "nowhere/run"], "does not exist"),
        (["look", "hopfield"], "not trained step by step"),
        (["look", "memory_network", "x.png"], "takes no picture"),
        (["look", "digits", "missing.png"], "missing.png does not exist"),
        (["look", "digits", "--lang", "de"], "unknown language"),
        (["look", "digits", "--port", "70000"], "65535"),
    ],
)
def test_what_cannot_be_opened_is_said(millrace, arguments, said):
    _, err, code = millrace(*arguments)
    assert code == 2 and said in err


def test_a_picture_in_the_place_of_the_network_is_told_so(millrace, photographs):
    for given, mend in [([], "RUN"), (["runs/digits-1"], "runs/digits-1")]:
        for command in ("look", "explain")[: 1 + len(given)]:
            _, err, code = millrace(command, photographs / "pink.png", *given)
            assert code == 2 and "is a picture: give the run first" in err
            assert f"millrace {command} {mend} {photographs / 'pink.png'}" in err


def test_data_that_are_not_at_hand_are_not_downloaded(millrace, monkeypatch, tmp_path):
    monkeypatch.setenv("MILLRACE_DATA", str(tmp_path))
    monkeypatch.delenv("MILLRACE_OFFLINE", raising=False)
    _, err, code = millrace("look", "lenet")
    assert code == 2 and "give a picture" in err and "Nothing was downloaded" in err
    Image.fromarray((np.eye(28) * 255).astype(np.uint8)).save(tmp_path / "slash.png")
    assert subject("lenet", tmp_path / "slash.png").example.shape == (28, 28, 1)


def test_a_model_that_takes_no_pictures_is_refused(millrace, tmp_path):
    mr.Sequential([mr.Input((5,)), mr.layers.Dense(2)]).save(tmp_path / "plain.safetensors")
    _, err, code = millrace("look", tmp_path / "plain.safetensors")
    assert code == 2 and "only those of pictures" in err
