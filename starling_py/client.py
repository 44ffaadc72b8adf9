"""A client with the methods of Ruby's Starling class, for old code that is brought to Python.

``Starling`` is for threads, ``AsyncStarling`` for trio. Items are spread over several servers: each
call goes to one of them, picked at random, and one that fails is left alone for some time. So the
order holds within each server only, as it always did. Bytes are stored as they are; any other
value is stored as JSON, which every language reads. Needs pymemcache, which the extra ``client``
installs.
"""

import json
import random
import time
from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar

import attrs
import trio
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError

WAIT_TIME = 0.25
"""Seconds that a blocking get waits at one server before it asks another one."""
RETRY_DELAY = 30.0
"""Seconds for which a server that failed is left alone."""
SET_TRIES = 3
"""Times that a put is tried before it fails, each at a server of its own if there are several."""
DEFAULT_PORT = 22122

_JSON = 1
"""The flag of an item that is stored as JSON."""
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


def _address(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    if not colon:
        return server, DEFAULT_PORT
    if not port.isdigit():
        raise ValueError(f"{server}: a server is host:port")
    return host.strip("[]"), int(port)


class Starling:
    """Queues on one server or several; not for two threads at the same time."""

    def __init__(self, servers: str | Iterable[str] = "127.0.0.1", *, timeout: float = 5) -> None:
        """Take servers as ``host`` or ``host:port``; none of them is asked for anything yet.

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

    def set(self, queue: str, value: object, expiry: int = 0) -> None:
        """Put a value at the end of a queue; ``expiry`` is memcached's number, 0 for never.

        Raises ``StarlingError`` when no server stored it. After a connection that broke, it may
        have been stored all the same, so it may be there twice.
        """
        reason: object = "no server is alive"
        for _ in range(SET_TRIES):
            try:
                if self._ask(lambda client: client.set(queue, value, expire=expiry)):
                    return
                reason = "it was not stored; the queue may be full"
            except StarlingError as error:
                reason = error
        raise StarlingError(f"{queue}: {reason}")

    def get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ANN401 - any value
        """Take the oldest value of a queue, and wait until there is one.

        With ``timeout``, in seconds, ``None`` is returned when that is over. Raises
        ``StarlingError`` when no server is alive.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = WAIT_TIME if end is None else min(WAIT_TIME, max(end - time.monotonic(), 0.0))
            value = self._take(queue, left)
            if value is not None or (end is not None and time.monotonic() >= end):
                return value

    def fetch(self, queue: str) -> Any:  # noqa: ANN401 - any value
        """Take the oldest value of a queue on one of the servers; ``None`` if there is none."""
        return self._take(queue, 0)

    def flush(self, queue: str, callback: Callable[[Any], object] | None = None) -> int:
        """Take everything out of a queue, handing each value over; return how many there were."""
        count = 0
        while self.sizeof(queue):
            value = self.fetch(queue)
            if value is not None:
                count += 1
                if callback is not None:
                    callback(value)
        return count

    def delete(self, queue: str) -> bool:
        """Delete a queue on every server; return whether any had it."""
        had_it = [server.client.delete(queue) for server in self._alive()]
        return any(had_it)

    def sizeof(self, queue: str | None = None) -> Any:  # noqa: ANN401 - an int, or a dict of them
        """Return how many items a queue has, on all servers together; without one, those of all."""
        sizes: dict[str, int] = {}
        for stats in self.stats().values():
            for name in _queues(stats):
                sizes[name] = sizes.get(name, 0) + int(stats[f"queue_{name}_items"])
        return sizes if queue is None else sizes.get(queue, 0)

    def available_queues(self) -> list[str]:
        """Return the names of the queues that there are, in order."""
        return sorted({name for stats in self.stats().values() for name in _queues(stats)})

    def stats(self) -> dict[str, dict[str, str]]:
        """Return the statistics of every server that is alive, by ``host:port``."""
        found = {}
        for server in self._alive():
            try:
                pairs = server.client.stats().items()
            except (OSError, MemcacheError) as error:
                self._bury(server, error)
                continue
            name = f"{server.address[0]}:{server.address[1]}"
            found[name] = {_text(key): _text(value) for key, value in pairs}
        return found

    def _take(self, queue: str, wait: float) -> Any:  # noqa: ANN401 - any value
        key = f"{queue}/t={round(wait * 1000)}" if wait else queue
        return self._ask(lambda client: client.get(key))

    def _ask(self, what: Callable[[Client], Answer]) -> Answer:
        """Ask one server after another, in any order, until one answers."""
        reason: object = "no server is alive"
        for server in self._alive():
            try:
                return what(server.client)
            except (OSError, MemcacheError) as error:
                self._bury(server, error)
                reason = f"{server.address[0]}:{server.address[1]}: {error}"
        raise StarlingError(str(reason))

    def _alive(self) -> list[_Server]:
        """Return the servers that may be asked, in any order; all of them if all seem dead."""
        now = time.monotonic()
        alive = [server for server in self._servers if server.dead_until <= now]
        servers = alive or list(self._servers)
        random.shuffle(servers)
        return servers

    @staticmethod
    def _bury(server: _Server, error: Exception) -> None:
        """Leave a server alone for a while, unless it answered, if only with an error."""
        server.client.close()
        if isinstance(error, OSError):
            server.dead_until = time.monotonic() + RETRY_DELAY


class AsyncStarling:
    """The same for trio: each call runs in a thread, one at a time."""

    def __init__(self, servers: str | Iterable[str] = "127.0.0.1", *, timeout: float = 5) -> None:
        """Take what ``Starling`` takes."""
        self._starling = Starling(servers, timeout=timeout)
        self._one_at_a_time = trio.Lock()

    async def set(self, queue: str, value: object, expiry: int = 0) -> None:
        """Put a value at the end of a queue, as ``Starling.set``."""
        await self._run(lambda: self._starling.set(queue, value, expiry))

    async def get(self, queue: str) -> Any:  # noqa: ANN401 - any value
        """Take the oldest value of a queue, and wait until there is one.

        It can be cancelled between two waits of ``WAIT_TIME``; no value is lost by that.
        """
        while True:
            value = await self._run(lambda: self._starling.get(queue, WAIT_TIME))
            if value is not None:
                return value

    async def fetch(self, queue: str) -> Any:  # noqa: ANN401 - any value
        """Take the oldest value of a queue; ``None`` if there is none."""
        return await self._run(lambda: self._starling.fetch(queue))

    async def flush(self, queue: str) -> list[Any]:
        """Take everything out of a queue, and return it."""
        values: list[Any] = []
        await self._run(lambda: self._starling.flush(queue, values.append))
        return values

    async def delete(self, queue: str) -> bool:
        """Delete a queue on every server; return whether any had it."""
        return await self._run(lambda: self._starling.delete(queue))

    async def sizeof(self, queue: str | None = None) -> Any:  # noqa: ANN401 - as Starling.sizeof
        """Return how many items a queue has; without one, those of all."""
        return await self._run(lambda: self._starling.sizeof(queue))

    async def available_queues(self) -> list[str]:
        """Return the names of the queues that there are, in order."""
        return await self._run(self._starling.available_queues)

    async def stats(self) -> dict[str, dict[str, str]]:
        """Return the statistics of every server that is alive."""
        return await self._run(self._starling.stats)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._run(self._starling.close)

    async def _run(self, what: Callable[[], Answer]) -> Answer:
        async with self._one_at_a_time:
            # Not abandoned when cancelled: what a get has taken must not be dropped unseen.
            return await trio.to_thread.run_sync(what)


def _queues(stats: dict[str, str]) -> list[str]:
    """Return the names of the queues in some statistics; no queue is without its ``logsize``."""
    names = [key.removeprefix("queue_").removesuffix("_logsize") for key in stats]
    return [name for name in names if f"queue_{name}_logsize" in stats]


def _text(value: object) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)
