"""Takes the pictures of the page in ``docs/pictures``, from a server at work: scripts/pictures."""

import contextlib
import random
import tempfile
import threading
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright

from tests.browser.conftest import PROGRAM, Paged, page_of
from tests.process.server_process import ROOT

FOLDER: Final = ROOT / "docs/pictures"
QUEUES: Final = {
    "orders.eu": 6, "orders.us": 6, "mail.out": 4, "thumbnails": 3, "search.index": 5,
    "billing": 2, "push.ios": 3, "push.android": 3, "webhooks.retry": 1, "audit": 1,
}  # fmt: skip
"""Queues, and how much is put into each."""
LEFT: Final = {"orders.eu": 0.97, "webhooks.retry": 0.5, "audit": 0.0}
"""How much is taken from those that are not emptied."""
WATCHED: Final = 40_000
"""Milliseconds until a picture is taken: the charts have to show something."""
WIDE: Final[ViewportSize] = {"width": 1180, "height": 800}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}


class Work(threading.Thread):
    """Puts and takes until it is told to end."""

    def __init__(self, paged: Paged) -> None:
        super().__init__()
        self._paged = paged
        self._over = threading.Event()
        self._random = random.Random(2008)

    def run(self) -> None:
        """Put and take some items, rest, and so on."""
        names, weights = list(QUEUES), list(QUEUES.values())
        with contextlib.closing(self._paged.server.client()) as client:
            while not self._over.wait(0.02):
                for name in self._random.choices(names, weights, k=self._random.randint(5, 15)):
                    client.set(name, b'{"id": 4711, "kind": "example", "to": "somebody"}')
                    if self._random.random() < LEFT.get(name, 1.0):
                        client.get(name)

    def end(self) -> None:
        """End it."""
        self._over.set()
        self.join()


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
            work = Work(paged)
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
