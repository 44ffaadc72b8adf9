"""Text laid out in the cells of a terminal: what fits is shown in full, or not at all.

A line is a list of pieces, each with the name of how it looks (``LOOKS``) and its text. A
character may take two cells, or none. Invariant: a name that is too long loses its middle, as
names differ at their ends; a number is never cut.
"""

import functools
from collections.abc import Sequence

import urwid

Piece = tuple[str, str]
"""How it looks, ``""`` for plain, and the text."""
Line = list[Piece]


def width(text: str) -> int:
    """Return how many cells a text takes."""
    return urwid.calc_width(text, 0, len(text))


@functools.lru_cache(1 << 15)
def name_width(text: str) -> int:
    """Return what ``width`` returns, remembered: there may be ten thousand names."""
    return width(text)


def unicode() -> bool:
    """Tell whether the terminal shows more than ASCII."""
    return urwid.get_encoding_mode() == "utf8"


def begin(text: str, cells: int) -> str:
    """Return as much of the beginning of a text as goes into some cells, and blanks to fill."""
    used = width(text)
    if used <= cells:
        return text + " " * (cells - used)
    _, end, _, missing = urwid.calc_trim_text(text, 0, len(text), 0, max(0, cells))
    return text[:end] + " " * missing


def end(text: str, cells: int) -> str:
    """Return as much of the end of a text as goes into some cells."""
    used = width(text)
    if used <= cells:
        return text
    start, stop, missing, _ = urwid.calc_trim_text(text, 0, len(text), used - cells, used)
    return " " * missing + text[start:stop]


def name(text: str, cells: int) -> str:
    """Return a name in exactly some cells, with a mark where its middle was left out."""
    if width(text) <= cells or cells < 3:
        return begin(text, cells)
    mark = "…" if unicode() else "~"
    right = (cells - 1) // 2
    return begin(text, cells - 1 - right) + mark + end(text, right)


def cut(text: str, cells: int) -> str:
    """Return a sentence or data, with a mark where its end was left out."""
    if width(text) <= cells or cells < 1:
        return begin(text, max(0, cells)).rstrip() if width(text) > cells else text
    return begin(text, cells - 1).rstrip() + ("…" if unicode() else "~")


def number(text: str, cells: int) -> str:
    """Return a number at the right of some cells; ``#`` for one that is too long."""
    return text.rjust(cells) if len(text) <= cells else "#" * cells


def fields(texts: Sequence[str], cells: int, between: str = "   ", before: str = " ") -> str:
    """Return the first ones of some fields, as many as go into some cells in full."""
    line = before
    for place, text in enumerate(texts):
        longer = line + (between if place else "") + text
        if width(longer) > cells:
            break
        line = longer
    return line if line != before else ""
