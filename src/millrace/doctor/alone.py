"""The doctor as a program of its own, for when the command itself cannot be imported.

It is started with `python -I`, so that no file of the user's takes the place of a module that it needs, and with the
module path of who started it in MILLRACE_DOCTOR_PATH.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

if not __package__:  # this very Millrace, whichever others there are, and nothing of it but this room
    millrace = ModuleType("millrace")
    millrace.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    sys.modules["millrace"] = millrace

from millrace.doctor.examination import examine
from millrace.doctor.finding import ERROR, NOTE
from millrace.doctor.mending import python
from millrace.doctor.reading import surroundings
from millrace.doctor.report import LANGUAGES, described, looked_at, report, wrapped


def main(arguments: list[str]) -> int:
    """`doctor` prints everything; any other command only what keeps it from running. The exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that lacks a letter
    here = surroundings()
    found = examine(here)
    if arguments[:1] == ["doctor"]:
        language = asked_language(arguments)
        print(report(found, language))
        print("\n" + looked_at(here, language))
        return int(any(one.level == ERROR for one in found))
    telling = [one for one in found if one.level == ERROR] or [one for one in found if one.level != NOTE]
    print("millrace cannot run:", file=sys.stderr)
    print("\n\n".join("\n".join(described(one, "en", 80)) for one in telling[:2]), file=sys.stderr)
    print("\n".join(wrapped(f"`{python(here)} -m millrace doctor` says more.", 80)), file=sys.stderr)
    return 2


def asked_language(arguments: list[str]) -> str:
    """The language after --lang, English unless it is one that there is."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    told = words[words.index("--lang") + 1] if "--lang" in words[:-1] else "en"
    return told if told in LANGUAGES else "en"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
