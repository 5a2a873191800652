"""The house: which room may import which, and that no room has a door to nowhere."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "millrace"

# A room may import the rooms in its set, and itself.
ALLOWED = {
    "__main__": {"cli"},
    "doctor": set(),
    "native": set(),
    "ir": set(),
    "words": {"ir"},
    "diagnosis": {"ir", "words"},
    "ops": {"ir", "native"},
    "functional": {"ir", "ops"},
    "engines": {"ir", "doctor", "native"},
    "layers": {"ir", "ops", "functional"},
    "data": {"ir", "ops"},
    "training": {"ir", "ops", "functional", "engines", "layers", "data", "diagnosis"},
    "models": {"ir", "functional", "engines", "layers", "data", "training"},
    "explain": {"ir", "ops", "functional", "engines", "layers", "data", "training", "models", "diagnosis", "words"},
    "experiments": {"ir", "layers", "data", "training", "models", "explain"},
    "concepts": {
        "ir",
        "ops",
        "functional",
        "engines",
        "layers",
        "data",
        "training",
        "models",
        "explain",
        "experiments",
        "words",
    },
    "look": {"ir", "functional", "engines", "layers", "data", "training", "models", "explain", "words"},
    "api": {"ir", "functional", "engines", "layers", "training", "inference"},
    "inference": {"ir", "ops", "functional", "engines", "layers", "data", "training", "models"},
    "cli": {
        "ir",
        "engines",
        "layers",
        "data",
        "training",
        "models",
        "explain",
        "experiments",
        "concepts",
        "look",
        "inference",
        "doctor",
        "words",
    },
}

FILES = sorted(SOURCE.rglob("*.py"))


def module_name(path):
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in FILES}


def imports(path, typing_too=False):
    """Every module that a file imports, wherever in the file it does so."""
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing_too:
            skipped |= {id(inner) for inner in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name if name in MODULES else node.module for name in names]
    return found


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "millrace" else None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_arrows_point_one_way(path):
    here = room(module_name(path))
    if here is None:
        return
    for module in imports(path, typing_too=True):
        there = room(module)
        if module.startswith("millrace.") and there != here:
            assert there in ALLOWED[here], f"{path.name} ({here}) imports {module}"


def test_every_room_is_known():
    assert {room(m) for m in MODULES} - {None} == set(ALLOWED)


def test_the_files_of_the_house_import_each_other_in_no_circle():
    graph = {module_name(path): {m for m in imports(path, typing_too=True) if m in MODULES} for path in FILES}
    del graph["millrace"]
    done, on_the_way = set(), []

    def visit(module):
        if module in on_the_way:
            raise AssertionError(" -> ".join([*on_the_way[on_the_way.index(module) :], module]))
        if module in done or module not in graph:
            return
        on_the_way.append(module)
        for other in sorted(graph[module] - {module}):
            visit(other)
        on_the_way.pop()
        done.add(module)

    for module in sorted(graph):
        visit(module)


def test_jax_is_imported_by_the_compiler_alone():
    users = {module_name(path) for path in FILES for m in imports(path) if m.split(".")[0] in ("jax", "jaxlib")}
    assert users == {"millrace.engines.xla"}


def test_the_language_uses_no_linear_algebra():
    for path in (SOURCE / "ir").glob("*.py"):
        assert "linalg" not in path.read_text() and "einsum" not in path.read_text()


def test_no_room_is_called_utils():
    assert not any("util" in path.stem or "helper" in path.stem or "misc" in path.stem for path in FILES)


def test_files_hold_one_idea():
    long = {str(path.relative_to(SOURCE)): n for path in FILES if (n := len(path.read_text().splitlines())) > 550}
    assert not long, f"too long for one idea: {long}"
