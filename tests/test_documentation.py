"""What the documents show is what happens."""

import re
from pathlib import Path

import numpy as np

import millrace as mr

ROOT = Path(__file__).parent.parent


def blocks(name, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.S)


def test_the_page_of_use_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    scope = {
        "x_train": rng.random((96, 28, 28, 1)).astype(np.float32), "y_train": rng.integers(0, 10, 96),
        "x_test": rng.random((32, 28, 28, 1)).astype(np.float32), "y_test": rng.integers(0, 10, 32),
    }  # fmt: skip
    for block in blocks("README.md"):
        exec(compile(block, "README.md", "exec"), scope)
    printed = capsys.readouterr().out
    first = blocks("README.md")[0]
    shown = [line[2:] for line in first.splitlines() if line.startswith("# ")]
    assert "\n".join(shown) in printed
    assert scope["model"].predict(scope["x_test"][:3]).shape == (3, 10)
    assert scope["Scale"]()(mr.Input((4,))).shape[1] == 4


def test_the_page_on_training_runs_as_written():
    scope = {}
    try:
        for block in blocks("docs/training.md"):
            exec(compile(block, "docs/training.md", "exec"), scope)
    finally:
        mr.set_dtype_policy(None)
    assert set(scope["state"]) == {"conv.weight", "conv.bias", "fc.weight", "fc.bias"}
    assert scope["state"]["conv.weight"].shape == (4, 1, 3, 3)


def test_the_page_on_running_prints_what_it_shows(capsys):
    scope = {}
    for block in blocks("docs/running.md"):
        exec(compile(block, "docs/running.md", "exec"), scope)
    page = (ROOT / "docs" / "running.md").read_text()
    shown = page.split("prints\n```\n")[1].split("  ...")[0]
    assert shown.strip() and capsys.readouterr().out.startswith(shown)


def test_every_test_that_the_table_of_faults_names_is_there():
    table = (ROOT / "docs" / "running.md").read_text().split("## Faults")[1]
    named = re.findall(r"`(tests/[\w/]+\.py)`", table)
    assert len(named) > 15 and all((ROOT / name).is_file() for name in named), named


def test_the_names_that_the_page_on_training_lists_are_known():
    from millrace.training.losses import Loss
    from millrace.training.metrics import Metric

    page = (ROOT / "docs" / "training.md").read_text()
    listed = page.split("- **Losses**")[1].split("- **Optimizers**")[0]
    losses, metrics = listed.split("- **Metrics**")
    known = set(Loss.known) | {"mse", "mae", "label_smoothing"}
    assert not set(re.findall(r"`([a-z_0-9]+)`", losses)) - known
    shown = set(re.findall(r"`([a-z_0-9]+)`", metrics)) - {"accuracy"}
    assert not shown - set(Metric.known)


def test_the_examples_of_how_to_add_things_work():
    from millrace.ir.core import OPS
    from millrace.ops.elementwise import Unary
    from millrace.training.optimizers import Optimizer, optimizer

    operation, learner = blocks("ARCHITECTURE.md")
    scope = {"Unary": Unary, "Optimizer": Optimizer, "mr": mr}
    exec("from dataclasses import dataclass\n" + operation + learner, scope)
    try:
        x = mr.Input((), name="x")
        (slope,) = mr.gradients(mr.sum(scope["Cube"]()(x)), [x])
        assert mr.function([x], slope)(np.float32([2.0]))[0] == 12.0
        assert isinstance(optimizer("signsgd"), scope["SignSGD"])
    finally:
        del OPS["Cube"], Optimizer.known["signsgd"]


def test_the_references_are_up_to_date():
    from millrace.explain.reference import layer_reference, reference

    assert (ROOT / "docs" / "ops.md").read_text() == reference(), "run `make docs`"
    assert (ROOT / "docs" / "layers.md").read_text() == layer_reference(), "run `make docs`"


def test_every_layer_is_in_the_reference_with_its_use_and_its_source():
    shown = (ROOT / "docs" / "layers.md").read_text()
    for name in mr.layers.__all__:
        layer = getattr(mr.layers, name)
        if isinstance(layer, type) and issubclass(layer, mr.layers.Layer) and layer is not mr.layers.Layer:
            assert f"### {name}\n" in shown and (layer.__doc__ or "").strip(), name
            assert "Source:" in layer.__doc__ or name == "Cell", f"{name} does not say where it comes from"


def test_every_link_in_the_documents_leads_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_public_functions_say_what_they_do():
    for name in dir(mr):
        thing = getattr(mr, name)
        if not name.startswith("_") and callable(thing) and getattr(thing, "__module__", "").startswith("millrace"):
            assert (thing.__doc__ or "").strip(), f"mr.{name} has no docstring"
