"""What the documents say of the house is true: links, tables, references."""

import re
from pathlib import Path

import millrace as mr

ROOT = Path(__file__).parent.parent


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


def test_every_idea_is_in_the_page_on_explanations():
    from millrace.concepts import CONCEPTS
    from millrace.words import words

    shown = (ROOT / "docs" / "explain.md").read_text()
    for name in CONCEPTS:
        lead = words("concepts")[name]["lead"].replace("\n", " ")
        assert f"| `{name}` | {lead} |" in shown, name


def test_every_link_in_the_documents_leads_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_no_document_holds_a_placeholder():
    """A line that is one bare word in capitals, such as RESULTS, is where something was to be filled in."""
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        bare = [line for line in page.read_text("utf-8").splitlines() if re.fullmatch(r"[A-Z][A-Z_]{2,}\.? *", line)]
        assert not bare, f"{page.name} has {bare}"


def test_public_functions_say_what_they_do():
    for name in dir(mr):
        thing = getattr(mr, name)
        if not name.startswith("_") and callable(thing) and getattr(thing, "__module__", "").startswith("millrace"):
            assert (thing.__doc__ or "").strip(), f"mr.{name} has no docstring"
