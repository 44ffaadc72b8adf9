"""Where the cursor goes: from a place, with so many lines on a page and in all."""

from collections.abc import Callable

MOVES: dict[str, Callable[[int, int, int], int]] = {
    "up": lambda at, page, of: at - 1,
    "down": lambda at, page, of: at + 1,
    "page up": lambda at, page, of: at - page,
    "page down": lambda at, page, of: at + page,
    "home": lambda at, page, of: 0,
    "end": lambda at, page, of: of - 1,
}
"""By keys; the place may be none that there is."""
