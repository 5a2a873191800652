"""Every example in the documents runs as it is written, and every command that they show is one."""

import codeop
import re
import shlex
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from cyclopts import MissingArgumentError
from PIL import Image

import millrace as mr

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/decisions/*.md")]
)
HOW_TO_ADD = "ARCHITECTURE.md"  # its examples need names that a file of operations has


def blocks(name, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.S)


def shell_lines(name):
    """The lines that start with `millrace`, in blocks that are no Python; a prompt and a comment left out."""
    text = (ROOT / name).read_text()
    for block in re.findall(r"```(?:console|sh|)\n(.*?)```", text, re.S):
        for line in block.splitlines():
            if re.match(r"(\$ )?millrace( |$)", line) and not re.match(r"millrace: ", line):
                yield line.removeprefix("$ ").split("  ")[0].split(" # ")[0]
    yield from re.findall(r"(?<!`)`(millrace [^`\n]+)`(?!`)", text)


def pictures(folder):
    for n in range(6):
        path = folder / "ab"[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 24, 3), 8 * n, np.uint8)).save(path)


def scope_of(page, tmp_path):
    """What a page takes for granted."""
    if page == "docs/data.md":
        pictures(tmp_path / "photos")
        from millrace.cli.main import main

        for command in ("data pack photos packed", "data stats packed --size 16 --out stats.npz"):
            with pytest.raises(SystemExit, match=r"^0$"):
                main(command.split())
    return {}


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page) and page != HOW_TO_ADD])
def test_the_examples_of_a_page_run_as_written(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = scope_of(page, tmp_path)
    try:
        for block in blocks(page):
            exec(compile(block, page, "exec"), scope)
    finally:
        mr.set_dtype_policy(None)
        mr.set_seed(0)
    if page == "README.md":
        assert scope["model"].predict(scope["digits"].x_validation[:3]).shape == (3, 10)
        assert scope["Scale"]()(mr.Input((4,))).shape[1] == 4
    if page == "docs/training.md":
        assert set(scope["state"]) == {"conv.weight", "conv.bias", "fc.weight", "fc.bias"}
        assert scope["state"]["conv.weight"].shape == (4, 1, 3, 3)


def test_the_first_hour_can_be_typed_into_a_prompt():
    for block in blocks("docs/first-hour.md"):
        waiting = []
        for line in [*block.splitlines(), ""]:
            waiting.append(line)
            if codeop.compile_command("\n".join(waiting), "<prompt>", "single") is not None:  # raises SyntaxError
                waiting = []
        assert not "".join(waiting), block


def test_the_page_of_use_prints_what_it_shows(capsys):
    first = blocks("README.md")[0]
    exec(compile(first, "README.md", "exec"), {})
    shown = [line[2:] for line in first.splitlines() if line.startswith("# ")]
    assert shown and "\n".join(shown) in capsys.readouterr().out


def test_the_page_on_running_prints_what_it_shows(capsys):
    exec(compile(blocks("docs/running.md")[0], "docs/running.md", "exec"), {})
    shown = (ROOT / "docs" / "running.md").read_text().split("prints\n```\n")[1].split("  ...")[0]
    assert shown.strip() and capsys.readouterr().out.startswith(shown)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_are_commands(page):
    from millrace.cli.main import app

    for line in shell_lines(page):
        words = shlex.split(line.rstrip("."))[1:]
        if any(word in ("...", "|") or word.startswith("[") for word in words):
            continue  # a form of commands, not one
        with suppress(MissingArgumentError):  # text names a command without all that it takes
            app.parse_args(words, exit_on_error=False, print_error=False)  # raises for what is no command or option


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
