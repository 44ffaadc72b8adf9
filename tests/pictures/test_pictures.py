"""The pictures in the docs show what is so: the rooms, the figures of the bench, a real screen."""

import json
import re
from xml.etree import ElementTree

import pytest

from bench import plots
from tests.pictures import house, terminal
from tests.process.server_process import ROOT

FOLDER = ROOT / "docs/pictures"
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]


def shown() -> set[str]:
    """Return the names of all pictures that a page shows."""
    return {
        path.rpartition("/")[2]
        for page in PAGES
        for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text())
    }


def test_the_drawing_of_the_house_is_that_of_its_imports() -> None:
    assert house.PATH.read_text() == house.drawn()


@pytest.mark.parametrize("sweep", plots.SWEEPS)
def test_the_plots_show_the_figures_beside_them(sweep: str) -> None:
    rows = json.loads(plots.DATA.read_text())["rows"]
    assert (FOLDER / f"rates-by-{sweep}.svg").read_text() == plots.drawn(rows, sweep)
    found = plots.points(rows, sweep, "put")
    assert [number for number, _ in found["starling-50ms"]] == list(plots.SWEEPS[sweep])


def test_every_picture_is_shown_somewhere_and_is_small() -> None:
    files = [path for path in FOLDER.iterdir() if path.suffix in {".svg", ".png"}]
    assert {path.name for path in files} == shown()
    assert all(path.stat().st_size < 300_000 for path in files)


@pytest.mark.parametrize("name", ["starling-top", "starling-top-queue"])
def test_the_pictures_of_starling_top_are_whole_screens(name: str) -> None:
    text = (FOLDER / f"{name}.svg").read_text()
    root = ElementTree.fromstring(text)
    lines = {each.get("y") for each in root.iter("{http://www.w3.org/2000/svg}text")}
    assert 8 < len(lines) <= terminal.HEIGHT
    assert "orders.eu" in text.replace("\u00a0", " ")


def test_a_screen_is_drawn_with_its_colours_and_no_markup_of_its_own() -> None:
    pieces = [("a<b", "#ffffff", terminal.PAPER, True), ("  ", "#000000", "#ff0000", False)]
    root = ElementTree.fromstring(terminal.drawn([pieces]))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["a<b"]
    fills = [each.get("fill") for each in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert fills == [terminal.PAPER, "#ff0000"]
