"""Takes the pictures of the page in ``docs/pictures``, from a server at work: scripts/pictures."""

import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright

from tests.browser.conftest import PROGRAM, Paged, page_of
from tests.pictures.work import QUEUES, Work
from tests.process.server_process import ROOT

FOLDER: Final = ROOT / "docs/pictures"
WATCHED: Final = 40_000
"""Milliseconds until a picture is taken: the charts have to show something."""
WIDE: Final[ViewportSize] = {"width": 1180, "height": 800}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}


def take(browser: Browser, paged: Paged, name: str, size: ViewportSize, scheme: str) -> None:
    """Take one picture."""
    context = browser.new_context(
        viewport=size,
        color_scheme="dark" if scheme == "dark" else "light",
        timezone_id="Europe/London",
    )
    page = context.new_page()
    page.goto(paged.address)
    expect(page.locator("#queues tr")).to_have_count(len(QUEUES), timeout=60_000)
    page.wait_for_timeout(WATCHED)
    page.screenshot(path=FOLDER / f"{name}.png")
    context.close()


def main() -> None:
    """Take all pictures."""
    assert PROGRAM is not None, "there is no Chromium; see scripts/browser"
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        for paged in page_of(Path(folder)):
            work = Work(paged.server)
            work.start()
            try:
                take(browser, paged, "page", WIDE, "light")
                take(browser, paged, "page-dark", WIDE, "dark")
                take(browser, paged, "page-phone", PHONE, "light")
            finally:
                work.end()
        browser.close()


if __name__ == "__main__":
    main()
