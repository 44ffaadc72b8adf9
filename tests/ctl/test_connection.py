"""Replies are read whole however they come, and what goes wrong is told in words."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from starling_py.connecting.address import Address
from starling_py.ctl.connection import Connection, SocketWire
from starling_py.ctl.errors import CommandRefused, UnreachableError


class ScriptWire:
    """Says what it was told to, in pieces, and then hangs up."""

    def __init__(self, told: bytes, piece: int = 1) -> None:
        self.sent = b""
        self._pieces = iter([told[i : i + piece] for i in range(0, len(told), piece)])

    def send(self, data: bytes) -> None:
        self.sent += data

    def receive(self) -> bytes:
        return next(self._pieces, b"")

    def close(self) -> None:
        """Hang up."""


def connection(told: bytes, piece: int = 1) -> Connection:
    return Connection(ScriptWire(told, piece), "there:1")


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_replies_are_read_however_they_are_cut(piece: int) -> None:
    told = connection(
        b"OK\r\nSTAT a 1\r\nSTAT b 2\r\nEND\r\n12345\r\nEND\r\nx\r\nEND\r\nOK\n", piece
    )
    assert told.ask(b"hello") == b"OK"
    assert list(told.lines(b"stats")) == [b"STAT a 1", b"STAT b 2"]
    assert told.exactly(7) == b"12345\r\n"
    assert told.block(b"dump_stats") == b""
    assert told.block(b"dump_stats") == b"x\r\n"
    assert told.line() == b"OK"


@pytest.mark.parametrize("piece", [1, 100])
@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"ERROR\r\n", "ERROR"),
        (b"CLIENT_ERROR not permitted: put jobs\r\n", "not permitted: put jobs"),
        (b"SERVER_ERROR the disk is \x1b[31mfull\r\n", r"the disk is \x1b[31mfull"),
        (b"ERROR: pause not enabled\r\n", "pause not enabled"),
    ],
)
def test_a_refusal_is_an_error_with_the_words_of_the_server(
    line: bytes, text: str, piece: int
) -> None:
    for ask in (Connection.ask, Connection.block, lambda made, what: list(made.lines(what))):
        with pytest.raises(CommandRefused) as problem:
            ask(connection(line, piece), b"pause jobs")
        assert str(problem.value) == text


def test_a_reply_that_is_cut_off_is_an_error_and_no_reply() -> None:
    for told in (b"", b"OK", b"STAT a 1\r\nEN"):
        with pytest.raises(UnreachableError, match="there:1: the server closed the connection"):
            list(connection(told).lines(b"stats"))


def test_a_line_without_end_is_given_up() -> None:
    with pytest.raises(UnreachableError, match="no starling-py answers there"):
        connection(b"x" * (1 << 21), 1 << 16).line()


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Path]:
    """Return the path of a socket at which somebody answers once, and then is silent."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(b"OK\r\n")
                while accepted.recv(100):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        yield path
        thread.join(60)
        assert not thread.is_alive()


def test_a_unix_socket_is_spoken_to_and_silence_has_an_end(silent: Path) -> None:
    wire = SocketWire(Address.parse(f"unix:{silent}"), 60)
    told = Connection(wire, "there")
    assert told.ask(b"hello") == b"OK"
    wire._socket.settimeout(0.2)
    with pytest.raises(UnreachableError, match="timed out"):
        told.ask(b"hello")
    told.close()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "cannot reach 127.0.0.1:1: Connection refused"),
        ("unix:/nowhere/at/all", "cannot reach unix:/nowhere/at/all: No such file or directory"),
        ("a" * 70 + ".example", "cannot reach a+.example:22122: not a host name"),
    ],
)
def test_who_cannot_be_reached_is_told_with_the_reason(address: str, reason: str) -> None:
    with pytest.raises(UnreachableError, match=reason):
        SocketWire(Address.parse(address), 1)
