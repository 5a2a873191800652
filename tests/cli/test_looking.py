"""`millrace doctor`, `millrace profile` and `millrace explain --plan`, as they are called."""

import re
from dataclasses import replace

import numpy as np
import pytest

import millrace as mr
from millrace.cli import doctor, networks
from millrace.engines import machine, peak
from millrace.models import RECIPES
from millrace.ops.elementwise import Relu


@pytest.fixture
def hasty(monkeypatch):
    """The machine's best is measured by small products, and once."""
    monkeypatch.setattr(peak, "SHAPES", ((64, 64, 64),))
    monkeypatch.setattr(peak, "SQUARE", (256, 256))
    monkeypatch.setattr(peak, "SECONDS", 0.01)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small saved model."""
    made = mr.Sequential([mr.Input((12,)), mr.layers.Dense(8, "relu", name="first"), mr.layers.Dense(2, name="last")])
    made.compile("adam", "mse")
    path = tmp_path_factory.mktemp("saved") / "small.safetensors"
    made.save(path)
    return path


def put_in_place(monkeypatch, name, build):
    """Another network by the name of a recipe."""
    other = replace(RECIPES[name], build=lambda data: build(), optimizer=lambda rate: "sgd")
    monkeypatch.setitem(RECIPES, name, other)


def test_the_plan_of_a_recipe_says_what_was_chosen_for_whom_and_why(millrace, xla_alone):
    out, _, code = millrace("explain", "--plan", "digits", "--batch-size", 5)
    assert code == 0
    assert "digits, 5 examples" in out
    assert re.search(r"^ - YNNPACK .*Eigen", " ".join(out.split("\n   ")), re.M)
    assert re.search(r"^pool +forward +shifted slices +3.8 times faster", out, re.M)
    assert re.search(r"^ +backward +compare and pad back", out, re.M)


def test_a_plan_is_traced_and_never_compiled(millrace, monkeypatch):
    from millrace.engines.compiler import Compiler

    monkeypatch.setattr(Compiler, "prepare", lambda *_: pytest.fail("it compiled"))
    assert millrace("explain", "mlp", "--plan")[2] == 0


def test_the_plan_names_split_convolutions(millrace, monkeypatch, xla_alone):
    def small():
        conv = mr.layers.Conv2D(4, 3, groups=2, name="conv2")
        return mr.Sequential([mr.Input((6, 6, 4)), conv, mr.layers.Flatten(), mr.layers.Dense(3, "softmax")])

    put_in_place(monkeypatch, "resnet18", small)
    out, _, _ = millrace("explain", "--plan", "resnet18")
    assert re.search(r"conv2 +forward +2 convolutions +grouped convolutions are", out)


def test_the_plan_on_a_mesh_says_what_crosses_and_how_many_bytes(millrace, monkeypatch):
    def small():
        how = {"padding": "same", "shard": "tower"}
        return mr.Sequential(
            [
                mr.Input((6, 6, 4)),
                mr.layers.Conv2D(8, 3, name="conv1", **how),
                mr.layers.Conv2D(8, 3, groups=2, name="conv2", **how),
                mr.layers.Conv2D(8, 3, name="conv3", **how),
                mr.layers.Flatten(),
                mr.layers.Dense(3, "softmax", name="last"),
            ]
        )

    put_in_place(monkeypatch, "resnet18", small)
    out, _, code = millrace("explain", "--plan", "resnet18", "--mesh", "tower=2", "--batch-size", 10)
    assert code == 0
    assert re.search(r"conv2 +forward +2 devices +each has its groups", out)
    crosses = out.split("What crosses", 1)[1]
    assert "mesh tower=2" in crosses
    # by hand: four of conv2's eight maps of 6 x 6, of ten images, come from the other device
    assert re.search(rf"conv3 +forward +parts made whole +tower +{10 * 6 * 6 * 4 * 4:,}", crosses)
    assert "conv2" not in crosses and "conv1" not in crosses
    assert max(map(len, out.splitlines())) <= 80


def test_explain_says_what_else_can_be_asked_of_a_network(millrace, tmp_path):
    _, err, code = millrace("explain", "digits")
    assert code == 2 and "millrace look digits" in err and "millrace explain digits --plan" in err
    _, err, code = millrace("explain", tmp_path / "nowhere")
    assert code == 2 and "does not exist" in err


def test_a_profile_accounts_for_the_whole_step(millrace, saved, hasty):
    out, _, code = millrace("profile", saved, "--batch-size", 16, "--steps", 2)
    assert code == 0
    assert "16 examples; mean of 2 steps" in " ".join(out.split())
    rows = re.findall(r"^(first|last|smaller rows|in no layer|nothing ran|whole step)", out, re.M)
    assert rows == ["first", "last", "smaller rows", "in no layer", "nothing ran", "whole step"]
    every, whole = re.search(r"All rows: ([\d.]+) ms. A step took ([\d.]+)\s+ms", out).groups()
    assert float(every) == pytest.approx(float(whole), rel=0.01)
    assert re.search(r"Best of this machine, measured now: \d+ GFLOP/s", out)
    assert "Largest gap: " in out


def test_a_profile_of_a_loop_shows_its_layer(millrace, tmp_path, hasty):
    made = mr.Sequential([mr.Input((9, 5)), mr.layers.LSTM(16, name="lstm"), mr.layers.Dense(2, name="last")])
    made.compile("sgd", "mse")
    made.save(tmp_path / "loop.safetensors")
    out, _, code = millrace("profile", tmp_path / "loop.safetensors", "--steps", 1)
    assert code == 0
    assert re.search(r"^lstm +forward +0?\.?\d+", out, re.M)


@pytest.mark.parametrize("name", ["memory_network", "sentiment", "perceptron"])
def test_random_numbers_fit_the_inputs_of_every_kind_of_network(name):
    ready = networks.ready(name, 3)
    arrays = ready.arrays()
    for value, array in zip(ready.model.training_steps.train.graph.inputs, arrays, strict=True):
        assert array.dtype == value.dtype and len(array) == 3
    assert np.isfinite(np.asarray(ready.model.training_steps.train(*arrays)))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("profile", "digitz"), "Did you mean 'digits'?"),
        (("explain", "--plan", "alexnt"), "Did you mean 'alexnet'?"),
        (("profile", "hopfield"), "not trained step by step"),
        (("profile", "no/such/run"), "does not exist"),
        (("profile", "gone.safetensors"), "does not exist"),
        (("profile", "digits", "--steps", "0"), "--steps must be at least 1"),
        (("profile", "digits", "--batch-size", "-1"), "--batch-size must be at least 1"),
        (("profile", "digits", "--steps", "some"), "--steps"),
    ],
)
def test_what_cannot_be_profiled_is_told_in_words(millrace, arguments, said):
    out, err, code = millrace(*arguments)
    assert code == 2 and said in err and not out


def test_a_file_that_is_no_model_and_a_model_that_is_not_compiled_are_told_apart(millrace, tmp_path):
    (tmp_path / "notes.txt").write_text("not a model")
    assert "damaged or no safetensors file" in millrace("profile", tmp_path / "notes.txt")[1]
    made = mr.Sequential([mr.Input((4,)), mr.layers.Dense(2)])
    made.save(tmp_path / "bare.safetensors")
    assert "does not say how its model is trained" in millrace("profile", tmp_path / "bare.safetensors")[1]


def test_the_doctor_says_what_is_here(millrace, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS_FOR_A_TEST", "1")
    out, _, code = millrace("doctor")
    assert code == 0
    for name in (
        "versions",
        "platform",
        "processor",
        "cores",
        "memory",
        "engine",
        "YNNPACK",
        "routines",
        "allocator",
        "cache",
    ):
        assert re.search(rf"^{name} ", out, re.M), name
    assert f"numpy {np.__version__}" in out.replace("\n", " ")
    assert "XLA_FLAGS_FOR_A_TEST=1" in out


def test_the_doctor_tells_its_facts_in_chinese(monkeypatch):
    from millrace.doctor import chinese, english

    monkeypatch.setattr(doctor.machine, "settings", dict)
    spoken, told = (dict(doctor.facts({}, language.FACTS)) for language in (english, chinese))
    assert list(told)[:5] == ["版本", "平台", "处理器", "CPU 核", "内存"] and len(told) == len(spoken)
    assert told["平台"] == spoken["platform"] and told["处理器"] == spoken["processor"]  # values stay
    assert not re.search(r"[a-z]+ (that|in|on|is|of) ", " ".join(told.values()))
    assert told["环境设置"].startswith("环境变量中没有")


def test_the_doctor_calls_an_unsafe_library_unsafe():
    assert doctor.ynnpack("cpu", "0.10.2").startswith("UNSAFE in jaxlib 0.10.2, so it is never used")
    assert doctor.ynnpack("cpu", "0.10.1").startswith("no fault known in jaxlib 0.10.1; in use")
    assert doctor.ynnpack("gpu", "0.10.2") == "not used on gpu"


def test_the_doctor_finds_a_cache_that_cannot_be_written(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "program").write_bytes(b"x" * 2**20)
    assert "1.0 MiB in 1 files, writable" in doctor.cache(str(kept), kept)
    assert "chosen by JAX's own setting" in doctor.cache(str(kept), tmp_path)
    assert "every run compiles anew" in doctor.cache(None, kept)
    found = machine.kept(tmp_path / "kept" / "program" / "below")
    assert not found.writable and found.files == 0


def test_without_jax_the_doctor_says_so_and_goes_on(millrace, monkeypatch):
    from millrace.ir.errors import ArgumentError

    def absent(name):
        raise ArgumentError("the XLA engine needs JAX")

    monkeypatch.setattr(doctor, "engine_named", absent)
    out, _, code = millrace("doctor")
    assert code == 0 and "numpy alone: the XLA engine needs JAX" in out.replace("\n", " ")
    _, err, code = millrace("doctor", "--verify")
    assert code == 2 and "needs JAX" in err


def examining_only(monkeypatch, *ops):
    from millrace.engines import verify

    monkeypatch.setattr(verify, "operations", lambda: list(ops))


def test_verify_ends_well_where_the_engines_agree(millrace, monkeypatch):
    examining_only(monkeypatch, Relu)
    out, _, code = millrace("doctor", "--verify")
    assert code == 0
    assert "Both engines agree on all of them." in out
    assert "results of 1 operations compared" in out


def test_verify_ends_with_1_and_names_a_wrong_lowering(millrace, monkeypatch):
    examining_only(monkeypatch, Relu)
    monkeypatch.setattr(Relu, "lower", lambda self, low, x: low.jnp.maximum(x, 0) * np.asarray(1.25, x.dtype))
    out, _, code = millrace("doctor", "--verify")
    assert code == 1
    assert "DIFFERENT: Relu, sample 1 (float32[3, 4]):" in out
    assert "allowed" in out and "do not trust" in out.replace("\n", " ")
