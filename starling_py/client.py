"""A client with the methods of Ruby's Starling class, for old code that is ported to Python.

``Starling`` is for threads, ``AsyncStarling`` for trio. Items are spread over several servers: each
call goes to one of them, picked at random, and one that fails is left alone for some time. So the
order holds within each server only, as it always did. Servers of one group (docs/cluster.md) may
stand in the list together: the owner is found, and waited for while there is none. Bytes are stored
as they are; any other value is stored as JSON, which every language reads. Needs pymemcache, which
the extra ``client`` installs.

Where the Ruby class did harm, these do better: a put that no server accepted is an error, a
deletion reaches every server instead of some picked at random, a flush never waits, and a blocking
get waits at the server instead of asking every quarter of a second.
"""

import json
import random
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TypeVar

import attrs
import trio
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError, MemcacheUnexpectedCloseError

from starling_py.queue_commands import QueueCommands

WAIT_TIME = 0.25
"""Seconds that a blocking get waits at one server before it asks another one, and after which a
put that failed is tried again."""
RETRY_DELAY = 30.0
"""Seconds for which a server that failed is left alone."""
FOLLOWS_DELAY = 1.0
"""Seconds for which a server of a group that is not the owner is left alone."""
TAKEOVER_TIME = 10.0
"""Seconds for which a call waits until a group has an owner that answers."""
SET_RETRIES = 3
"""Times that a put is tried again before it fails, each at any server that is alive."""
DEFAULT_PORT = 22122

_FOLLOWS = ("this server follows", "the cluster does not answer")
"""What a server of a group answers while it is not the owner, or does not know whether it is."""
_JSON = 1
"""The flag of an item that is stored as JSON."""
_NOTHING = object()
"""Stands for no item: ``None`` may be one."""
Answer = TypeVar("Answer")


class StarlingError(Exception):
    """No server could do what was asked; the text says why."""


class _Values:
    """How values become items and back; pymemcache calls this a serde."""

    def serialize(self, _key: object, value: object) -> tuple[bytes, int]:
        if isinstance(value, bytes):
            return value, 0
        return json.dumps(value).encode(), _JSON

    def deserialize(self, _key: object, data: bytes, flags: int) -> object:
        return json.loads(data) if flags == _JSON else data


@attrs.define(eq=False)
class _Server:
    """One server, and whether it is worth asking."""

    address: tuple[str, int]
    client: Client
    dead_until: float = 0.0
    """The monotonic time until which it is left alone."""
    in_group: bool = False
    """Whether it has ever said that another one is the owner."""

    def ask(self, what: Callable[[Client], Answer]) -> Answer:
        """Ask the server; ask once more if it has closed the connection since the last time."""
        try:
            return what(self.client)
        except (ConnectionError, MemcacheUnexpectedCloseError):
            self.client.close()
            return what(self.client)

    def bury(self, error: Exception) -> str:
        """Leave the server alone for a while, unless ``error`` is an answer of its own.

        Returns what to say about it.
        """
        self.client.close()
        if isinstance(error, (OSError, MemcacheUnexpectedCloseError)):
            self.dead_until = time.monotonic() + RETRY_DELAY
        elif any(words in str(error) for words in _FOLLOWS):
            self.in_group = True
            self.dead_until = time.monotonic() + FOLLOWS_DELAY
        return f"{self.address[0]}:{self.address[1]}: {error}"


def _address(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    if not colon:
        return server, DEFAULT_PORT
    if not port.isdigit():
        raise ValueError(f"{server}: a server is host:port")
    return host.strip("[]"), int(port)


class Starling(QueueCommands):
    """Queues on one server or several; not for two threads at the same time."""

    def __init__(self, servers: str | Iterable[str] = "127.0.0.1", *, timeout: float = 5) -> None:
        """Take the servers as ``host`` or ``host:port``; connect to none of them yet.

        ``timeout`` is in seconds: how long a server may keep silent before it counts as dead.
        Raises ``ValueError``.
        """
        names = [servers] if isinstance(servers, str) else list(servers)
        if not names:
            raise ValueError("no servers")
        options = {"default_noreply": False, "serde": _Values(), "no_delay": True}
        self._servers = [
            _Server(address, Client(address, timeout=timeout, connect_timeout=timeout, **options))
            for address in map(_address, names)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        for server in self._servers:
            server.client.close()

    def set(
        self,
        queue: str,
        value: object,
        expiry: int = 0,
        raw: bool = False,
        *,
        once: str | None = None,
    ) -> None:
        """Put a value at the end of a queue; ``expiry`` is memcached's number, 0 for never.

        ``once`` is a token, of up to 100 bytes without blanks and slashes: a value that is sent
        again with it is stored once. It goes to one certain server, and to no other. With ``raw``,
        the value is stored as the bytes of its text. Raises ``StarlingError`` when no server stored
        it. After a connection that broke, it may have been stored all the same, so without a token
        it may be there twice.
        """
        item = str(value).encode() if raw and not isinstance(value, bytes) else value
        reason: object = "no server is alive"
        for attempt in range(1 + SET_RETRIES):
            if attempt:
                time.sleep(WAIT_TIME)
            try:
                if self._store(queue, item, expiry, once):
                    return
                reason = "it was not stored; the queue may be full"
            except StarlingError as error:
                reason = error
        raise StarlingError(f"{queue}: {reason}")

    def _store(self, queue: str, item: object, expiry: int, once: str | None) -> Any:  # noqa: ANN401 - as pymemcache has it
        """Put an item once more; what has a token always goes to the same server."""
        key = queue if once is None else f"{queue}/once={once}"
        if once is None or self._is_group:
            return self._ask(lambda client: client.set(key, item, expire=expiry))
        server = self._servers[zlib.crc32(once.encode()) % len(self._servers)]
        return _ask_one(server, lambda client: client.set(key, item, expire=expiry))

    def get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ANN401 - any value
        """Take the oldest value of a queue; wait until there is one.

        ``timeout`` is in seconds, ``None`` to wait for ever; when it is over, ``None`` is returned.
        Raises ``StarlingError`` when no server is alive.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while (value := self.wait_once(queue, end)) is _NOTHING:
            pass
        return value

    def wait_once(self, queue: str, end: float | None) -> Any:  # noqa: ANN401 - any value
        """Do one step of a blocking get: wait at one server, at most until ``end``.

        ``end`` is a monotonic time, ``None`` for never. Without a value, returns ``None`` when that
        is over, and before that ``_NOTHING``, which no value can be.
        """
        left = WAIT_TIME if end is None else min(WAIT_TIME, max(end - time.monotonic(), 0.0))
        value = self._take(queue, left)
        is_over = end is not None and time.monotonic() >= end
        return None if value is _NOTHING and is_over else value

    def first(self, queues: Iterable[str], timeout: float = 0) -> tuple[str, Any] | None:
        """Take one value from the first of these queues that has one, on one of the servers.

        ``timeout`` is how many seconds to wait there if none has; ``None`` is returned then.
        Otherwise the queue's name comes with the value.
        """
        names = list(queues)
        keys = [*names[:-1], f"{names[-1]}/t={round(timeout * 1000)}"]
        keys[0] += "/first"
        found = self._ask(lambda client: client.get_many(keys))
        for key, value in found.items():
            return key.split("/")[0], value
        return None

    def ask_raw(self, command: str) -> list[tuple[str, list[str]]]:
        """Send a command to every server that is alive; return the lines of each reply.

        Each comes with ``host:port``. Raises ``StarlingError`` when no server is alive, or one
        refuses.
        """
        # A reply may have one line or many: what ends it is that of another command.
        found = self._ask_all(lambda client: client.raw_command(f"{command}\r\nmn", b"MN\r\n"))
        told = []
        for server, reply in found:
            where = f"{server.address[0]}:{server.address[1]}"
            lines = _text(reply).splitlines()
            wrong = [line for line in lines if "ERROR" in line.partition(" ")[0]]
            if wrong:
                raise StarlingError(f"{where}: {wrong[0]}")
            told.append((where, lines))
        return told

    def fetch(self, queue: str) -> Any:  # noqa: ANN401 - any value
        """Take the oldest value of a queue on one of the servers; ``None`` if there is none."""
        value = self._take(queue, 0)
        return None if value is _NOTHING else value

    def flush(self, queue: str, callback: Callable[[Any], object] | None = None) -> int:
        """Take everything out of a queue, give each value to ``callback``; return how many.

        What is put in the meantime may stay. Raises ``StarlingError`` when no server is alive.
        """
        count = 0
        for value in self.taken_out(queue):
            count += 1
            if callback is not None:
                callback(value)
        return count

    def taken_out(self, queue: str) -> Iterator[Any]:
        """Take everything out of a queue, each value when the iterator is asked for it."""
        for server, stats in self._stats():
            for _ in range(_size(stats, queue)):
                try:
                    value = server.ask(lambda client: client.get(queue, default=_NOTHING))
                except (OSError, MemcacheError) as error:
                    server.bury(error)
                    break
                if value is _NOTHING:
                    break
                yield value

    def delete(self, queue: str) -> bool:
        """Delete a queue on every server that is alive; return whether any had it.

        Raises ``StarlingError`` when no server is alive.
        """
        return any(had for _, had in self._ask_all(lambda client: client.delete(queue)))

    def sizeof(self, queue: str | None = None) -> Any:  # noqa: ANN401 - an int, or a dict of them
        """Return how many items a queue has on all servers together.

        ``None`` for all queues: then it is a dictionary of their numbers by name.
        """
        found = [stats for _, stats in self._stats()]
        if queue is not None:
            return sum(_size(stats, queue) for stats in found)
        names = sorted({name for stats in found for name in _queues(stats)})
        return {name: sum(_size(stats, name) for stats in found) for name in names}

    def available_queues(self) -> list[str]:
        """Return the names of all queues, in order."""
        return sorted({name for _, stats in self._stats() for name in _queues(stats)})

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return the statistics of every server that is alive, by ``host:port``.

        A statistic that is a number comes as an ``int`` or ``float``. Raises ``StarlingError`` when
        no server is alive.
        """
        return {
            f"{server.address[0]}:{server.address[1]}": stats for server, stats in self._stats()
        }

    def _stats(self) -> list[tuple[_Server, dict[str, Any]]]:
        return [
            (server, {_text(key): _number(_text(value)) for key, value in stats.items()})
            for server, stats in self._ask_all(lambda client: client.stats())
        ]

    def _take(self, queue: str, wait: float) -> Any:  # noqa: ANN401 - any value
        key = f"{queue}/t={round(wait * 1000)}" if wait else queue
        return self._ask(lambda client: client.get(key, default=_NOTHING))

    def _ask(self, what: Callable[[Client], Answer]) -> Answer:
        """Ask one server after another, in any order, until one answers.

        If they are a group, wait until it has an owner again. Raises ``StarlingError`` when none
        does.
        """
        end = time.monotonic() + TAKEOVER_TIME
        while True:
            reason: object = "no server is alive"
            for server in self._alive():
                try:
                    return server.ask(what)
                except (OSError, MemcacheError) as error:
                    reason = server.bury(error)
            if not self._is_group or time.monotonic() >= end:
                raise StarlingError(str(reason))
            time.sleep(WAIT_TIME)

    @property
    def _is_group(self) -> bool:
        """Whether one of the servers has said that another one is the owner."""
        return any(server.in_group for server in self._servers)

    def _ask_all(self, what: Callable[[Client], Answer]) -> list[tuple[_Server, Answer]]:
        """Ask every server that is alive. Raises ``StarlingError`` when none answers."""
        answers = []
        reason: object = "no server is alive"
        for server in self._alive():
            try:
                answers.append((server, server.ask(what)))
            except (OSError, MemcacheError) as error:
                reason = server.bury(error)
        if not answers:
            raise StarlingError(str(reason))
        return answers

    def _alive(self) -> list[_Server]:
        """Return the servers that may be asked, in any order; all of them if all seem dead."""
        now = time.monotonic()
        alive = [server for server in self._servers if server.dead_until <= now]
        servers = alive or list(self._servers)
        random.shuffle(servers)
        return servers


class AsyncStarling:
    """Ruby's methods for trio: each call runs in a thread, one at a time."""

    def __init__(self, servers: str | Iterable[str] = "127.0.0.1", *, timeout: float = 5) -> None:
        """Take the same arguments as ``Starling``."""
        self._starling = Starling(servers, timeout=timeout)
        self._one_at_a_time = trio.Lock()

    async def set(self, queue: str, value: object, expiry: int = 0, raw: bool = False) -> None:
        """Put a value at the end of a queue, as ``Starling.set``."""
        await self._run(lambda: self._starling.set(queue, value, expiry, raw))

    async def get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ANN401, ASYNC109 - Ruby's
        """Take the oldest value of a queue; wait until there is one, as ``Starling.get``.

        It can be cancelled between two waits of ``WAIT_TIME``, and no value is lost by that.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            value = await self._run(lambda: self._starling.wait_once(queue, end))
            if value is not _NOTHING:
                return value

    async def fetch(self, queue: str) -> Any:  # noqa: ANN401 - any value
        """Take the oldest value of a queue; ``None`` if there is none."""
        return await self._run(lambda: self._starling.fetch(queue))

    async def flush(self, queue: str, callback: Callable[[Any], object] | None = None) -> int:
        """Take everything out of a queue, as ``Starling.flush``; the callback is a plain function.

        When it is cancelled, what was taken out has been handed over, and the rest is still there.
        """
        count = 0
        values = self._starling.taken_out(queue)
        while (value := await self._run(lambda: next(values, _NOTHING))) is not _NOTHING:
            count += 1
            if callback is not None:
                callback(value)
        return count

    async def delete(self, queue: str) -> bool:
        """Delete a queue on every server; return whether any had it."""
        return await self._run(lambda: self._starling.delete(queue))

    async def sizeof(self, queue: str | None = None) -> Any:  # noqa: ANN401 - as Starling.sizeof
        """Return how many items a queue has, or all queues, as ``Starling.sizeof``."""
        return await self._run(lambda: self._starling.sizeof(queue))

    async def available_queues(self) -> list[str]:
        """Return the names of all queues, in order."""
        return await self._run(self._starling.available_queues)

    async def stats(self) -> dict[str, dict[str, Any]]:
        """Return the statistics of every server that is alive."""
        return await self._run(self._starling.stats)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._run(self._starling.close)

    async def _run(self, what: Callable[[], Answer]) -> Answer:
        async with self._one_at_a_time:
            # Not abandoned when cancelled: what a get has taken must not be dropped unseen.
            return await trio.to_thread.run_sync(what)


def _ask_one(server: _Server, what: Callable[[Client], Answer]) -> Answer:
    """Ask one certain server. Raises ``StarlingError`` when it does not answer."""
    try:
        return server.ask(what)
    except (OSError, MemcacheError) as error:
        raise StarlingError(server.bury(error)) from error


def _queues(stats: dict[str, Any]) -> list[str]:
    """Return the names of the queues in a server's statistics: every queue has a ``logsize``."""
    names = [key.removeprefix("queue_").removesuffix("_logsize") for key in stats]
    return [name for name in names if f"queue_{name}_logsize" in stats]


def _size(stats: dict[str, Any], queue: str) -> int:
    size: int = stats.get(f"queue_{queue}_items", 0)
    return size


def _text(value: object) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


def _number(text: str) -> Any:  # noqa: ANN401 - a number, or the text
    """Return a statistic as a number, if it is one."""
    if text.isdecimal():
        return int(text)
    whole, point, rest = text.partition(".")
    return float(text) if point and whole.isdecimal() and rest.isdecimal() else text
