"""The pictures of the page in the documentation: `python -m tests.look.screenshots [RUN]`, or `make screenshots`.

RUN: a run of `millrace train digits`; one is trained in some seconds unless given.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from millrace.cli.main import main
from millrace.cli.subjects import subject
from millrace.look.looking import Looking
from millrace.look.server import LookServer
from millrace.look.views import Views

PICTURES = Path(__file__).parent.parent.parent / "docs" / "pictures"


def opened(browser: Browser, looking: Looking, language: str, width: int, layer: str, **how: Any) -> Page:
    """The page in a window of a width, with a layer chosen."""
    server = LookServer(Views(looking, language))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page(viewport={"width": width, "height": 900}, reduced_motion="reduce", **how)
    page.goto(f"{server.address}#{layer}")
    page.wait_for_selector("body[data-ready]")
    return page


def changed(page: Page) -> None:
    """Numbers of a kernel changed, and their effect waited for."""
    for place, number in (("0,1", "9"), ("1,1", "9"), ("2,1", "-9")):
        page.fill(f".numbers input[data-place='{place}']", number)
    page.wait_for_selector("#bars .then")
    page.mouse.move(0, 0)


def take(page: Page, name: str, height: int) -> None:
    """The upper part of a page, as a picture of few colours, which is small."""
    from PIL import Image

    path = PICTURES / f"look-{name}.png"
    page.set_viewport_size({"width": page.viewport_size["width"], "height": height})  # type: ignore[index]
    page.wait_for_timeout(400)
    page.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)
    page.close()
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KB")


def run() -> Path:
    """A digits network, trained."""
    folder = Path(tempfile.mkdtemp())
    with contextlib.suppress(SystemExit):
        main(["train", "digits", "--out", str(folder), "--epochs", "12"])
    return folder / "digits-1"


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else run()
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    looking = Looking(subject(str(given), None))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        take(opened(browser, looking, "en", 1440, "conv1"), "convolution", 1000)
        page = opened(browser, looking, "en", 1440, "conv1")
        changed(page)
        take(page, "changed", 1000)
        take(opened(browser, looking, "en", 1440, "dense2", color_scheme="dark"), "softmax-dark", 1000)
        page = opened(browser, looking, "zh", 360, "conv1")
        page.evaluate("document.getElementById('panel').scrollIntoView()")
        take(page, "phone-zh", 900)
        browser.close()
