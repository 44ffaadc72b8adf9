"""What is asked before anything is changed: whether, and where it cannot be undone, which queue.

A dialog is pure: keys go in, and in the end it has the command for the server, or has been left.
Invariant: no single key changes anything on the server.
"""

from collections.abc import Callable

from starling_py.top import cells
from starling_py.top.cells import Line
from starling_py.top.formats import printable

LONGEST_TYPED = 30
_LONGEST_SHOWN = 24


class Dialog:
    """A question. ``done`` when it is over; ``command`` is then what to send, if anything."""

    def __init__(self, question: str, command: bytes = b"") -> None:
        self.question = question
        self.command: bytes | None = None
        self.done = False
        self._command = command

    def press(self, key: str) -> None:
        """Take a key: ``y`` agrees, any other one does not."""
        self._end(self._command if key in ("y", "Y") else None)

    def line(self, width: int) -> Line:
        """Return the question as one line; its end, the keys, is never cut off."""
        keys = "  y yes, else no "
        return [("ask", cells.begin(" " + self._short(width - len(keys) - 1) + keys, width))]

    def _short(self, width: int) -> str:
        return cells.cut(self.question, width)

    def _end(self, command: bytes | None) -> None:
        self.command = command
        self.done = True


class Typed(Dialog):
    """A question that is answered with a word: the name of the queue."""

    def __init__(self, question: str, command: bytes, name: str) -> None:
        fits = len(name) <= LONGEST_TYPED and name.isascii()
        self.word = name if fits else "yes"
        super().__init__(question, command)
        self.text = ""

    def press(self, key: str) -> None:
        """Take a key of the word, or the end of it."""
        if key == "enter":
            self._end(self._command if self.text == self.word else None)
        elif key == "esc":
            self._end(None)
        else:
            self.text = _edited(self.text, key)

    def line(self, width: int) -> Line:
        """Return the question and what has been typed, the end of which is always seen."""
        ask = f" {self.question} Type {self.word}, or Esc: "
        if cells.width(ask) + len(self.text) + 1 > width:
            ask = f" Type {self.word}: "
        room = max(0, width - cells.width(ask) - 1)
        return [("ask", cells.begin(ask + cells.end(self.text, room) + "_", width))]


class Asked(Dialog):
    """A question that is answered with words, from which the next dialog is made."""

    def __init__(self, question: str, then: Callable[[str], Dialog | None], text: str = "") -> None:
        super().__init__(question)
        self._then = then
        self.text = text
        self.next: Dialog | None = None

    def press(self, key: str) -> None:
        """Take a key of the words, or the end of them."""
        if key == "enter":
            self.next = self._then(self.text)
            self._end(None)
        elif key == "esc":
            self._end(None)
        else:
            self.text = _edited(self.text, key)

    def line(self, width: int) -> Line:
        """Return the question and what has been typed, the end of which is always seen."""
        ask = " " + cells.cut(self.question, width // 2) + " "
        room = max(0, width - cells.width(ask) - 1)
        return [("ask", cells.begin(ask + cells.end(self.text, room) + "_", width))]


def _shown(name: bytes) -> str:
    """Return a queue's name for a question, without its middle if it is long."""
    text = printable(name)
    return text if cells.width(text) <= _LONGEST_SHOWN else cells.name(text, _LONGEST_SHOWN)


def pause(queue: bytes, *, paused: bool) -> Dialog:
    """Ask whether gets are to be misses, or to be served again."""
    shown = _shown(queue)
    if paused:
        return Dialog(f"Resume {shown}?", b"resume " + queue)
    return Dialog(f"Pause {shown}? Gets will be misses.", b"pause " + queue)


def flush(queue: bytes, items: int) -> Dialog:
    """Ask whether to remove all items that are not open."""
    question = f"Remove {items} items of {_shown(queue)}?"
    return Typed(question, b"flush " + queue, printable(queue))


def delete(queue: bytes, items: int) -> Dialog:
    """Ask whether to delete a queue, open items and all."""
    question = f"Delete {_shown(queue)} and its {items} items?"
    return Typed(question, b"delete " + queue, printable(queue))


def move(queue: bytes) -> Dialog:
    """Ask where to move items, and how many."""

    def then(text: str) -> Dialog | None:
        words = text.split()
        if not words or len(words) > 2 or not all(w.isdigit() for w in words[1:]):
            return None
        which = f"{words[1]} items" if len(words) == 2 else "all items"
        target = _shown(words[0].encode())
        command = b" ".join([b"move", queue, *(word.encode() for word in words)])
        return Dialog(f"Move {which} of {_shown(queue)} to {target}?", command)

    return Asked(f"Move {_shown(queue)} to QUEUE [N]:", then)


def send_back(queue: bytes) -> Dialog:
    """Ask whether to move what came from elsewhere back to where it came from."""
    shown = _shown(queue)
    return Dialog(
        f"Send the items of {shown} back where they came from?", b"move %b origin" % queue
    )


def drop(queue: bytes, item: int) -> Dialog:
    """Ask whether to remove one item that waits."""
    return Dialog(f"Remove item {item} of {_shown(queue)}?", b"drop %b %d" % (queue, item))


def bury(queue: bytes, item: int, target: bytes, *, is_open: bool) -> Dialog:
    """Ask whether to move one item to the dead letters: one that is open, or else the oldest."""
    question = f"Move item {item} of {_shown(queue)} to {_shown(target)}?"
    if is_open:
        return Dialog(question, b"get %b/bury=%d" % (queue, item))
    return Dialog(question, b"move %b %b 1" % (queue, target))


def _edited(text: str, key: str) -> str:
    """Return what has been typed after one key more."""
    if key == "backspace":
        return text[:-1]
    return text + key if len(key) == 1 else text
