"""The screen that says what the keys do, and what the words mean."""

from starling_py.top import cells
from starling_py.top.cells import Line

_TEXT = """\
KEYS OF THE TABLE
  up down PgUp PgDn Home End   choose a queue (or the wheel)
  Enter        look at it
  /            filter by a part of the name, or a mark; Esc ends it
  < >          sort by the column to the left or right
  1 to 9       sort by that column; again, or r: reverse
  q, Ctrl-C    quit
KEYS OF ONE QUEUE
  up down      choose an item;  Esc or q: back
  d  remove the chosen item        b  move it to the dead letters
FOR THE CHOSEN QUEUE, ON BOTH SCREENS (each asks first)
  p  pause it, or resume           m  move items to another queue
  o  send items back to where they came from
  F  remove its items              D  delete it
MARKS
  broken   its journal cannot be written or read
  full     at max_items or max_bytes
  stuck    items wait, and nobody has taken any, for a minute
  dying    items went to the dead letters in the last minute
  growing  a tenth more items than a minute ago
  paused   gets are misses
COLUMNS
  OPEN  handed out and not confirmed    WAITERS  clients in a get that waits
  AGE   of the oldest item that is due  LOG      its journal on disk
  -     not told, or not known yet
"""


def lines(width: int, height: int, top: int) -> list[Line]:
    """Return the lines of the help that are in the window."""
    found = []
    for text in _TEXT.splitlines()[top : top + height]:
        look = "total" if not text.startswith(" ") else ""
        found.append([(look, cells.begin(" " + text, width))])
    return found


def length() -> int:
    """Return how many lines there are."""
    return len(_TEXT.splitlines())
