"""A page as Markdown with a little HTML in it, for a site."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape

from millrace.explain.charts import standalone
from millrace.explain.page_html import image, mathml
from millrace.explain.pages import Code, Figure, Listing, Math, Page, Part, Picture, Pictures, Text


def markdown(page: Page) -> str:
    """The page as Markdown: pictures as data URLs, mathematics as MathML."""
    lines = [f"# {page.title}", "", f"*{page.kind}*", "", plain(page.lead), ""]
    for section in page.sections:
        lines += [f"## {section.heading}", ""]
        for part in section.parts:
            lines += [*shown(part), ""]
    return "\n".join(lines)


def shown(part: Part) -> list[str]:
    """One part's lines."""
    match part:
        case Text(text=text):
            return [plain(text)]
        case Math(text=text):
            made = mathml(part)
            return [f"<div>{made}</div>"] if made else fenced(text)
        case Code(text=text):
            return fenced(text)
        case Listing(columns=columns, rows=rows):
            return [row(columns), "|---" * len(columns) + "|", *(row(cells) for cells in rows)]
        case Pictures(pictures=pictures):
            return ['<div class="pictures">', *(figure(one) for one in pictures), "</div>"]
        case Figure(caption=caption, svg=svg, told=told):
            return [f'<figure class="chart">{drawn(svg, told)}<figcaption>{escape(caption)}</figcaption></figure>']


def fenced(text: str) -> list[str]:
    return ["```text", text.rstrip(), "```"]


def plain(text: str) -> str:
    """Text whose `code` and **strong** words alone are marked up."""
    parts = re.split(r"(`[^`]+`|\*\*.+?\*\*)", text)
    return "".join(part if n % 2 else re.sub(r"([\\*_\[\]<>#])", r"\\\1", part) for n, part in enumerate(parts))


def row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(plain(cell).replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"


def drawn(svg: str, told: str) -> str:
    """A drawing as an image of its own, so that its style and the page's do not meet."""
    content = base64.b64encode(standalone(svg).encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{content}" alt="{escape(told)}">'


def figure(one: Picture) -> str:
    shown = f'<img src="{image(one)}" alt="{escape(one.about)}">'
    return f"<figure>{shown}<figcaption>{escape(one.caption)}</figcaption></figure>"
