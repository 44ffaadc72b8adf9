"""What the Python client reads of a server's replies, whatever pieces they come in."""

import socket

import pytest
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheUnexpectedCloseError

from starling_py.client.servers import lines_of

REPLY = b"ITEM 1 5\r\nITEM 2 7\r\nEND\r\nMN\r\n"


def asked(*pieces: bytes) -> list[bytes]:
    """Return what is understood of a reply that comes in pieces, after which the server hangs up.

    The next piece is sent when the one before has been read.
    """
    ours, theirs = socket.socketpair()
    client = Client(("unused", 1))
    client.sock = Trickle(ours, list(pieces), theirs)
    with ours, theirs:
        return lines_of(client, b"browse q")


class Trickle:
    """A socket that gives one piece at a time."""

    def __init__(self, real: socket.socket, pieces: list[bytes], other: socket.socket) -> None:
        self._real = real
        self._pieces = pieces
        self._other = other

    def sendall(self, data: bytes) -> None:
        assert data == b"browse q\r\nmn\r\n"

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        self._other.sendall(self._pieces.pop(0))
        return self._real.recv(size)

    def close(self) -> None:
        self._real.close()


@pytest.mark.parametrize("place", range(1, len(REPLY)))
def test_a_reply_that_comes_in_two_pieces_is_all_there(place: int) -> None:
    assert asked(REPLY[:place], REPLY[place:]) == [b"ITEM 1 5", b"ITEM 2 7", b"END"]


def test_a_reply_without_a_line_has_none() -> None:
    assert asked(b"MN\r\n") == []


def test_a_server_that_hangs_up_amid_a_reply_has_given_none() -> None:
    with pytest.raises(MemcacheUnexpectedCloseError):
        asked(REPLY[:-2])
