"""Ruby's methods for threads, and what this server knows beyond them."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from pymemcache.exceptions import MemcacheError

from starling_py.client.queue_commands import QueueCommands
from starling_py.client.servers import Server, Servers, StarlingError, lines_of

WAIT_TIME = 0.25
"""Seconds that a blocking get waits at one server before it asks another one, and after which a
put that failed is tried again."""
SET_RETRIES = 3
"""Times that a put is tried again before it fails, each at any server that is alive."""

NOTHING = object()
"""Stands for no item: ``None`` may be one."""


class Starling(QueueCommands):
    """Queues on one server or several; not for two threads at the same time."""

    def __init__(
        self,
        servers: str | Iterable[str] = "127.0.0.1",
        *,
        timeout: float = 5,
        name: str | None = None,
    ) -> None:
        """Take the servers' addresses; connect to none of them yet.

        Each is ``host``, ``host:port``, ``tls:host:port`` or ``unix:/path``, with ``user@`` before
        the host at a server with users. The environment says the rest, as for ``starling-ctl``:
        ``STARLING_USER``, ``STARLING_PASSWORD_FILE`` or ``STARLING_PASSWORD``, ``STARLING_CA`` and
        ``STARLING_CERT``.

        ``timeout`` is in seconds: how long a server may keep silent before it counts as dead.
        ``name`` is what the client is called in ``consumers`` and in the server's log: up to 64
        printable characters of ASCII without a blank. Raises ``ValueError``.
        """
        if name is not None and not re.fullmatch(r"[!-~]{1,64}", name):
            raise ValueError(f"{name!r}: a name has 1 to 64 printable characters, and no blank")
        greeting = "" if name is None else f"hello {name}"
        self._servers = Servers(servers, timeout, greeting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._servers.close()

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
        if once is None:
            return self._servers.ask_any(lambda client: client.set(queue, item, expire=expiry))
        key = f"{queue}/once={once}"
        return self._servers.ask_one_for(once, lambda client: client.set(key, item, expire=expiry))

    def get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ANN401 - any value
        """Take the oldest value of a queue; wait until there is one.

        ``timeout`` is in seconds, ``None`` to wait for ever; when it is over, ``None`` is returned.
        Raises ``StarlingError`` when no server is alive.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while (value := self.wait_once(queue, end)) is NOTHING:
            pass
        return value

    def wait_once(self, queue: str, end: float | None) -> Any:  # noqa: ANN401 - any value
        """Do one step of a blocking get: wait at one server, at most until ``end``.

        ``end`` is a monotonic time, ``None`` for never. Without a value, returns ``None`` when that
        is over, and before that ``NOTHING``, which no value can be.
        """
        left = WAIT_TIME if end is None else min(WAIT_TIME, max(end - time.monotonic(), 0.0))
        value = self._take(queue, left)
        is_over = end is not None and time.monotonic() >= end
        return None if value is NOTHING and is_over else value

    def first(self, queues: Iterable[str], timeout: float = 0) -> tuple[str, Any] | None:
        """Take one value from the first of these queues that has one, on one of the servers.

        ``timeout`` is how many seconds to wait there if none has; ``None`` is returned then.
        Otherwise the queue's name comes with the value. Raises ``StarlingError`` when no server is
        alive, and ``ValueError`` without a queue.
        """
        names = list(queues)
        if not names:
            raise ValueError("no queues")
        keys = [*names[:-1], f"{names[-1]}/t={round(timeout * 1000)}"]
        keys[0] += "/first"
        found = self._servers.ask_any(lambda client: client.get_many(keys))
        for key, value in found.items():
            return key.split("/")[0], value
        return None

    def ask_raw(self, command: str) -> list[tuple[str, list[str]]]:
        """Send a command to every server that is alive; return the lines of each reply.

        Each comes with ``host:port``. Raises ``StarlingError`` when no server is alive, or one
        refuses.
        """
        data = command.encode(errors="surrogateescape")
        told = []
        for server, reply in self._servers.ask_all(lambda client: lines_of(client, data)):
            lines = [_text(line) for line in reply]
            wrong = [line for line in lines if "ERROR" in line.partition(" ")[0]]
            if wrong:
                raise StarlingError(f"{server.where}: {wrong[0]}")
            told.append((server.where, lines))
        return told

    def fetch(self, queue: str) -> Any:  # noqa: ANN401 - any value
        """Take the oldest value of a queue on one of the servers; ``None`` if there is none."""
        value = self._take(queue, 0)
        return None if value is NOTHING else value

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
                    value = server.ask(lambda client: client.get(queue, default=NOTHING))
                except (OSError, MemcacheError) as error:
                    server.bury(error)
                    break
                if value is NOTHING:
                    break
                yield value

    def delete(self, queue: str) -> bool:
        """Delete a queue on every server that is alive; return whether any had it.

        Raises ``StarlingError`` when no server is alive.
        """
        return any(had for _, had in self._servers.ask_all(lambda client: client.delete(queue)))

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
        return {server.where: stats for server, stats in self._stats()}

    def _stats(self) -> list[tuple[Server, dict[str, Any]]]:
        return [
            (server, {_text(key): _number(_text(value)) for key, value in stats.items()})
            for server, stats in self._servers.ask_all(lambda client: client.stats())
        ]

    def _take(self, queue: str, wait: float) -> Any:  # noqa: ANN401 - any value
        key = f"{queue}/t={round(wait * 1000)}" if wait else queue
        return self._servers.ask_any(lambda client: client.get(key, default=NOTHING))


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
