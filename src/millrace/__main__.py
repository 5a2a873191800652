"""`python -m millrace` and the `millrace` command: what is asked, or, where that cannot be imported, the doctor."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command; where something that it needs cannot be imported, say why and how to mend it."""
    if sys.argv[1:2] == ["doctor"] and disturbed():
        sys.exit(doctor_instead(sys.argv[1:]))
    try:
        from millrace.cli.main import main as command
    except Exception:  # absent, half installed, hidden by a file of the user's, or too new for this Python
        if os.environ.get("MILLRACE_DEBUG"):
            raise
        sys.exit(doctor_instead(sys.argv[1:]))
    command()


def disturbed() -> bool:
    """Whether a file in the folder that is searched first has the name of one of Python's own modules."""
    own = getattr(sys, "stdlib_module_names", ())
    try:
        names = os.listdir(sys.path[0] or os.curdir)
    except (OSError, IndexError):
        return False
    return any(name.endswith(".py") and name[:-3] in own for name in names)


def doctor_instead(arguments: list[str]) -> int:
    """The doctor in a process of its own: in this one, modules that it needs may be the wrong ones. Its exit code."""
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "doctor", "alone.py")
    path = [os.path.abspath(entry) if entry else os.getcwd() for entry in sys.path]
    environment = dict(os.environ, MILLRACE_DOCTOR_PATH=os.pathsep.join(path))
    words = [sys.executable, "-I", program, *arguments]
    sys.stdout.flush()
    if os.name == "nt":
        words = [f'"{word}"' for word in words]  # Windows hands the words on as one line
    return os.spawnve(os.P_WAIT, sys.executable, words, environment)


if __name__ == "__main__":
    main()
