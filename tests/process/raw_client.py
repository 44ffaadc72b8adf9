"""A client that knows exactly what it sent and what came back: nothing is hidden or tried again."""

import socket
from collections.abc import Iterable, Sequence
from typing import Self

import attrs

from tests.process.server_process import PATIENCE


@attrs.frozen
class Taken:
    """One item of a reply to ``get``."""

    key: bytes
    """The key as it was asked for, options included."""
    flags: int
    data: bytes


@attrs.frozen
class Given:
    """One item to be put."""

    queue: bytes
    data: bytes
    flags: int = 0

    def command(self) -> bytes:
        """Return the command that puts it."""
        return b"set %b %d 0 %d\r\n%b\r\n" % (self.queue, self.flags, len(self.data), self.data)


class RawClient:
    """One connection.

    Every method raises ``ConnectionError`` when the connection ends before the whole reply is
    there, ``TimeoutError`` when the server keeps silent, and ``AssertionError`` when it answers
    something else than it should.
    """

    def __init__(self, port: int, patience: float = PATIENCE) -> None:
        """``patience`` is in seconds: how long the server may keep silent."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._replies.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send commands without waiting for their replies."""
        self._socket.sendall(data)

    def ask(self, command: bytes) -> bytes:
        """Send a command, and return the one line of its reply."""
        self.send(command)
        return self._line()

    def check_put(self, *items: Given) -> None:
        """Put items with all commands under way at once, and check that each is stored."""
        self.send(b"".join(item.command() for item in items))
        for _ in items:
            self.expect_stored()

    def try_put(self, *items: Given) -> list[bool]:
        """Put items, and tell which were stored; the others are server errors."""
        self.send(b"".join(item.command() for item in items))
        return [self._is_stored() for _ in items]

    def check_put_all(self, items: Iterable[Given], at_once: int = 1000) -> None:
        """Put any number of items, so many at a time, and check that each is stored."""
        batch: list[Given] = []
        for item in items:
            batch.append(item)
            if len(batch) == at_once:
                self.check_put(*batch)
                batch.clear()
        self.check_put(*batch)

    def expect_stored(self) -> None:
        """Read the reply to a put; anything but success is a failure."""
        line = self._line()
        assert line == b"STORED", line

    def get(self, *keys: bytes) -> list[Taken]:
        """Get at most one item for each key, with one command."""
        self.send(b"get %b\r\n" % b" ".join(keys))
        return self.read_taken()

    def get_one(self, key: bytes) -> bytes | None:
        """Get the data of at most one item."""
        taken = self.get(key)
        assert len(taken) <= 1
        return taken[0].data if taken else None

    def get_all(self, keys: Sequence[bytes], at_once: int = 1000) -> list[bytes | None]:
        """Get at most one item for each key, with a command for each and many under way."""
        data: list[bytes | None] = []
        for start in range(0, len(keys), at_once):
            batch = keys[start : start + at_once]
            self.send(b"".join(b"get %b\r\n" % key for key in batch))
            for _ in batch:
                taken = self.read_taken()
                assert len(taken) <= 1
                data.append(taken[0].data if taken else None)
        return data

    def read_taken(self) -> list[Taken]:
        """Read the whole reply to a ``get``."""
        taken: list[Taken] = []
        while (line := self._line()) != b"END":
            words = line.split(b" ")
            assert len(words) == 4, line
            assert words[0] == b"VALUE", line
            data = self._exactly(int(words[3]) + 2)
            assert data[-2:] == b"\r\n"
            taken.append(Taken(words[1], int(words[2]), data[:-2]))
        return taken

    def stats(self, what: bytes = b"") -> dict[bytes, bytes]:
        """Return statistics by name; ``what`` is the part of them that is wanted."""
        self.send(b"stats %b\r\n" % what if what else b"stats\r\n")
        pairs: dict[bytes, bytes] = {}
        while (line := self._line()) != b"END":
            word, name, value = line.split(b" ")
            assert word == b"STAT", line
            pairs[name] = value
        return pairs

    def stat(self, name: bytes) -> int:
        """Return one number of the statistics."""
        return int(self.stats()[name])

    def _is_stored(self) -> bool:
        line = self._line()
        assert line == b"STORED" or line.startswith(b"SERVER_ERROR "), line
        return line == b"STORED"

    def _line(self) -> bytes:
        line = self._replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection ended before the reply did")
        return line[:-2]

    def _exactly(self, size: int) -> bytes:
        data = self._replies.read(size)
        if len(data) < size:
            raise ConnectionError("the connection ended before the reply did")
        return data
