"""`millrace look`: serves the page to touch."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from millrace.cli.subjects import subject
from millrace.ir.errors import one_of
from millrace.look.looking import Looking
from millrace.look.server import LookServer
from millrace.look.views import Views
from millrace.words import LANGUAGES


def look_at(model: str, image: Path | None, port: int, lang: str, browser: bool) -> None:
    """Serve the page until Ctrl-C.

    Raises ArgumentError for an unknown network, language or port, FileError or DataError for what cannot be read.
    """
    if lang not in LANGUAGES:
        raise one_of("language", lang, list(LANGUAGES))
    server = LookServer(Views(Looking(subject(model, image)), lang), port)
    print(f"The page is at {server.address}\nCtrl-C closes it.", flush=True)
    if browser:
        webbrowser.open(server.address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the page is closed.") from None
    finally:
        server.server_close()
