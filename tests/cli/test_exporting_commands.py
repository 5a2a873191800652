"""`millrace export`, `import` and `predict` on runs, saved models, exported files and arrays."""

import errno
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from jax import export as jax_export
from PIL import Image
from safetensors.numpy import save_file

import millrace as mr
from millrace.cli.predict import check_kind
from millrace.data.datasets import digits
from millrace.inference import load, opened, save
from millrace.inference.predictor import About, Predictor
from millrace.ir.errors import FileError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType
from millrace.layers import LSTM, BatchNormalization, Concatenate, Conv2D, Dense, Flatten, Input, ReLU
from millrace.models import sentiment

FILES = Path(__file__).parents[1] / "parity" / "torch_files"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run of a few epochs, pictures, arrays, and models."""
    from millrace.cli.main import main

    folder = tmp_path_factory.mktemp("use")
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["train", "mlp", "--epochs", "1", "--out", str(folder / "runs")])
    data = digits(0)
    for n in range(2):
        pixels = (255 - 255 * data.x_validation[n, ..., 0]).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.png")
    (folder / "folder.onnx").mkdir()
    np.save(folder / "x.npy", data.x_validation[:30])
    np.savez(folder / "wrong.npz", foo=data.x_validation[:2])
    (folder / "j.stablehlo").write_bytes(b"a program")
    np.save(folder / "one.npy", data.x_validation[0])
    np.save(folder / "narrow.npy", data.x_validation[:3, :5])
    np.save(folder / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    (folder / "cut.npy").write_bytes((folder / "x.npy").read_bytes()[:500])
    mr.set_seed(0)
    a, b = Input((2,), name="a"), Input((3,), name="b")
    both = mr.Model([a, b], [Dense(2, name="left")(Concatenate()([a, b])), Dense(1, name="right")(a)], name="both")
    both.save(folder / "both.safetensors")
    parts = [Conv2D(3, 3, name="conv"), BatchNormalization(epsilon=1e-5, name="norm"), ReLU(), Flatten()]
    mr.Sequential([Input((8, 8, 1)), *parts, Dense(4, name="fc")], name="net").save(folder / "net.safetensors")
    return folder


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    """A folder of one test, with what `place` has."""
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUN = "runs/mlp-1"


def leftovers(folder):
    return [path.name for path in folder.iterdir() if "partial" in path.name]


# ---- export


@pytest.mark.parametrize("ending", ["onnx", "stablehlo", "safetensors"])
def test_a_run_is_written_compared_and_answers_the_same(here, millrace, ending):
    if ending == "onnx":
        pytest.importorskip("onnxruntime")
    printed, error, code = millrace("export", RUN, f"m.{ending}")
    assert code == 0 and error == ""
    assert "takes image: float32[batch, 8, 8, 1]" in printed and "gives output: float32[batch, 10]" in printed
    assert re.search(r"gives the same on 8 held-out examples, (up to \de-\d\d apart|bit for bit)", printed)
    assert f"Wrote m.{ending}: " in printed
    following = printed.partition("Next")[2].splitlines()
    if ending == "stablehlo":
        assert "answers = program.call(x)" in following
    else:
        assert following[1:3] == [f"  millrace predict m.{ending} picture.png", f"  millrace serve m.{ending}"]
    assert not leftovers(here)
    x = np.load("x.npy")
    want = opened(RUN).predict(x)
    if ending == "stablehlo":
        got = jax_export.deserialize(bytearray(Path("m.stablehlo").read_bytes())).call(x)
    else:
        got = opened(f"m.{ending}").predict(x)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_what_was_folded_is_counted(here, millrace):
    printed, _, _ = millrace("export", "net.safetensors", "m.safetensors")
    after, away, before = map(int, re.search(r"(\d+) operations, (\d+) of (\d+) are folded", printed).groups())
    assert after + away == before and away >= 2 and "random examples" in printed


def test_fewer_bits_come_with_what_they_cost(here, millrace):
    printed, _, code = millrace("export", RUN, "m.safetensors", "--precision", "int8")
    assert code == 0 and "weights in int8" in printed
    before, after = re.search(
        r"accuracy on 359 held-out examples: (\d+\.\d+)% before, (\d+\.\d+)% in", printed
    ).groups()
    about = load("m.safetensors").about
    assert about.precision == "int8" and f"{about.measured['accuracy_after']:.2%}" == f"{after}%"
    x, y = digits(0).x_validation, digits(0).y_validation
    for predictor, said in ((opened(RUN), before), (load("m.safetensors"), after)):
        right = np.mean(predictor.predict(x).argmax(axis=1) == y)
        assert f"{100 * right:.2f}" == said


def test_fewer_bits_stay_unless_others_are_asked_for(here, millrace):
    assert millrace("export", RUN, "m.safetensors", "--precision", "int8", "--no-check")[2] == 0
    printed, _, code = millrace("export", "m.safetensors", "again.safetensors")
    assert code == 0 and "weights in int8" in printed and "bit for bit" in printed
    assert {v.dtype for v in load("again.safetensors").graph.variables} == {"int8", "float32"}
    _, error, code = millrace("export", "m.safetensors", "wide.safetensors", "--precision", "float32")
    assert code == 2 and "keeps its weights in int8 already" in error and not Path("wide.safetensors").exists()


@pytest.mark.parametrize("factor", [1.01, np.nan])
def test_a_file_that_answers_otherwise_is_not_left_behind(here, millrace, monkeypatch, factor):
    from millrace.inference import exporting

    def wrong(predictor, path):
        kept = {variable: variable.numpy() for variable in predictor.graph.variables}
        for variable, array in kept.items():
            variable.assign(np.float32(factor) * array)
        save(predictor, path)
        for variable, array in kept.items():
            variable.assign(array)

    broken = exporting.Format("millrace", (".safetensors",), wrong)
    monkeypatch.setattr(exporting, "FORMATS", (broken,))
    Path("m.safetensors").write_text("earlier")
    _, error, code = millrace("export", RUN, "m.safetensors")
    assert code == 2 and "m.safetensors answers otherwise than the model" in error and "partial" not in error
    assert Path("m.safetensors").read_text() == "earlier" and not leftovers(here)
    assert millrace("export", RUN, "m.safetensors", "--no-check")[2] == 0


def test_a_file_that_its_reader_refuses_is_not_left_behind(here, millrace, monkeypatch):
    from millrace.inference import exporting

    broken = exporting.Format("stablehlo", (".stablehlo",), lambda predictor, path: path.write_bytes(b"no program"))
    monkeypatch.setattr(exporting, "FORMATS", (broken,))
    _, error, code = millrace("export", RUN, "m.stablehlo")
    assert code == 2 and "JAX cannot run m.stablehlo" in error and "--no-check writes it" in error
    assert not Path("m.stablehlo").exists() and not leftovers(here)


def test_two_axes_of_one_open_size_are_compared(here, millrace):
    x = Placeholder("x", TensorType.parse("float32[batch, batch]"))()
    save(Predictor(Graph([x], [x + 1]), ["y"]), "square.safetensors")
    printed, _, code = millrace("export", "square.safetensors", "m.safetensors")
    assert code == 0 and "gives the same on 8 random examples" in printed


REFUSED = [
    (["export", RUN, "m.tflite"], "write 'onnx'"),
    (["export", RUN, "m"], "its ending says no format"),
    (["export", "both.safetensors", "both.safetensors"], "would replace what it is made of"),
    (["export", RUN, f"{RUN}/config.json"], "its ending says no format"),
    (["export", "both.safetensors", "folder.onnx"], "folder.onnx is a folder: give a file"),
    (["export", RUN, "m.onnx", "--platforms", "cpu"], "--platforms is for .stablehlo"),
    (["export", RUN, "m.stablehlo", "--platforms", "gpu"], "called cuda"),
    (["export", RUN, "x.npy/m.onnx"], "x.npy is no folder. Choose another place"),
    (["export", RUN, "m.onnx", "--precision", "int4"], "unknown precision 'int4'"),
    (["export", "nowhere", "m.onnx"], "nowhere does not exist"),
    (["import", "x.npy", "m.safetensors"], "--into NETWORK"),
    (["import", "0.png", "m.safetensors"], "0.png is nothing that is imported"),
    (["predict", RUN, "wrong.npz"], "wrong.npz has no array 'image': it has foo"),
    (["predict", RUN, "runs"], "runs is a directory: expected a picture file, or an .npy file of examples"),
    (["serve", "j.stablehlo"], "j.stablehlo is a program for JAX"),
    (["bench-serve", "127.0.0.1:8132"], "127.0.0.1:8132 is no address: write http://127.0.0.1:8132"),
    (["import", "none.pt", "m.safetensors", "--into", "mlp"], "none.pt does not exist"),
    (["import", "none.onnx", "m.safetensors"], "none.onnx"),
    (["import", "none.pt", "m.onnx", "--into", "mlp"], "Call it m.safetensors"),
    (["import", "none.pt", "m.safetensors", "--into", "mpl"], "Did you mean 'mlp'"),
    (["import", "net.safetensors", "net.safetensors", "--into", "mlp"], "would replace what it is made of"),
    (["predict", RUN, "narrow.npy"], "narrow.npy: x has examples of shape [5, 8, 1], the model takes [8, 8, 1]"),
    (["predict", RUN, "objects.npy"], "objects.npy cannot be read as arrays of numbers"),
    (["predict", RUN, "cut.npy"], "cut.npy cannot be read as arrays of numbers"),
    (["predict", RUN, "none.npy"], "none.npy does not exist"),
    (["predict", "net.safetensors", "0.png"], "takes neither pictures nor sentences: give an .npy file"),
    (["predict", "both.safetensors", "x.npy"], "x.npy is one array, the model takes 2: an .npz with a, b"),
    (["predict", RUN, "x.npy", "--out", "a.txt"], "the answers of one output go into an .npy file: a.npy"),
    (["predict", "both.safetensors", "x.npz", "--out", "a.npy"], "2 outputs go into an .npz file"),
    (["predict", RUN, "x.npy", "--out", "x.npy"], "x.npy would replace what it is made of"),
    (["predict", RUN, "x.npy", "--engine", "tpu"], "Known: numpy, xla"),
    (["predict", "a" * 300, "x.npy"], "File name too long"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[" ".join(one) for one, _ in REFUSED])
def test_what_cannot_be_done_gets_a_message_and_leaves_nothing(
    place, tmp_path, monkeypatch, millrace, arguments, message
):
    monkeypatch.chdir(place)
    before = sorted(path.name for path in place.iterdir())
    _, error, code = millrace(*arguments)
    assert code == 2 and message in error and error.startswith("millrace: "), error
    assert sorted(path.name for path in place.iterdir()) == before


def test_a_place_without_the_right_to_write_is_refused_before_any_work(here, millrace, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    for arguments in (["export", RUN, "m.onnx"], ["predict", RUN, "x.npy", "--out", "a.npy"]):
        printed, error, code = millrace(*arguments)
        assert code == 2 and not printed and "Permission denied. Ask for the right to write there" in error


# ---- import


def test_weights_of_pytorch_go_into_a_saved_model(here, millrace):
    expected = dict(np.load(FILES / "expected.npz"))
    state = {key.partition("/")[2]: array for key, array in expected.items() if key.startswith("state/")}
    save_file(state, "foreign.safetensors")
    np.save("images.npy", expected["x"])
    for file in (FILES / "checkpoint.pth", "foreign.safetensors"):
        printed, _, code = millrace("import", file, "t.safetensors", "--into", "net.safetensors")
        assert code == 0 and "net has 478 parameters" in printed and "Wrote t.safetensors" in printed
        assert millrace("predict", "t.safetensors", "images.npy", "--out", "answers.npy")[2] == 0
        np.testing.assert_allclose(np.load("answers.npy"), expected["out"], rtol=1e-5, atol=1e-5)
    _, error, code = millrace("import", FILES / "module.pt", "t2.safetensors", "--into", "net.safetensors")
    assert code == 2 and "holds a whole module" in error and not Path("t2.safetensors").exists()


def test_an_onnx_model_becomes_a_predictor_that_knows_its_classes(here, millrace):
    assert millrace("export", RUN, "m.onnx", "--no-check")[2] == 0
    printed, _, code = millrace("import", "m.onnx", "back.safetensors")
    assert code == 0 and re.search(r"Read m\.onnx: \d+ operations, [\d,]+ parameters", printed)
    x = np.load("x.npy")
    np.testing.assert_allclose(load("back.safetensors").predict(x), opened(RUN).predict(x), rtol=1e-5, atol=1e-5)
    assert load("back.safetensors").about.classes == tuple("0123456789")


# ---- predict


def test_pictures_and_arrays_get_the_same_answers_from_a_run_and_its_file(here, millrace):
    assert millrace("export", RUN, "m.safetensors", "--no-check")[2] == 0
    tables = [millrace("predict", model, "0.png", "one.npy", "1.png")[0] for model in (RUN, "m.safetensors")]
    assert tables[0] == tables[1]
    rows = [line.split("│")[1:-1] for line in tables[0].splitlines() if line.startswith("│")]
    assert [row[0].strip() for row in rows] == ["0.png", "one.npy", "1.png"]
    right = opened(RUN).predict(np.load("one.npy")[None])[0]
    assert int(rows[1][1]) == right.argmax() == int(rows[0][1]) and rows[1][2].strip() == f"{right.max():.1%}"


def test_many_examples_are_cut_short_and_kept_whole_in_a_file(here, millrace):
    printed, _, _ = millrace("predict", RUN, "x.npy")
    assert "x.npy[19]" in printed and "x.npy[20]" not in printed and "... and 10 more" in printed
    printed, _, code = millrace("predict", RUN, "x.npy", "one.npy", "--out", "a.npy", "--engine", "numpy")
    assert code == 0 and "Wrote a.npy: output, float32[31, 10]." in printed
    answers = np.load("a.npy")
    np.testing.assert_allclose(answers[:30], opened(RUN).predict(np.load("x.npy")), rtol=1e-5, atol=1e-5)
    _, error, code = millrace("predict", RUN, "x.npy", "none.npy", "--out", "b.npy")
    assert code == 2 and "b.npy was not written" in error and not Path("b.npy").exists()


def test_a_model_of_several_inputs_takes_an_npz_with_their_names(here, millrace):
    rng = np.random.default_rng(0)
    a, b = rng.random((4, 2)).astype(np.float32), rng.random((4, 3)).astype(np.float32)
    np.savez("x.npz", b=b, a=a)
    printed, _, code = millrace("predict", "both.safetensors", "x.npz")
    assert code == 0 and "left" in printed and "right" in printed and "[2]" in printed
    assert millrace("predict", "both.safetensors", "x.npz", "--out", "y.npz")[2] == 0
    left, right = opened("both.safetensors").predict([a, b])
    with np.load("y.npz") as kept:
        np.testing.assert_allclose(kept["left"], left, rtol=1e-6)
        np.testing.assert_allclose(kept["right"], right, rtol=1e-6)
    np.savez("z.npz", a=a)
    _, error, code = millrace("predict", "both.safetensors", "z.npz")
    assert code == 2 and "z.npz has no array 'b': it has a" in error


def test_outputs_may_be_called_anything(here, millrace):
    x = Input((2,), name="x")
    save(Predictor(Graph([x], [2 * x, x + 1]), ["file", "b"], engine="numpy"), "named.safetensors")
    np.save("two.npy", np.float32([[1, 3]]))
    assert millrace("predict", "named.safetensors", "two.npy", "--out", "named.npz")[2] == 0
    with np.load("named.npz") as kept:
        assert {name: kept[name].tolist() for name in kept} == {"file": [[2, 6]], "b": [[2, 4]]}


def test_nothing_of_a_file_controls_the_terminal(here, millrace):
    """Names of the model, of inputs, outputs and classes: printed, or in an error."""
    bad = "\x1b]0;owned\x07\x1b[2J"
    x = Input((2,), name=f"x{bad}")
    save(Predictor(Graph([x], [x * 1.0]), [f"y{bad}"], About(f"n{bad}", (f"a{bad}", f"b{bad}"))), "bad.safetensors")
    save(Predictor(Graph([x], [x, x + 1]), [f"y{bad}", "z"], About(f"n{bad}")), "two.safetensors")
    np.save("two.npy", np.float32([[1, 3]]))
    for arguments in (
        ["predict", "bad.safetensors", "two.npy"], ["predict", "two.safetensors", "two.npy"],
        ["predict", "two.safetensors", "two.npy", "--out", "two.npz"], ["predict", "bad.safetensors", "0.png"],
        ["predict", "bad.safetensors", "x.npy"], ["export", "bad.safetensors", "m.safetensors"],
        ["export", "bad.safetensors", "m.safetensors", "--precision", "int4"],
    ):  # fmt: skip
        printed, error, _ = millrace(*arguments)
        assert "\x1b" not in printed + error and "\x07" not in printed + error and printed + error


def test_a_long_sentence_is_no_file():
    """No name of a file may be as long, and asking for it is an error of the system."""
    vocabulary = ("", "[UNK]", "good", "film")
    long = "A good film. " * 40 + "It was good"
    np.testing.assert_array_equal(sentiment.example(long, vocabulary), sentiment.example(long.encode(), vocabulary))


def test_scores_are_not_called_sure(here, millrace):
    x = Input((2,), name="x")
    predictor = Predictor.of(mr.Model(x, 100 * x), About("scores", ("left", "right")))
    save(predictor, "scores.safetensors")
    np.save("x.npy", np.float32([[1, 3]]))
    printed, _, _ = millrace("predict", "scores.safetensors", "x.npy")
    row = next(line for line in printed.splitlines() if line.startswith("│"))
    assert "right" in row and "300" in row and "%" not in row


def test_an_array_without_a_name_is_taken_for_the_one_input(here, millrace):
    np.savez("plain.npz", np.load("x.npy"))
    assert millrace("predict", RUN, "plain.npz", "--out", "a.npy")[2] == 0
    np.testing.assert_array_equal(np.load("a.npy"), opened(RUN).predict(np.load("x.npy")))


def test_a_file_that_may_not_be_read_is_told_plainly(here, millrace, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "x.npy")

    monkeypatch.setattr("numpy.load", denied)
    assert "x.npy cannot be read: Permission denied.\n" in millrace("predict", RUN, "x.npy")[1]


def test_a_picture_is_no_sentence(here):
    x = Input((2,), name="x")
    predictor = Predictor(Graph([x], [x * 1.0]), ["y"], About("film", vocabulary=("", "[UNK]", "good")))
    with pytest.raises(FileError, match=r"0\.png is a picture: film takes sentences in quotes"):
        check_kind("0.png", predictor)
    check_kind("A good film.png", predictor)


def test_what_is_ready_to_be_served_controls_no_terminal(here, millrace, capsys):
    """Names of inputs and outputs, and warnings; what is printed once the model is served."""
    from millrace.cli.serve import ready, told
    from millrace.inference.server.app import Service
    from millrace.inference.server.limits import Limits
    from millrace.inference.server.served import Served

    bad = "\x1b]0;owned\x07"
    x = Input((2,), name=f"x{bad}")
    predictor = Predictor(Graph([x], [x * 1.0]), [f"y{bad}"], About("model"), engine="numpy")
    printed = ready(Service(Served.of(predictor, None), Limits()), "http://127.0.0.1:1")
    told(UserWarning(bad))
    printed += capsys.readouterr().err
    assert "owned" in printed and "\x1b" not in printed and "\x07" not in printed


def test_an_open_length_in_a_loop_is_told_with_what_to_do_and_no_line_of_the_command(here, millrace):
    x = Input((None, 4), name="words")
    mr.Model(x, LSTM(3, name="reader")(x)).save("loop.safetensors")
    _, error, code = millrace("export", "loop.safetensors", "m.stablehlo")
    assert code == 2 and "Give the Input a length in place of words_length, such as (7,), or write .onnx" in error
    assert "in layer 'reader'" in error and ".py" not in error
    assert not Path("m.stablehlo").exists()
