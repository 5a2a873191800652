"""`python -m website [FOLDER]`: build the site into a folder, build/site unless given. A dead link ends it with 1."""

from __future__ import annotations

import sys
from pathlib import Path

from website.building import build
from website.reference import reference
from website.staging import ROOT


def said(line: str) -> None:
    """How far it is, in one line of the terminal."""
    print(f"\r{line:<78.78}", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"
    faults = build(target, reference(said))
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{target / 'index.html'}" if not faults else f"{len(faults)} faults: the site is not whole.")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
