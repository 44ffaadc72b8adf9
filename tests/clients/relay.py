"""A relay between a client and the server that keeps what both said, to be shown."""

import contextlib
import re
import socket
import threading
from collections import deque
from collections.abc import Iterator
from typing import Self

import attrs

_KEPT = 40
"""How many pieces of a connection are kept: the last ones."""
_SHOWN = 200
"""How many bytes of a piece are shown."""
_META = re.compile(rb"^m[gsdan]\b", re.MULTILINE)


@attrs.define
class _Line:
    """One connection: which dialect its client speaks, and what was said last."""

    dialect: str = ""
    pieces: deque[tuple[str, bytes]] = attrs.field(factory=lambda: deque(maxlen=_KEPT))

    def note(self, arrow: str, data: bytes) -> None:
        if arrow == ">" and self.dialect in ("", "text"):
            if not self.dialect and data[0] == 0x80:
                self.dialect = "binary"
            else:
                self.dialect = "meta" if _META.search(data) else "text"
        self.pieces.append((arrow, data))


class Relay:
    """Listens on a port of its own and passes every connection on to the server's."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._lines: list[_Line] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    @property
    def dialects(self) -> set[str]:
        """The dialects that were spoken."""
        return {line.dialect for line in self._lines} - {""}

    def record(self) -> Iterator[str]:
        """Show what was said last on each connection."""
        for number, line in enumerate(self._lines, 1):
            yield f"connection {number} ({line.dialect})"
            for arrow, data in line.pieces:
                rest = f" … {len(data)} bytes" if len(data) > _SHOWN else ""
                yield f"  {arrow} {data[:_SHOWN]!r}{rest}"

    def times_said(self, words: bytes) -> int:
        """Return how often these words came from a client, in what is kept."""
        said = [data for line in self._lines for arrow, data in list(line.pieces) if arrow == ">"]
        return sum(data.count(words) for data in said)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = _Line()
            self._lines.append(line)
            thread = threading.Thread(target=_serve, args=(client, server, line))
            thread.start()
            self._threads.append(thread)


def _serve(client: socket.socket, server: socket.socket, line: _Line) -> None:
    with client, server:
        back = threading.Thread(target=_pump, args=(server, client, "<", line))
        back.start()
        _pump(client, server, ">", line)
        back.join()


def _pump(source: socket.socket, target: socket.socket, arrow: str, line: _Line) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            line.note(arrow, data)
            target.sendall(data)
    # Half a close stays half a close: `nc -N` reads its replies after it.
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
