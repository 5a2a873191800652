"""How a command ends that cannot go on: what it says, with which exit code."""

from __future__ import annotations

import os
import re
import sys

from cyclopts import App, CycloptsError, MissingArgumentError

from millrace.cli.paragraphs import folded
from millrace.ir.syntax import printable

HELP = "`millrace --help` lists the commands, `millrace COMMAND --help` its options."


def mistyped(app: App, error: CycloptsError) -> str:
    """What is wrong with a command, and where its help is."""
    return f"{wrong(app, error)}\n  {HELP}"


def wrong(app: App, error: CycloptsError) -> str:
    """What is wrong; a value that is missing is named as the help names it, and said to be what."""
    argument = error.argument
    if not isinstance(error, MissingArgumentError) or argument is None or argument.index is None or error.keyword:
        return str(error).strip()
    command = " ".join(error.command_chain or ())
    name = argument.name.lstrip("-")
    documented = app[command].assemble_argument_collection(parse_docstring=True)
    says = next((one.parameter.help or "" for one in documented if one.index == argument.index), "")
    first = re.split(r"(?<=\w)[.;:](?:\s|$)", says.strip())[0]
    return f"{command} needs {name.upper()}: {first[:1].lower()}{first[1:]}."


def fail(message: str, code: int) -> None:
    lines = printable(f"millrace: {message}")
    print(folded(lines) if sys.stderr.isatty() else lines, file=sys.stderr)
    leave(code)
    raise SystemExit(code)


def leave(code: int) -> None:
    """End at once where others take part: an orderly end waits for them, and they wait for this process."""
    from millrace.engines.processes import processes

    if processes().count > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
