"""`millrace show`: a run as one graph."""

from __future__ import annotations

import textwrap
from pathlib import Path

from millrace.cli.pages import may_be_written
from millrace.explain.run_drawing import page
from millrace.ir.errors import FileError
from millrace.training.checkpoint import write_whole
from millrace.training.parts import program_text
from millrace.training.program_file import levels_in_words, load_program
from millrace.training.run import Run


def show_run(path: Path, html: Path | None) -> None:
    """Print the regions and queues of a run; with `html`, draw them into a file too."""
    if not path.is_dir():
        kind = "is a file" if path.exists() else "does not exist"
        raise FileError(f"{path} {kind}: expected a run directory that `millrace train` made.")
    may_be_written(html)
    run = Run(path)
    graphs = load_program(run.program)
    words = levels_in_words(run.program)
    print(program_text(graphs, path.name), end="")
    if words:
        print("\n" + textwrap.fill(words, 80))
    if html is not None:
        write_whole(html, page(graphs, f"{path.name} as one graph", words).encode())
        print(f"\nDrawing: {html}")
