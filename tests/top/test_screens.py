"""The screens as they are seen, compared with those that somebody has looked at."""

from collections.abc import Iterator

import pytest
import urwid

from tests.top.scenes import SCENES, SCREENS, SIZES, drawn


@pytest.fixture(autouse=True)
def utf8() -> Iterator[None]:
    before = urwid.util.get_encoding()
    urwid.set_encoding("utf-8")
    yield
    urwid.set_encoding(before)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCENES)
def test_a_screen_is_as_it_was_when_it_was_looked_at(name: str, size: tuple[int, int]) -> None:
    width, height = size
    expected = (SCREENS / f"{name}-{width}x{height}.txt").read_text()
    assert drawn(SCENES[name](), width, height) == expected


def test_no_screen_is_kept_that_nothing_draws() -> None:
    wanted = {f"{name}-{width}x{height}.txt" for name in SCENES for width, height in SIZES}
    assert {path.name for path in SCREENS.iterdir()} == wanted
