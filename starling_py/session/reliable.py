"""Reliable reads: what ends an open read, or changes its lease.

Whatever is wrong with a command is found first, so a command that is refused has done nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from starling_py import keys
from starling_py.keys import Request, RequestError
from starling_py.protocol import commands
from starling_py.protocol.writer import Outcome
from starling_py.queues.expiry import PLAINLY_MS, reckoned, warn_of_milliseconds
from starling_py.queues.open_reads import OpenRead
from starling_py.queues.slices import Steps
from starling_py.session.client import Client
from starling_py.session.replies import CHANGED
from starling_py.session.serving import PROBLEMS


class Ending:
    """The open reads that one get ends, and what it may take because of that."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.reads: dict[OpenRead, Request] = {}
        """Each with the request that ends it, in their order."""
        self._own: dict[bytes, int] = {}
        """How many of them this client has opened, by queue."""
        self._oldest: dict[bytes, Iterator[OpenRead]] = {}
        """What this client has open and was not looked at yet, by queue, oldest first."""

    def find(self, request: Request) -> None:
        """Find the read that a request ends, if it does and there is one.

        Without an item's id, that is the oldest read of the queue that this client has open. Raises
        ``RequestError`` for an item whose read this client cannot end, or that is named twice,
        for no id where ``close_by_id`` wants one, and for a bury where nothing can be buried.
        """
        if not request.ends:
            return
        name = request.name
        if request.bury and self._dead_letter(name) is None:
            raise RequestError("the queue has no dead_letter to bury an item in")
        if request.item_id is None:
            _require_no_guess(self._client, name)
            if name not in self._oldest:
                self._oldest[name] = iter(self._client.holder.reads(name))
            read = next((each for each in self._oldest[name] if each not in self.reads), None)
        else:
            read = named(self._client, name, request.item_id)
            if read in self.reads:
                raise RequestError(f"item {request.item_id} is named twice")
        if read is not None:
            self.reads[read] = request
            if read.holder is self._client.holder:
                self._own[name] = self._own.get(name, 0) + 1

    def _dead_letter(self, name: bytes) -> bytes | None:
        return self._client.queues.directory.settings_of(name).dead_letter

    def check(self, request: Request) -> None:
        """Raise ``RequestError`` if a key asks for an item that this client must not have now.

        It must end an open read of a queue before it takes an item from there, and may have only
        so many open.
        """
        name = request.name
        if not request.takes or request.peek:
            return
        opened = self._client.holder.count(name) - self._own.get(name, 0)
        if request.open:
            settings = self._client.queues.directory.settings_of(name)
            if opened >= settings.max_open_reads:
                raise RequestError(
                    f"{opened} reads of this queue are open; close or abort one first"
                )
        elif opened:
            raise RequestError("a read of this queue is open; close or abort it first")

    def end(self, read: OpenRead) -> None:
        """End one of the reads.

        Raises ``JournalError``, and ``RequestError`` if the item was named and is not open any
        more: this may have taken some turns.
        """
        request = self.reads[read]
        target = self._dead_letter(request.name)
        if read.is_open and request.bury and target is not None:
            _bury(self._client, read, target)
        elif read.is_open:
            end_read(self._client, read, request)
        elif request.item_id is not None:
            raise RequestError(f"item {request.item_id} is not open")


def _require_no_guess(client: Client, name: bytes) -> None:
    """Raise ``RequestError`` if a command names no item's id and must not mean the oldest read.

    Behind a proxy, several clients share a connection, and the oldest read may be another's.
    """
    count = client.holder.count(name)
    if count > 1 and client.queues.directory.settings_of(name).close_by_id:
        raise RequestError(f"{count} reads of this queue are open; name the item by its id")


def named(client: Client, name: bytes, item_id: int) -> OpenRead:
    """Return the open read of an item. Raises ``RequestError`` if this client must not end it.

    A read without a lease can only be ended by the connection that opened it.
    """
    queue = client.queues.directory.find(name)
    read = None if queue is None else queue.open_reads.get(item_id)
    if read is None:
        raise RequestError(f"item {item_id} is not open")
    if read.lease is None and read.holder is not client.holder:
        raise RequestError(f"item {item_id} was opened elsewhere, without a lease")
    return read


def end_read(client: Client, read: OpenRead, request: Request) -> None:
    """Close or abort a read. Raises ``JournalError``."""
    if request.close:
        read.queue.confirm(read)
    elif request.delay:
        due_ms = client.queues.clock.wall_ms + int(request.delay * 1000)
        read.queue.give_back_later(read, due_ms)
    else:
        read.queue.give_back(read)
        return
    client.replies.depend(read.queue.journal)


def _bury(client: Client, read: OpenRead, target: bytes) -> None:
    """Move the item of an open read to a queue for dead letters.

    The reply depends on the commits of the queues that it has reached by then, mostly all.
    """
    move = read.queue.bury(read, target)
    for name in move.reached:
        reached = client.queues.directory.find(name)
        if reached is not None:
            client.replies.depend(reached.journal)


def lease_of(client: Client, exptime: int) -> tuple[float | None, int]:
    """Return the lease that memcached's exptime gives: its seconds, ``None`` for the queue's own.

    The second number is the moment of the wall clock that they were reckoned from, in milliseconds
    since the Unix epoch; 0 if from none.
    """
    if exptime <= 0:
        return None, 0
    if exptime >= PLAINLY_MS:
        warn_of_milliseconds(exptime, client.who)
    return reckoned(exptime, client.queues.clock.wall_ms)


def leased(request: Request, lease: tuple[float | None, int]) -> Request:
    """Return what a key asks for in a ``gat``: to open an item with a lease, as of ``lease_of``.

    A lease that the key itself names goes first. Raises ``RequestError`` for a key that takes no
    item.
    """
    if request.peek or not request.takes:
        raise RequestError("gat opens an item; this key does not")
    if request.lease is not None:
        return replace(request, open=True)
    return replace(request, open=True, lease=lease[0], lease_until_ms=lease[1])


def touch(client: Client, command: commands.Touch) -> None:
    """Give the oldest open read of a queue a new lease, or end it if that is over already."""
    counters = client.counters
    counters.cmd_touch += 1
    try:
        name = keys.parse_plain(command.key)
        _require_no_guess(client, name)
    except RequestError as problem:
        client.fail(problem, quiet=command.quiet)
        return
    read = client.holder.oldest(name)
    if read is None:
        counters.touch_misses += 1
        client.replies.add_outcome(Outcome.NOT_FOUND, quiet=command.quiet)
        return
    counters.touch_hits += 1
    if command.exptime < 0:
        read.queue.give_back(read)
    else:
        lease, until_ms = lease_of(client, command.exptime)
        end = client.queues.lease_end(read.queue.settings, lease)
        read.queue.open_reads.set_lease(read, end, until_ms)
    client.replies.add_outcome(Outcome.TOUCHED, quiet=command.quiet)


def confirm(client: Client, command: commands.Confirm) -> None:
    """Close the oldest reads of a queue that this client has open: ``count`` of them or none.

    That is Kestrel's rule.
    """
    client.at_length(_confirming(client, command))


def _confirming(client: Client, command: commands.Confirm) -> Steps:
    try:
        name = keys.parse_plain(command.key)
        _require_no_guess(client, name)
        reads = client.holder.reads(name)
        if not 0 < command.count <= len(reads):
            client.replies.add_outcome(Outcome.ERROR)
            return
        client.replies.depend(reads[0].queue.journal)
        for read in reads[: command.count]:
            if read.is_open:
                read.queue.confirm(read)
            yield None
    except PROBLEMS as problem:
        client.fail(problem)
        return
    client.replies.add_for([reads[0].queue.journal], Outcome.END, CHANGED)


HANDLERS: dict[type[commands.Command], Callable[[Client, Any], None]] = {
    commands.Touch: touch,
    commands.Confirm: confirm,
}
