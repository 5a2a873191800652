"""Pages become a site: MkDocs does the work, and says which links lead nowhere."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

from website.staging import stage

HERE = Path(__file__).parent


class Faults(logging.Handler):
    """Keeps what MkDocs warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def build(target: Path, reference: Mapping[str, str]) -> list[str]:
    """Build the site into `target`; what is wrong with it, such as a dead link.

    reference: pages that Millrace makes of itself, by path, as Markdown.
    """
    from mkdocs.commands.build import build as built
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort

    faults, log = Faults(), logging.getLogger("mkdocs")
    log.addHandler(faults)
    try:
        with tempfile.TemporaryDirectory() as place:
            stage(Path(place), reference)
            (Path(place) / "website").mkdir(exist_ok=True)
            (Path(place) / "website" / "site.css").write_text((HERE / "site.css").read_text("utf-8"), "utf-8")
            config = load_config(str(HERE / "mkdocs.yml"), docs_dir=place, site_dir=str(target.resolve()))
            try:
                built(config)
            except Abort as error:
                if not faults.said:
                    faults.said.append(str(error))
    finally:
        log.removeHandler(faults)
    return faults.said
