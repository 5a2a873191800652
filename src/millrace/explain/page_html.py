"""An explanation as one HTML file: no script, no network; mathematics as MathML with its text beside it."""

from __future__ import annotations

import base64
import io
import re
from functools import lru_cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from millrace.explain.pages import Code, Figure, Listing, Math, Page, Part, Picture, Pictures, Text
from millrace.explain.pixels import colours, scaled
from millrace.training.checkpoint import write_whole
from millrace.words import words

TAGS = {"en": "en", "zh": "zh-Hans"}
BRACE = "border-left: 2px solid; border-radius: 6px; padding-left: 8px; margin: 4px 0"
LARGE = 240  # pixels that a picture is enlarged to at least, so that its pixels are seen as squares


def write_page(page: Page, path: Path) -> None:
    """Write a page to a file, all of it or none of it.  Raises FileError where it cannot be written."""
    write_whole(path, html(page).encode())


def html(page: Page) -> str:
    """The page as text."""
    return template().render(
        page=page, tag=TAGS[page.language], say=words("page", page.language), marked=marked, kind=kind, mathml=mathml,
        image=image, style=(files("millrace.explain") / "style.css").read_text("utf-8"),
    )  # fmt: skip


@lru_cache
def template() -> Any:
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((files("millrace.explain") / "page.html.j2").read_text("utf-8"))


def kind(part: Part) -> str:
    """Which part it is, for the template."""
    names = {Text: "text", Math: "math", Code: "code", Listing: "listing", Pictures: "pictures", Figure: "figure"}
    return names[type(part)]


def marked(text: str) -> Any:
    """Text with its code and strong words as HTML."""
    from markupsafe import Markup

    made = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(text))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", made))


def mathml(part: Math) -> Any:
    """The mathematics as MathML; None where it has no LaTeX, or LaTeX that cannot be turned into it."""
    from latex2mathml.converter import convert
    from markupsafe import Markup

    if not part.latex:
        return None
    try:
        made = convert(part.latex, display="block")
    except Exception:  # whatever a formula trips over in the converter, its text is still there
        return None
    # A brace grows with its cases only in fonts made for mathematics: a border does in any.
    made = re.sub(r"<mo [^>]*>&#x0007B;</mo><mtable>", f'<mtable class="cases" style="{BRACE}">', made)
    return Markup(made.replace("<math ", f'<math aria-label="{escape(part.text)}" ', 1))


def image(picture: Picture) -> str:
    """The picture as a PNG in a data address, its pixels as squares; transparent where there is no number."""
    from PIL import Image

    rgb, there = colours(picture)
    times = max(1, round(LARGE / there.shape[1]))
    height, width = there.shape[0] * times, there.shape[1] * times
    alpha = np.where(scaled(there, height, width), 255, 0).astype(np.uint8)[..., None]
    file = io.BytesIO()
    Image.fromarray(np.concatenate([scaled(rgb, height, width), alpha], axis=-1), "RGBA").save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
