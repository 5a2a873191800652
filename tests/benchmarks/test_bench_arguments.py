"""What can be asked for, and what is said to those who ask for something else."""

import sys

import pytest
from benchmarks.__main__ import TARGET, arguments, command_line
from benchmarks.roster import ROSTER, chosen
from benchmarks.workloads import EVERY, NETWORKS, WORKLOADS, wanted


def names(ones):
    return [one.name for one in ones]


def test_workloads_are_named_by_patterns_and_groups_in_the_order_of_the_list():
    assert names(wanted("mlp, alexnet*,")) == [n for n in names(EVERY) if n == "mlp" or n.startswith("alexnet")]
    assert names(wanted("startup")) == [
        "start_digits_cold", "start_digits_cached", "start_alexnet32_cold", "start_alexnet32_cached",
    ]  # fmt: skip
    assert wanted(None) == EVERY and len(set(names(EVERY))) == len(EVERY)
    assert names(wanted("lstm,lstm")) == ["lstm"]


def test_millrace_is_always_among_the_contenders():
    assert names(chosen("torch")) == ["millrace", "torch"]
    assert names(chosen("keras-*")) == ["millrace", "keras-jax", "keras-tf", "keras-tf-xla"]
    assert chosen(None) == ROSTER


def test_modes_take_part_where_they_mean_something():
    able = {c.name: [one.name for one in EVERY if c.takes(one)] for c in ROSTER}
    assert "lenet" in able["torch-cl"] and "mlp" not in able["torch-cl"]
    assert not any("predict" not in name for name in able["torch-freeze"])
    assert "import" in able["torch"] and "import" not in able["torch-compile"]
    assert "start_digits_cold" in able["torch-compile"] and "start_digits_cold" not in able["torch-tuned"]
    assert able["millrace"] == names(EVERY)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--rounds", "many"], "invalid int value: 'many'"),
        (["--only", "alexnet31"], "no workload is called 'alexnet31'. There are: alexnet32, alexnet128"),
        (["--only", ","], "a comma-separated list of names"),
        (["--contenders", "tenserflow"], "no contender is called 'tenserflow'. There are: millrace"),
        (["--python", "/no/such/python"], "/no/such/python does not run. It should be a Python with PyTorch"),
    ],
)
def test_wrong_arguments_end_in_a_message(given, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        arguments(given)
    assert stopped.value.code == 2 and said in capsys.readouterr().err.replace("\n", " ")


def test_millrace_alone_needs_no_peers():
    given = arguments(["--contenders", "millrace", "--python", "/no/such/python", "--rounds", "2", "--only", "mlp"])
    assert names(given.contenders) == ["millrace"] and given.rounds == 2


def test_an_interpreter_that_runs_is_taken():
    assert arguments(["--python", sys.executable]).python == sys.executable


def test_the_command_that_is_kept_makes_the_same_run_elsewhere():
    assert command_line(TARGET, []) == "make bench"
    assert command_line(TARGET, ["--python", "here/python", "--only", "mlp"]) == "make bench ARGS='--only mlp'"
    assert command_line(TARGET, ["--only", "lstm*", "--python=here"]) == """make bench ARGS='--only '"'"'lstm*'"'"''"""


def test_arithmetic_is_counted_as_published():
    # Krizhevsky et al.'s network has 724 million multiply-adds an image (with groups), He et al.'s ResNet-18 1.8
    # billion at 224 pixels, so 1.8 / (224 / 64) ** 2 at 64
    assert NETWORKS["alexnet"].forward == pytest.approx(0.724e9, rel=0.01)
    assert NETWORKS["resnet18"].forward == pytest.approx(1.82e9 * (64 / 224) ** 2, rel=0.02)
    assert NETWORKS["mlp"].forward == 784 * 512 + 512 * 512 + 512 * 10
    assert NETWORKS["lstm"].forward == 28 * (28 + 128) * 4 * 128 + 128 * 10
    # a training step: three products each, but for the gradient of the input
    assert WORKLOADS["mlp"].flop == 2 * 128 * (3 * NETWORKS["mlp"].forward - 784 * 512)
    assert WORKLOADS["alexnet32"].flop == pytest.approx(132e9, rel=0.01)
    assert WORKLOADS["mlp_predict64"].flop == 2 * 64 * NETWORKS["mlp"].forward
