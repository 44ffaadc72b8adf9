"""A browser without a window, and a server whose page it opens; ``scripts/browser`` brings it.

Where there is none, these tests are left out, unless ``BROWSER_REQUIRED`` is set.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.process.server_process import ServerProcess, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium-headless-shell", "chromium")
PROGRAM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
TOKEN = "a-token-that-is-long"

if "BROWSER_REQUIRED" not in os.environ and (
    PROGRAM is None or importlib.util.find_spec("playwright") is None
):
    collect_ignore_glob = ["test_*.py"]


@attrs.frozen
class Paged:
    """A server and its page."""

    server: ServerProcess
    address: str


def page_of(folder: Path, queues: str = "", **more: object) -> Iterator[Paged]:
    """Start a server with a page; ``more`` are settings of http, ``queues`` the other sections."""
    with free_port() as port:
        lines = {"listen": f"127.0.0.1:{port}", "dashboard": "true", "actions": "true", **more}
        text = "".join(f"  {name}: {value}\n" for name, value in lines.items())
        config = folder / "starling.yml"
        config.write_text(f"http:\n{text}{queues}")
        with ServerProcess(folder / "spool", "--config", config) as server:
            yield Paged(server, f"http://127.0.0.1:{port}/")


@pytest.fixture
def paged(tmp_path: Path) -> Iterator[Paged]:
    """Start a server whose page may change queues."""
    yield from page_of(tmp_path)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Paged]:
    """Start a server whose page needs a token."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"ops:{TOKEN}\n")
    yield from page_of(tmp_path, token_file=tokens)


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Start a browser."""
    from playwright.sync_api import sync_playwright

    assert PROGRAM is not None, "there is no Chromium; see scripts/browser"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield made
        made.close()
