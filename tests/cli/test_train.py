"""The main job, run as its user runs it: a process of its own, its output, its files."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import millrace as mr
from millrace.data.datasets import digits
from millrace.ir.text import parse, text
from millrace.training.program_file import load_program
from millrace.training.run import Run

MILLRACE = [sys.executable, "-c", "from millrace.cli.main import main; main()"]


def command(*arguments, cwd, check=True, **environment):
    ran = subprocess.run(
        [*MILLRACE, *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
        env={**os.environ, "COLUMNS": "80", **environment}, timeout=300,
    )  # fmt: skip
    if check:
        assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    return ran


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with one whole run of the main job, and what it printed."""
    directory = tmp_path_factory.mktemp("main")
    (directory / "printed.txt").write_text(command("train", cwd=directory).stdout)
    return directory


@pytest.fixture(scope="module")
def run(place):
    return place / "runs" / "digits-1"


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def arrays(run):
    """The newest checkpoint of a run, as the library of the format reads it."""
    from safetensors.numpy import load_file

    return load_file(Run(run).weights)


def test_it_reaches_98_percent_of_a_held_out_fifth(run):
    assert metrics(run)[-1]["val_accuracy"] >= 0.98
    data = digits(0)
    assert len(data.x_validation) == 1797 // 5
    model = mr.load_model(Run(run).weights)
    right = model.predict(data.x_validation).argmax(axis=1) == data.y_validation
    assert right.mean() == pytest.approx(metrics(run)[-1]["val_accuracy"], abs=1e-6)


def test_it_prints_the_layers_a_line_an_epoch_and_where_the_report_is(place):
    printed = (place / "printed.txt").read_text()
    assert "[batch, 8, 8, 32]" in printed and "151,306 parameters" in printed
    assert re.search(r"30/30  loss 0\.\d+  acc \d\.\d+  val loss 0\.\d+  val acc \d\.\d+  [\d,]+ images/s", printed)
    assert "runs/digits-1/report.html" in printed
    assert max(len(line) for line in printed.splitlines()) <= 80


def test_the_run_directory_holds_what_it_should(run):
    config = json.loads((run / "config.json").read_text())
    assert config["model"] == "digits" and config["engine"] == "xla" and config["epochs"] == 30
    assert len(metrics(run)) == 30 and {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(metrics(run)[0])
    assert "conv1/kernel" in arrays(run)
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))
    written = (run / "graph.txt").read_text()
    assert text(parse(written)) == written
    assert set(load_program(run / "program.txt")) == {"training", "validation"}


def test_the_events_can_be_read_back(run):
    (file,) = (run / "tensorboard").glob("events.out.tfevents.*")
    assert b"accuracy/validation" in file.read_bytes() and b"loss/training" in file.read_bytes()


def test_the_report_needs_no_other_file_and_shows_everything(run):
    html = (run / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", html) and "http" not in html.replace("http-equiv", "")
    for heading in ("How it learned", "What it takes for what", "What it got wrong", "Its layers", "The network",
                    "What the run says about itself"):  # fmt: skip
        assert heading in html
    assert html.count("<polyline") == 4 + 2 * 3 + 2 * 4  # loss and accuracy; units of 3 layers, weights of 4
    assert "conv1" in html and "[batch, 8, 8, 32]" in html and "18,496" in html
    cells = [int(n) for n in re.findall(r"<td style=[^>]*>(\d+)</td>", html)]
    assert sum(cells) == 359
    wrong = round((1 - metrics(run)[-1]["val_accuracy"]) * 359)
    assert html.count("data:image/png;base64,") == wrong


def saved(digit, path, size, paper):
    """A digit as a person would send it: larger, perhaps dark on light, with a margin."""
    grey = Image.fromarray((255 * digit[..., 0]).astype(np.uint8)).resize((size, size), Image.Resampling.NEAREST)
    page = Image.new("L", (size * 2, size * 2), 0)
    page.paste(grey, (size // 2, size // 3))
    page = page.point(lambda v: 255 - v) if paper == "light" else page
    page.convert("RGB").save(path)


def test_predict_reads_image_files(run, place):
    data = digits(0)
    model = mr.load_model(Run(run).weights)
    sure = np.flatnonzero(model.predict(data.x_validation).max(axis=1) > 0.999)[:12]
    files = []
    for n, i in enumerate(sure):
        files.append(place / f"digit{n}.{'png' if n % 2 else 'jpg'}")
        saved(data.x_validation[i], files[-1], 64, "light" if n % 3 else "dark")
    printed = command("predict", run, *files, cwd=place).stdout
    answers = re.findall(r"│\s+(\d) │\s+\d+\.\d% │", printed)
    assert len(answers) == 12
    assert np.mean([int(a) == data.y_validation[i] for a, i in zip(answers, sure, strict=True)]) >= 0.9
    assert max(map(len, printed.splitlines())) <= 80


def test_predict_says_which_file_it_cannot_read_and_reads_the_others(run, place):
    good, bad = place / "good.png", place / "bad.png"
    saved(digits(0).x_validation[0], good, 32, "light")
    bad.write_bytes(good.read_bytes()[:40])
    ran = command("predict", run, good.name, bad.name, "none.png", cwd=place, check=False)
    assert ran.returncode == 2
    assert "good.png" in ran.stdout
    assert "bad.png cannot be read as a picture" in ran.stderr and "none.png does not exist" in ran.stderr


def test_the_interpreter_trains_the_same_network(place, tmp_path):
    data = digits(0)
    losses, accuracy = {}, {}
    for engine in ("xla", "numpy"):
        from millrace.models.digits import network

        mr.set_seed(0)
        model = network()
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], engine=engine)
        history = model.fit(
            data.x_train[:640], data.y_train[:640], batch_size=32, epochs=2, verbose=0, seed=0,
            validation_data=(data.x_validation, data.y_validation),
        )  # fmt: skip
        losses[engine], accuracy[engine] = history.batch_losses, history.history["val_accuracy"][-1]
    np.testing.assert_allclose(losses["numpy"][:20], losses["xla"][:20], atol=1e-4, rtol=1e-4)
    assert accuracy["numpy"] == pytest.approx(accuracy["xla"], abs=0.02)


def test_train_with_the_interpreter_from_the_command_line(tmp_path):
    ran = command("train", "--engine", "numpy", "--epochs", 1, cwd=tmp_path)
    assert "Engine numpy" in ran.stdout
    assert (tmp_path / "runs" / "digits-1" / "report.html").is_file()


def test_a_resumed_run_computes_the_bits_of_one_that_was_never_stopped(tmp_path):
    command("train", "--epochs", 4, "--out", "whole", cwd=tmp_path)
    command("train", "--epochs", 2, "--out", "parts", cwd=tmp_path)
    ran = command("train", "--resume", "parts/digits-1", "--epochs", 4, cwd=tmp_path)
    assert "Going on with parts/digits-1 at epoch 3" in ran.stdout
    whole, parts = (arrays(tmp_path / p / "digits-1") for p in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)
    kept = [{k: v for k, v in line.items() if k != "seconds"} for line in metrics(tmp_path / "parts" / "digits-1")]
    assert kept == [{k: v for k, v in m.items() if k != "seconds"} for m in metrics(tmp_path / "whole" / "digits-1")]


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    process = subprocess.Popen(
        [*MILLRACE, "train", "--epochs", "400"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.strip().startswith("3/400"):
            process.send_signal(signal.SIGINT)
            break
    rest, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "everything is saved" in error and "millrace train --resume runs/digits-1" in error
    assert "Traceback" not in error + rest
    done = len(metrics(tmp_path / "runs" / "digits-1"))
    ran = command("train", "--resume", "runs/digits-1", "--epochs", done + 1, cwd=tmp_path)
    assert f"at epoch {done + 1}, step " in ran.stdout
    assert [m["epoch"] for m in metrics(tmp_path / "runs" / "digits-1")] == list(range(1, done + 2))

    command("train", "--epochs", done + 1, "--out", "whole", cwd=tmp_path)
    a = arrays(tmp_path / "whole" / "digits-1")
    b = arrays(tmp_path / "runs" / "digits-1")
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


BAD = [
    (["train", "mlp", "--epochs", "1.7"], "--epochs: must be a whole number, got 1.7"),
    (["train", "mlp", "--save-every", "5.5"], "must be a whole number, got 5.5"),
    (["train", "mlp", "--save-every", "0"], "--save-every must be at least 1, got 0"),
    (["train", "mlp", "--workers", "-1"], "--workers must be at least 0, got -1"),
    (["train", "mlp", "--on-broken", "pass"], "unknown --on-broken 'pass'"),
    (["show", "nowhere"], "nowhere does not exist: expected a run directory"),
    (["train", "digit"], "Did you mean 'digits'"),
    (["train", "--engine", "tpu"], "Known: numpy, xla"),
    (["train", "--epochs", "0"], "--epochs must be at least 1"),
    (["train", "--epochs", "many"], "many"),
    (["train", "--batch-size", "-3"], "--batch-size"),
    (["train", "--learning-rate", "-1"], "--learning-rate"),
    (["train", "--seed", "-1"], "seed"),
    (["train", "--resume", "nowhere"], "nowhere does not exist"),
    (["train", "--out", "file"], "cannot make the run directory"),
    (["trian"], "train"),
    (["predict", "nowhere", "x.png"], "nowhere does not exist"),
    (["predict", "file", "x.png"], "file is no model that Millrace opens"),
    (["predict", "empty", "x.png"], "config.json is missing"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda x: " ".join(x) if isinstance(x, list) else None)
def test_bad_input_gets_a_message_and_exit_code_2(arguments, message, tmp_path, monkeypatch, millrace):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    _, error, code = millrace(*arguments)
    assert code == 2 and message in error and error.startswith("millrace: "), error
    assert not (tmp_path / "runs").exists()


def broken(run, tmp_path, damage):
    """A copy of a run with one checkpoint, and something wrong."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for file in Run(copy).checkpoints.files[1:]:
        file.unlink()
    damage(copy)
    return copy


def cut(copy):
    file = Run(copy).weights
    file.write_bytes(file.read_bytes()[:-1000])


def flip(copy):
    file = Run(copy).weights
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)


def rename_layer(copy):
    from millrace.training.checkpoint import load_arrays, save_arrays

    file = Run(copy).weights
    kept, about = load_arrays(file)
    about["architecture"]["steps"][0]["class_name"] = "Conv4D"
    save_arrays(file, kept, about)


DAMAGE = [
    (lambda copy: (copy / "config.json").unlink(), "config.json is missing"),
    (lambda copy: (copy / "config.json").write_text("{"), "config.json is damaged"),
    (lambda copy: Run(copy).weights.unlink(), "has no checkpoint yet"),
    (cut, "is damaged"),
    (flip, "checksum"),
    (rename_layer, "Conv4D"),
]


@pytest.mark.parametrize(
    ("damage", "message"), DAMAGE, ids=["no config", "half config", "no weights", "cut", "flipped", "layer"]
)
def test_a_damaged_run_directory_gets_a_message(run, tmp_path, monkeypatch, millrace, damage, message):
    copy = broken(run, tmp_path, damage)
    picture = tmp_path / "x.png"
    saved(digits(0).x_validation[0], picture, 32, "light")
    monkeypatch.chdir(tmp_path)
    _, error, code = millrace("predict", copy.name, picture.name)
    assert code == 2 and message in error


def test_help_comes_fast_and_without_jax():
    program = (
        "import sys; from millrace.cli.main import main\ntry: main(['--help'])\nfinally: print('jax' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "train" in ran.stdout and ran.stdout.strip().endswith("False")


def test_the_wheel_carries_the_report_template():
    assert (Path(mr.__file__).parent / "explain" / "report.html.j2").is_file()
