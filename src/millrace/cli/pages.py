"""An explanation as it was asked for: in the terminal, or as a file."""

from __future__ import annotations

from pathlib import Path

from millrace.explain.page_html import write_page
from millrace.explain.page_terminal import show
from millrace.explain.pages import Page
from millrace.ir.errors import FileError
from millrace.words import words


def give(page: Page, html: Path | None) -> None:
    """Print a page, or write it to `html` and say so.  Raises FileError for a file that cannot be written."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if html is None:
        show(page, console)
        return
    write_page(page, html)
    console.print(words("page", page.language)["cli"]["written"].format(path=html), soft_wrap=True)


def may_be_written(html: Path | None) -> None:
    """Raise FileError for a folder, before much is computed for a page."""
    if html is not None and html.is_dir():
        raise FileError(f"{html} is a folder: give a file in it, such as {html / 'page.html'}.")
