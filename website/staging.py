"""A copy of the documents that a site is built from: the pages, the files they link to, and the reference."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
LISTED = "files.md"  # the page that lists a folder
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)(#[^)\s]*)?\)")


def pages() -> list[Path]:
    """Every document of the project, as paths in it."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks" / "README.md"]
    return sorted(path.relative_to(ROOT) for path in found)


def parted(text: str) -> str:
    """Markdown with an empty line before each list: some readers of Markdown need none, the site's does."""
    made: list[str] = []
    code = False
    for line in text.split("\n"):
        code ^= line.startswith("```")
        before = made[-1] if made else ""
        if not code and line.startswith("- ") and before and not before.startswith(("- ", " ")):
            made.append("")
        made.append(line)
    return "\n".join(made)


def stage(target: Path, reference: Mapping[str, str]) -> None:
    """Lay out in `target` what the site is built from; reference: further pages, by path, as Markdown.

    A link to a file that is no page, such as a source file, leads to a copy of it; one to a folder to a list of it.
    Raises FileNotFoundError for a link to nothing.
    """
    if target.exists():
        shutil.rmtree(target)
    for page in pages():
        put(target / page, linked(page, target))
    for name, text in reference.items():
        put(target / name, text)


def linked(page: Path, target: Path) -> str:
    """The text of a page, with what it links to beside it."""
    text = (ROOT / page).read_text("utf-8")
    for place, _ in LINK.findall(outside_code(text)):
        file = (ROOT / page.parent / place).resolve()
        if not file.exists():
            raise FileNotFoundError(f"{page} links to {place}, which is not there.")
        inside = file.relative_to(ROOT)
        if file.is_dir():
            list_folder(inside, target)
            text = text.replace(f"]({place})", f"]({place.rstrip('/')}/{LISTED})")
        elif file.suffix != ".md":
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / inside)
    return parted(text)


def list_folder(inside: Path, target: Path) -> None:
    """A page that lists a folder: its documents as links, other files by name."""
    listing = target / inside / LISTED
    if listing.exists():
        return
    put(listing, "")  # a document in the folder may link to the folder
    lines = [f"# {inside}", ""]
    for path in sorted((ROOT / inside).iterdir()):
        page = path.relative_to(ROOT)
        if path.suffix == ".md" and page not in pages():
            put(target / page, linked(page, target))
        lines.append(f"- [{path.name}]({path.name})" if path.suffix == ".md" else f"- `{path.name}`")
    put(listing, "\n".join(lines) + "\n")


def outside_code(text: str) -> str:
    """Markdown without its blocks of code, where brackets are no links."""
    return re.sub(r"```.*?```", "", text, flags=re.S)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
