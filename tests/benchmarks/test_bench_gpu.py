"""The benchmark of training on a GPU: what it refuses, starts and says; and all of it on a processor."""

import re

import pytest
from benchmarks.contenders.millrace import Training, build
from benchmarks.device import asked
from benchmarks.gpu_table import HEADINGS, SUMMARY, cells, markdown, share_text, summary_cells
from benchmarks.live import Died, environment
from benchmarks.roster import GPU_ROSTER, PEERS, gpu_environment
from benchmarks.serve import Task
from benchmarks.workloads import GPU, TOYS, WORKLOADS

import millrace as mr
from benchmarks import gpu
from millrace.cli.profile import most_computed_in
from millrace.engines import peak


def found(platform):
    """What `asked` would say on a machine of that kind."""
    return lambda python, peer, environment, *more: {"platform": platform, "name": "Some GPU", "products": {}}


@pytest.fixture
def policy():
    yield
    mr.set_dtype_policy(None)


def test_alexnets_step_is_measured_at_three_batches_in_two_dtypes():
    assert [one.name for one in GPU] == [
        "alexnet128_float32", "alexnet128_bfloat16", "alexnet512_float32", "alexnet512_bfloat16",
        "alexnet1024_float32", "alexnet1024_bfloat16",
    ]  # fmt: skip
    assert {one.flop / one.batch for one in GPU} == {WORKLOADS["alexnet128"].flop / 128}
    assert "batch 512, bfloat16" in WORKLOADS["alexnet512_bfloat16"].about


@pytest.mark.parametrize(("platform", "peers"), [("cpu", "millrace"), ("cpu", "torch")])
def test_without_a_gpu_it_says_who_lacks_it_and_what_to_do(monkeypatch, capsys, platform, peers):
    monkeypatch.setattr(gpu, "asked", found(platform))
    monkeypatch.setattr(gpu, "need_peers", lambda *_: None)
    with pytest.raises(SystemExit) as stopped:
        gpu.arguments(["--contenders", peers])
    said = " ".join(capsys.readouterr().err.split())
    assert stopped.value.code == 2 and "finds no GPU here" in said and "jax[cuda12]" in said and "--cpu runs" in said


def test_a_pytorch_without_a_gpu_is_named(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "asked", lambda python, peer, *_: {"platform": "cpu" if peer == "torch" else "gpu"})
    monkeypatch.setattr(gpu, "need_peers", lambda *_: None)
    with pytest.raises(SystemExit):
        gpu.arguments(["--contenders", "torch-cl", "--python", "/peers/python"])
    said = " ".join(capsys.readouterr().err.split())
    assert "torch of /peers/python finds no GPU here: --python names a Python whose PyTorch is built for CUDA" in said


def test_a_framework_that_does_not_start_is_named(monkeypatch, capsys):
    def failing(python, peer, *_):
        raise Died("ModuleNotFoundError: No module named 'jax'")

    monkeypatch.setattr(gpu, "asked", failing)
    with pytest.raises(SystemExit):
        gpu.arguments(["--contenders", "millrace"])
    assert "does not start: ModuleNotFoundError: No module named 'jax'" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--only", "alexnet127*"], "no workload is called 'alexnet127*'. There are: alexnet128_float32"),
        (["--contenders", "keras-tf"], "no contender is called 'keras-tf'. There are: millrace, torch, torch-cl"),
        (["--cpu", "--only", "alexnet128*"], "There are: alexnet_toy4_float32"),
    ],
)
def test_wrong_arguments_end_in_a_message(given, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        gpu.arguments(given)
    assert stopped.value.code == 2 and said in " ".join(capsys.readouterr().err.split())


def test_with_a_gpu_each_contender_gets_the_first_that_is_allowed(monkeypatch):
    monkeypatch.setattr(gpu, "asked", found("gpu"))
    monkeypatch.setattr(gpu, "need_peers", lambda *_: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    given = gpu.arguments(["--contenders", "torch-cl,jax"])
    assert [one.name for one in given.contenders] == ["millrace", "torch-cl", "jax"] and given.only == GPU
    for one in given.contenders:
        variables = environment(one.environment)
        assert variables["CUDA_VISIBLE_DEVICES"] == "3" and variables["JAX_PLATFORMS"] == "cuda"
        assert variables["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"  # several share its memory
    assert environment(given.contenders[2].environment)["JAX_DEFAULT_MATMUL_PRECISION"] == "highest"
    assert gpu_environment({})["CUDA_VISIBLE_DEVICES"] == "0"
    assert environment({})["CUDA_VISIBLE_DEVICES"] == ""  # all other benchmarks stay on the processor


def test_who_computes_float32_with_fewer_bits_is_shown_and_is_no_peer():
    fewer = [one for one in GPU_ROSTER if one.tf32]
    assert [one.name for one in fewer] == ["torch-compile-cl-tf32", "jax-tf32"]
    assert not PEERS & {one.name for one in fewer} and {"torch-max-cl", "torch-compile-cl", "jax"} <= PEERS
    able = {one.name for one in GPU if fewer[0].takes(one)}
    assert able == {"alexnet128_float32", "alexnet512_float32", "alexnet1024_float32"}
    assert all(one.options["resident"] for one in GPU_ROSTER)


RESULT = {
    "name": "alexnet128_bfloat16", "about": "alexnet", "unit": "images", "peak": 800e12, "doubts": [], "heats": [],
    "contenders": [
        {"name": "millrace", "error": "", "median": 0.002, "per_second": 64_000.0, "gflops": 264_000.0},
        {
            "name": "torch-cl", "error": "", "median": 0.003, "per_second": 42_667.0, "gflops": 176_000.0,
            "ratio": {"median": 1.5, "low": 1.4, "high": 1.6, "coverage": 0.96, "count": 9},
        },
        {
            "name": "jax-tf32", "error": "", "median": 0.001, "per_second": 128_000.0, "gflops": 528_000.0,
            "ratio": {"median": 0.5, "low": 0.4, "high": 0.6, "coverage": 0.96, "count": 9},
        },
    ],
}  # fmt: skip


def test_the_share_of_the_peak_is_arithmetic_by_the_best_matrix_product():
    own, peer, fewer = RESULT["contenders"]
    assert dict(zip(HEADINGS, cells(RESULT, own), strict=True)) == {
        "contender": "millrace", "a step": "2.00 ms", "images/s": "64,000", "TFLOP/s": "264.", "of the peak": "33.0%",
        "Millrace is x as fast": "", "n": "",
    }  # fmt: skip
    assert share_text(RESULT, peer) == "22.0%" and share_text(RESULT, fewer) == ""
    assert dict(zip(SUMMARY, summary_cells(RESULT), strict=True)) == {
        "workload": "alexnet128_bfloat16", "images/s": "64,000", "of the peak": "33.0%", "best peer": "torch-cl",
        "its images/s": "42,667", "Millrace is x as fast": "1.50 [1.40, 1.60]", "n": "9",
    }  # fmt: skip


def test_a_kept_run_names_the_gpu_its_driver_and_its_best_products():
    report = {
        "date": "2026-01-02 03:04:05", "command": "make bench-gpu", "revision": "abc", "rounds": 9, "interval": "95%",
        "machine": {"processor": "P", "cores": 2, "memory_gib": 24, "system": "S", "governor": "g", "load": []},
        "versions": {"millrace": {"jax": "0.10.1"}, "peers": {"torch": "2.13.0"}}, "workloads": [RESULT], "toy": False,
        "devices": {"torch": {"platform": "gpu", "name": "NVIDIA X", "cuda": "12.9", "cudnn": "91000", "products": {}}},
        "driver": "NVIDIA UNIX 580", "peak": {"bfloat16": {"flops": 800e12, "of": "torch"}},
    }  # fmt: skip
    text = markdown(report)
    assert "device of torch: gpu, NVIDIA X, cuda 12.9, cudnn 91000" in text and "driver: NVIDIA UNIX 580" in text
    assert "bfloat16 800. TFLOP/s (torch)" in text and "| torch-cl | 3.00 ms |" in text


def test_a_mixed_step_computes_its_products_in_bfloat16_on_arrays_that_stay_on_the_device(policy):
    workload = next(one for one in TOYS if one.dtype == "bfloat16")
    made = build(Task(workload, {"resident": True}))
    assert isinstance(made, Training) and all(hasattr(array, "devices") for array in made.arrays)
    assert most_computed_in(made.step.simplified.bind({"batch": workload.batch})) == "bfloat16"
    weights = [v for v in made.step.graph.variables if "kernel" in v.name]
    assert len(weights) >= 8 and {v.dtype for v in weights} == {"float32"}


def test_the_best_product_is_measured_in_either_dtype_and_a_gpu_is_given_larger_ones(monkeypatch):
    monkeypatch.setattr(peak, "SHAPES", ((64, 64, 64),))
    monkeypatch.setattr(peak, "SECONDS", 0.01)
    assert all(peak.best_product(dtype) > 1e6 for dtype in ("float32", "bfloat16"))
    monkeypatch.setattr(peak, "is_processor", lambda: False)
    monkeypatch.setattr(peak, "product", lambda shape, dtype: float(min(shape)))
    assert peak.best_product("bfloat16") == 16384


@pytest.mark.slow
def test_the_processor_can_stand_in_for_a_gpu_at_toy_sizes(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu, "mkdtemp", lambda: str(tmp_path))
    monkeypatch.setattr("benchmarks.interleave.TURN", 0.01)
    monkeypatch.setattr(
        "sys.argv", ["bench", "--cpu", "--contenders", "millrace", "--only", "alexnet_toy4_b*", "--rounds", "2"]
    )
    gpu.main()
    printed = capsys.readouterr().out
    assert re.search(r"millrace +\d+(\.\d+)? ms +[\d,.]+ +[\d.]+ +\d+\.\d%", printed)
    assert "CHECK" not in printed and "left out" not in printed and "failed" not in printed
    (kept,) = tmp_path.glob("*-gpu.md")
    assert "tried at toy sizes on a processor" in kept.read_text() and "device of millrace: cpu" in kept.read_text()


def test_what_cannot_be_asked_is_told():
    with pytest.raises(Died, match="No such file"):
        asked("/no/such/python", "torch", {})
