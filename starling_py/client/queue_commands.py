"""What operators do to queues, as methods of the Python client; each reaches every server.

These are commands of this server, not of memcached. Names of queues are text without blanks and
control characters, as they part the words of a command: others raise ``ValueError``. Who may use
them, the settings of each server say.
"""

from abc import ABC, abstractmethod

import attrs


@attrs.frozen
class QueueItem:
    """An item that was listed, without its data."""

    server: str
    """The server that has it, as ``host:port``."""
    id: int
    """Its id in its queue on that server."""
    size: int
    """Bytes of its data."""
    flags: int
    age: float
    """Seconds that it has been in the queue."""
    state: str
    """``waiting``, ``delayed``, ``open``, ``moving`` or ``expired``."""
    due: float
    """When it may be taken, as a Unix time; 0 for at once."""
    expires: float
    """When it dies, as a Unix time; 0 for never."""
    deliveries: int
    """How often it was handed out."""
    origin: str
    """The queue that it came from; empty if it was put here."""
    reason: str
    """Why it came from there; empty if it was put here."""


@attrs.frozen
class Consumer:
    """A client that takes from a queue, waits for it, or has items of it open."""

    server: str
    """The server that it is connected to, as ``host:port``."""
    address: str
    """Where it is, as ``host:port``."""
    name: str
    """What it calls itself; empty if it has not said that."""
    takes: int
    """Items of the queue that it has taken or opened since it is connected."""
    last_take: float | None
    """How many seconds ago the last one was; ``None`` without any."""
    open_reads: int
    """Items of the queue that it has open."""
    waits: bool
    """Whether it waits for one."""


class QueueCommands(ABC):
    """The commands of operators, for a client of one server or several."""

    @abstractmethod
    def ask_raw(self, command: str) -> list[tuple[str, list[str]]]:
        """Send a command to every server that is alive; return the lines of each reply.

        Each comes with ``host:port``. Raises ``StarlingError`` when no server is alive, or one
        refuses.
        """

    def pause(self, queue: str, seconds: int | None = None) -> bool:
        """Let gets of a queue find nothing, for some seconds or until ``resume``.

        Returns whether any server has the queue.
        """
        return self._any(f"pause {_word(queue)}" + ("" if seconds is None else f" {seconds}"), "OK")

    def resume(self, queue: str) -> bool:
        """End a pause; return whether any server has the queue."""
        return self._any(f"resume {_word(queue)}", "OK")

    def drop(self, queue: str, item_id: int) -> bool:
        """Remove the item with an id that waits; return whether there was one.

        Each server counts ids for itself: use it with one server.
        """
        return self._any(f"drop {_word(queue)} {item_id}", "DELETED")

    def move(self, queue: str, target: str | None = None, count: int | None = None) -> int:
        """Move the oldest items that wait to another queue; return how many.

        Without a ``target``, each goes to the queue that it came from. ``count`` is for each
        server, ``None`` for all.
        """
        to = "origin" if target is None else target
        command = f"move {_word(queue)} {_word(to)}" + ("" if count is None else f" {count}")
        found = [line.split() for _, lines in self.ask_raw(command) for line in lines]
        return sum(int(words[1]) for words in found if words[0] == "MOVED")

    def browse(self, queue: str, first: int = 1, count: int = 100) -> list[QueueItem]:
        """List up to ``count`` items of each server, from the id ``first`` on, and take none."""
        found = self.ask_raw(f"browse {_word(queue)} {first} {count}")
        return [
            _item(server, line.split()[1:])
            for server, lines in found
            for line in lines
            if line.startswith("ITEM ")
        ]

    def consumers(self, queue: str) -> list[Consumer]:
        """List who takes from a queue, waits for it, or has items of it open."""
        found: dict[tuple[str, str], dict[str, str]] = {}
        for server, lines in self.ask_raw(f"stats consumers {_word(queue)}"):
            for line in lines:
                if line.startswith("STAT "):
                    _, key, value = line.split(" ")
                    number, _, what = key.partition(":")
                    found.setdefault((server, number), {})[what] = value
        return [_consumer(server, told) for (server, _), told in found.items()]

    def _any(self, command: str, reply: str) -> bool:
        return any(reply in lines for _, lines in self.ask_raw(command))


def _word(name: str) -> str:
    """Return the name of a queue. Raises ``ValueError`` if it is not one word of a command."""
    if not name or any(each <= " " or each == "\x7f" for each in name):
        raise ValueError(f"{name!r}: a name of a queue has no blanks and no control characters")
    return name


def _consumer(server: str, told: dict[str, str]) -> Consumer:
    last_take = int(told["last_take"])
    return Consumer(
        server,
        told["addr"].removeprefix("tcp:"),
        "" if told["name"] == "-" else told["name"],
        int(told["takes"]),
        None if last_take < 0 else last_take / 1000,
        int(told["open_reads"]),
        told["waits"] == "1",
    )


def _item(server: str, words: list[str]) -> QueueItem:
    item_id, size, flags, age, state, due, expires, deliveries, origin, reason = words
    return QueueItem(
        server,
        int(item_id),
        int(size),
        int(flags),
        int(age) / 1000,
        state,
        int(due) / 1000,
        int(expires) / 1000,
        int(deliveries),
        "" if origin == "-" else origin,
        "" if reason == "-" else reason,
    )
