"""A running server, as a command sees it: what can be asked of it, and what comes back.

Only the verbs of the protocol and ``stats`` are used. Names of queues are bytes here; a number that
a server does not tell counts as 0.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from starling_py.connecting import login
from starling_py.connecting.address import Address
from starling_py.connecting.errors import LoginError
from starling_py.connecting.login import Ask, Login
from starling_py.ctl import names
from starling_py.ctl.connection import Connection, SocketWire, Wire
from starling_py.ctl.errors import (
    CommandRefused,
    FollowsError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from starling_py.ctl.output import safe
from starling_py.ctl.reports import Changed, Listed, Queue, blocks, numbered, plain

NAME: Final = b"starling-ctl"
"""What the connection is called, in ``stats conns`` and in the server's log."""
MOST_LISTED: Final = 1000
"""Items that one ``browse`` lists at most."""
MOST_CHANGED: Final = 100_000
"""Queues that one ``stats changed`` tells of at most."""
_FOLLOWS: Final = b"this server follows"
"""What a server of a group answers while another one is the owner."""
_NO_TOKEN: Final = b"-"
_LINE: Final = 1800
"""Bytes of names in one line; the server takes 2,048 in all."""


@attrs.frozen
class Item:
    """An item with its data."""

    id: int
    flags: int
    data: bytes


class Remote:
    """A server that answers."""

    def __init__(self, connection: Connection, user: Login | None = None) -> None:
        """Make sure that it is one of ours. Raises ``UnreachableError``."""
        self.connection = connection
        self.where = connection.where
        self.user = user
        self._introduce(user)

    @classmethod
    def at(cls, address: Address, timeout: float, ask: Ask | None = None) -> "Remote":
        """Connect. ``timeout``: seconds that it may be silent; ``ask`` asks for a password.

        Raises ``UnreachableError``, and ``UsageError`` if it cannot be said who asks.
        """
        try:
            user = Login.of(address, ask)
        except LoginError as error:
            raise UsageError(str(error)) from error
        return cls.over(SocketWire(address, timeout), str(address), user)

    @classmethod
    def over(cls, wire: Wire, where: str, user: Login | None = None) -> "Remote":
        """Talk over a wire that is there. Raises ``UnreachableError``."""
        try:
            return cls(Connection(wire, where), user)
        except BaseException:
            wire.close()
            raise

    def close(self) -> None:
        """Hang up."""
        self.connection.close()

    def _introduce(self, user: Login | None) -> None:
        """Say who asks; only this server understands that."""
        if user is not None:
            self.connection.send(user.command)
            told = self.connection.line()
            if _FOLLOWS in told:
                raise FollowsError(f"{self.where}: {safe(told, 200)}", {})
            if not login.is_done(told):
                raise UnreachableError(f"{self.where}: {safe(told, 200)}")
        self.connection.send(b"hello %b\r\n" % NAME)
        told = self.connection.line()
        if told == b"OK":
            return
        if b"ERROR" not in told.partition(b" ")[0]:
            raise UnreachableError(
                f"{self.where} is no starling-py: it answered '{safe(told, 40)}'"
            )
        if _FOLLOWS in told:
            raise FollowsError(f"{self.where}: {safe(told, 200)}", self._little())
        if told != b"ERROR":  # as one that wants a name and a password first
            raise UnreachableError(f"{self.where}: {login.advice(safe(told, 200))}")
        version = safe(self.connection.ask(b"version").removeprefix(b"VERSION "), 40)
        if b"curr_queues" in self.stats():
            raise UnreachableError(
                f"{self.where}: starling-py {version} is older than this command"
            )
        raise UnreachableError(
            f"{self.where} is no starling-py: memcached or its like, version {version}, no queues"
        )

    def _little(self) -> dict[str, str]:
        """Return what a server tells of itself that does not serve."""
        try:
            return {key.decode(): safe(value, 200) for key, value in self.stats().items()}
        except CommandRefused:
            return {}

    def stats(self, what: bytes = b"") -> dict[bytes, bytes]:
        """Return a report of ``stats`` by name, in the server's order."""
        found = {}
        for line in self.connection.lines(b"stats %b" % what if what else b"stats"):
            name, _, value = line.removeprefix(b"STAT ").partition(b" ")
            found[name] = value
        return found

    def changed(self, token: bytes = _NO_TOKEN, most: int = MOST_CHANGED) -> Changed:
        """Return the server's numbers and those of the queues that have changed since a token.

        It costs the server what has changed, not what there is; but of a queue, only the numbers
        that monitors want are told.
        """
        return Changed.of(self.connection.block(b"stats changed %b %d" % (token, most)))

    def server(self) -> dict[str, str]:
        """Return the numbers of the server alone."""
        return self.changed(most=1).server

    def settings(self) -> dict[str, str]:
        """Return the settings of the server."""
        found = self.stats(b"settings").items()
        return {name.decode(): value.decode(errors="backslashreplace") for name, value in found}

    def queues(self, patterns: Sequence[str] = ()) -> list[Queue]:
        """Return the queues that match, or all, in the order of their names.

        Raises ``NotFoundError`` if there are patterns and a queue matches none of them.
        """
        if patterns and not any(map(names.is_pattern, patterns)):
            found = self._named([names.typed(each) for each in patterns])
            missing = [each for each in patterns if names.typed(each) not in found]
            if missing:
                raise names.nothing_matches(missing[:1])
            return list(found.values())
        everything = self._all()
        if not patterns:
            return everything
        wanted = [queue for queue in everything if names.matches(queue.shown, patterns)]
        if not wanted:
            raise names.nothing_matches(patterns)
        return wanted

    def _all(self) -> list[Queue]:
        """Return all queues, in the order of their names, with the numbers of ``changed``."""
        told = self.changed()
        found = told.queues
        while told.left:
            told = self.changed(told.token)
            found |= told.queues
        return [found[name] for name in sorted(found)]

    def in_full(self, queues: Iterable[Queue] | None = None) -> list[Queue]:
        """Return queues with all their numbers; all queues without a choice."""
        if queues is None:
            return list(self._dumped(b"dump_stats").values())
        return list(self._named([queue.name for queue in queues]).values())

    def queue(self, name: bytes) -> Queue | None:
        """Return the numbers of one queue; ``None`` if there is none of the name."""
        return self._named([name]).get(name)

    def _named(self, wanted: Iterable[bytes]) -> dict[bytes, Queue]:
        found: dict[bytes, Queue] = {}
        batch: list[bytes] = []
        for name in (*wanted, b""):
            if not name or sum(map(len, batch)) + len(batch) + len(name) > _LINE:
                found |= self._dumped(b"dump_stats %b" % b" ".join(batch)) if batch else {}
                batch = []
            if name and names.is_sayable(name):
                batch.append(name)
            elif name:
                everything = self._dumped(b"dump_stats")
                found |= {name: everything[name]} if name in everything else {}
        return found

    def _dumped(self, command: bytes) -> dict[bytes, Queue]:
        """Return a report in Kestrel's form: unlike in ``stats``, no name hides another."""
        return blocks(self.connection.block(command))

    def queue_settings(self, name: bytes) -> dict[str, int | str]:
        """Return the settings that a queue goes by."""
        text = self.connection.block(b"dump_config %b" % names.in_a_line(name))
        found = next(iter(blocks(text).values()), None)
        pairs = {} if found is None else found.pairs
        return {key.decode(): plain(value) for key, value in pairs.items()}

    def open_reads(self, name: bytes) -> list[dict[str, int | str]]:
        """Return who has which items of a queue open."""
        found: dict[int, dict[str, int | str]] = {}
        for key, value in self.stats(b"queue %b" % names.in_a_line(name)).items():
            if told := re.fullmatch(rb"open_(\d+)_(\w+)", key):
                read = found.setdefault(int(told[1]), {"id": int(told[1])})
                read[told[2].decode()] = plain(value)
        return list(found.values())

    def consumers(self, name: bytes) -> list[dict[str, int | str]]:
        """Return who takes from a queue, or waits for it."""
        return numbered(self.stats(b"consumers %b" % names.in_a_line(name)))

    def connections(self) -> list[dict[str, int | str]]:
        """Return what is known of every connection."""
        return numbered(self.stats(b"conns"))

    def browse(self, name: bytes, first_id: int = 1, most: int | None = None) -> Iterator[Listed]:
        """Yield the items of a queue from an id on, in the order of their ids.

        Asks for a page when it is needed. Raises ``NotFoundError``.
        """
        left = most
        while left is None or left > 0:
            wanted = MOST_LISTED if left is None else min(left, MOST_LISTED)
            page = self._page(name, first_id, wanted)
            yield from page
            if len(page) < wanted:
                return
            first_id = page[-1].id + 1
            left = None if left is None else left - len(page)

    def _page(self, name: bytes, first_id: int, most: int) -> list[Listed]:
        command = b"browse %b %d %d" % (names.in_a_line(name), first_id, most)
        page = []
        for line in self.connection.lines(command):
            if line == b"NOT_FOUND":
                # It has no END behind it, so nothing more may be read.
                raise names.nothing_matches([names.shown(name)])
            page.append(Listed.of(line))
        return page

    def listed(self, name: bytes, item_id: int) -> Listed | None:
        """Return what ``browse`` tells of one item; ``None`` if there is none with the id."""
        found = next(self.browse(name, item_id, 1), None)
        return found if found is not None and found.id == item_id else None

    def peek(self, name: bytes, number: int) -> list[Item]:
        """Return up to ``number`` items from the head of a queue, and take none."""
        if not names.is_sayable(name):
            item = self.get(name, b"/peek")
            return [] if item is None else [item]
        return self._gets(b"gets %b/peek/n=%d\r\n" % (name, number))

    def _gets(self, command: bytes) -> list[Item]:
        self.connection.send(command)
        found = []
        while (line := self.connection.reply()) != b"END":
            _, _, flags, length, item_id = line.split(b" ")
            data = self.connection.exactly(int(length) + 2)[:-2]
            found.append(Item(int(item_id), int(flags), data))
        return found

    def look(self, name: bytes, first_id: int, number: int) -> list[Item]:
        """Return up to ``number`` items from an id on, in the order of their ids; take none.

        ``number`` is from 2 to 1,000.
        """
        return self._gets(b"gets %b/peek/id=%d/n=%d\r\n" % (name, first_id, number))

    def get(self, name: bytes, options: bytes) -> Item | None:
        """Send a get with options such as ``/open``, and return the item."""
        self.send_get(name, options)
        return self.read_get()

    def send_get(self, name: bytes, options: bytes) -> None:
        """Send a get, and let others follow before its reply is read by ``read_get``."""
        key, flags = _meta_key(name, options)
        self.connection.send(b"mg %b v f c%b\r\n" % (key, flags))

    def read_get(self) -> Item | None:
        """Return the item that the oldest such get has got; ``None`` if none."""
        words = self.connection.reply().split(b" ")
        if words[0] != b"VA":
            return None
        data = self.connection.exactly(int(words[1]) + 2)[:-2]
        told = {word[:1]: word[1:] for word in words[2:]}
        return Item(int(told.get(b"c", b"0")), int(told.get(b"f", b"0")), data)

    def end_read(self, name: bytes, how: bytes, item_id: int) -> None:
        """End the open read of an item: ``how`` is ``close``, ``abort`` or ``bury``."""
        key, flags = _meta_key(name, b"/%b=%d" % (how, item_id))
        self.connection.ask(b"mg %b%b" % (key, flags))

    def send_put(self, name: bytes, data: bytes, how: "HowPut") -> None:
        """Send a put, and let others follow before its reply is read by ``read_put``."""
        key, flags = _meta_key(name, how.options)
        head = b"ms %b %d F%d T%d M%b c%b\r\n"
        mode = b"P" if how.front else b"S"
        line = head % (key, len(data), how.flags, how.expiry, mode, flags)
        self.connection.send(line + data + b"\r\n")

    def read_put(self) -> int | None:
        """Return the id of the item of the oldest such put; ``None`` if it was not stored."""
        words = self.connection.reply().split(b" ")
        told = {word[:1]: word[1:] for word in words[1:]}
        return int(told.get(b"c", b"0")) if words[0] == b"HD" else None

    def delete(self, name: bytes) -> bool:
        """Delete a queue and all its items; return whether there was one."""
        key, flags = _meta_key(name, b"")
        return self.connection.ask(b"md %b%b" % (key, flags)) == b"HD"

    def act(self, verb: str, name: bytes, *words: object) -> bytes:
        """Send a command of operators for a queue, and return the reply, which is one line.

        Raises ``NotFoundError`` if there is no such queue or item.
        """
        told = [verb.encode(), names.in_a_line(name)]
        told += [word if isinstance(word, bytes) else str(word).encode() for word in words]
        reply = self.connection.ask(b" ".join(told))
        if reply == b"NOT_FOUND":
            raise NotFoundError(_not_there(verb, name, words))
        return reply

    def move(self, name: bytes, target: bytes | None, number: int) -> int:
        """Move the oldest items; ``None`` as the target for where each came from."""
        to = b"origin" if target is None else names.in_a_line(target)
        return int(self.act("move", name, to, number).removeprefix(b"MOVED "))


@attrs.frozen
class HowPut:
    """How an item is put."""

    options: bytes = b""
    """Options of the key, such as ``/delay=5``."""
    flags: int = 0
    expiry: int = 0
    """memcached's number: 0 for never, up to 30 days from now, above that a Unix time."""
    front: bool = False


def _meta_key(name: bytes, options: bytes) -> tuple[bytes, bytes]:
    """Return a key for a meta command, and the flag that it needs if it is in base64."""
    key = name + options
    return (key, b"") if names.is_sayable(name) else (base64.b64encode(key), b" b")


def _not_there(verb: str, name: bytes, words: Sequence[object]) -> str:
    if verb == "drop":
        return f"{names.shown(name)}: no item {words[0]!s} waits there"
    return f"there is no queue {names.shown(name)}"
