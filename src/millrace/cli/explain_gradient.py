"""`millrace explain --gradient`: a formula differentiated step by step."""

from __future__ import annotations

from pathlib import Path

from millrace.cli.pages import give


def explain_gradient(expression: str, wrt: str | None, html: Path | None, lang: str) -> None:
    """Print or write how `expression` is differentiated by the names in `wrt`, its first name unless given.

    Raises ArgumentError for what is no formula, and FileError where the page cannot be written.
    """
    from millrace.explain.derivation import derive
    from millrace.explain.derivation_page import derivation_page

    give(derivation_page(derive(expression, wrt), lang), html)
