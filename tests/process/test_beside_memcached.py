"""The same bytes to a memcached and to this server, and what each answers.

Where the answers differ, that is listed with the reason; the list must be true, too: a difference
that is gone fails as well. memcached is the one that is installed, 1.6 or newer.
"""

import itertools
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator

import pytest

from tests.process.server_process import ServerProcess, free_port, settings_file, wait_until

pytestmark = pytest.mark.skipif(shutil.which("memcached") is None, reason="needs memcached")

KEYS = itertools.count()
K251 = b"k" * 251
ERROR = b"ERROR\r\n"
BAD_FORMAT = b"CLIENT_ERROR bad command line format\r\n"
BLOB = bytes(range(256)).replace(b"Q", b"q")


HEADER = struct.Struct(">BBHBBHIIQ")


def binary(
    opcode: int, key: bytes = b"", value: bytes = b"", extras: bytes = b"", cas: int = 0
) -> bytes:
    """Return a request of the binary protocol."""
    body = extras + key + value
    head = (0x80, opcode, len(key), len(extras), 0, 0, len(body), 7, cas)
    return HEADER.pack(*head) + body


SET = binary(0x01, b"Q", b"x", bytes(8))

ALIKE_IN_TEXT = [
    b"set Q 0 0 1\r\nx\r\nget Q\r\n",
    b"set Q 4294967295 0 1\r\nx\r\nget Q\r\n",
    b"set Q 1 0 256\r\n" + BLOB + b"\r\nget Q\r\n",
    b"set Q 0 0 0\r\n\r\nget Q\r\n",
    b"set Q 0 -1 1\r\nx\r\nget Q\r\n",
    b"set Q 0 0 1 noreply\r\nx\r\nget Q\r\n",
    b"set Q 0 0 1 noreplY\r\nx\r\nget Q\r\n",
    b"set Q 0 0 1 foo\r\nx\r\nget Q\r\n",
    b"set Q 0 0 1\nx\r\nget Q\n",
    b"set  Q  0  0  1 \r\nx\r\nget  Q \r\n",
    b"set \vQ 0 0 1\r\nx\r\nget \vQ\r\nget Q\r\n",
    b"set Q\tb 0 0 1\r\nx\r\nget Q\tb\r\n",
    b"set \x0cQ 0 0 1\r\nx\r\nget \x0cQ\r\nget Q\r\n",
    b"add Q 0 0 1\r\nx\r\nadd Q 0 0 1\r\ny\r\nget Q\r\n",
    b"replace Q 0 0 1\r\nx\r\nget Q\r\n",
    b"append Q 0 0 1\r\nx\r\nget Q\r\n",
    b"cas Q 0 0 1 5\r\nx\r\n",
    b"cas Q 0 0 1 5 noreply\r\nx\r\n",
    b"get Q\r\n",
    b"gets Q Q\r\n",
    b"get " + K251 + b"\r\n",
    b"gat 10 Q\r\n",
    b"gat x Q\r\n",
    b"gats 10 Q\r\n",
    b"touch Q 10\r\n",
    b"touch Q x\r\n",
    b"touch Q 10 noreply\r\n",
    b"incr Q 1\r\ndecr Q 1\r\n",
    b"incr Q x\r\n",
    b"incr Q 18446744073709551616\r\n",
    b"incr Q 1 noreplY\r\n",
    b"set Q 0 0 1\r\nx\r\nincr Q 1\r\ndecr Q 1\r\nget Q\r\n",
    b"delete Q\r\n",
    b"set Q 0 0 1\r\nx\r\ndelete Q\r\ndelete Q\r\n",
    b"set Q 0 0 1\r\nx\r\ndelete Q 0\r\n",
    b"delete Q noreply\r\n",
    b"delete " + K251 + b"\r\n",
    b"verbosity 1\r\n",
    b"flush_all x\r\n",
    b"stats detail on\r\nstats detail off\r\n",
    b"stats reset\r\n",
    b"stats reset x\r\n",
    b"stats nonsense\r\n",
    b"nonsense\r\n",
    b"nonsense Q 0 0 1\r\n",
    b"mn\r\n",
    b"mg Q\r\n",
    b"mg Q v\r\n",
    b"mg Q v k O123 q\r\n",
    b"ms Q 1\r\nx\r\nmg Q v f s\r\n",
    b"ms Q 1 F5 T0 k O9\r\nx\r\nmg Q s v f k\r\n",
    b"ms Q 1 q\r\nx\r\nmg Q v q\r\n",
    b"ms Q 1 ME\r\nx\r\nms Q 1 ME\r\ny\r\n",
    b"ms Q 1 MR\r\nx\r\n",
    b"ms Q 1 MA\r\nx\r\n",
    b"ms Q 1 C5\r\nx\r\n",
    b"ms Q 1 Mz\r\nx\r\n",
    b"md Q\r\n",
    b"md Q q k O1\r\n",
    b"md Q C5\r\n",
    b"ms Q 1\r\nx\r\nmd Q C99999\r\nmd Q\r\n",
    b"ma Q\r\n",
    b"ms Q 1\r\nx\r\nma Q\r\n",
    b"me Q\r\n",
    b"mg Q v P1 Lpath\r\nms Q 1 P1 L\r\nx\r\nmg Q v P\r\n",
    b"mg Q v u\r\n",
    b"mg Q v v\r\n",
    b"mg Q !\r\n",
    b"mg " + K251 + b" v\r\n",
    b"ms Zm9vIGJhcg== 1 b k\r\nx\r\nmg Zm9vIGJhcg== v b k\r\n",
    b"quit\r\n",
    b"get " + b"none " * 20_000 + b"\r\n",
    b"set Q 0 0 1\r\nx\r\nget " + b"none " * 4000 + b"Q\r\n",
    b"get\r\n",
    b"gets\r\n",
    b"touch Q\r\n",
    b"delete\r\n",
    b"incr Q\r\n",
    b"incr Q -1\r\n",
    b"decr Q 1 noreply\r\n",
    b"verbosity\r\n",
    b"verbosity x\r\n",
    b"verbosity 1 2\r\n",
    b"flush_all noreply\r\n",
    b"flush_all 0\r\n",
    b"flush_all 1000 noreply\r\nflush_all -1\r\n",
    b"mn x\r\n",
    b"stats sizes\r\n",
    b"stats detail\r\n",
    b"stats detail x\r\n",
    b"stats detail dump\r\n",
    b"stats cachedump\r\n",
    b"stats cachedump 1\r\n",
    b"stats noreply\r\n",
    b"shutdown\r\n",
    b"cache_memlimit\r\n",
    b"cache_memlimit x\r\n",
    b"lru_crawler\r\n",
    b"slabs\r\n",
    b"lru\r\n",
    b"misbehave\r\n",
    b"\r\n",
    b"get\tQ\r\n",
    b"set Q 0 0 01\r\nx\r\nget Q\r\n",
    b"set Q 00 0 1\r\nx\r\nget Q\r\n",
    b"set Q 0 99999999999 1\r\nx\r\n",
    b"set Q 0 0 2000000\r\n" + bytes(2_000_000) + b"\r\nget Q\r\n",
    b"mg Q k q O1 v t f s c h l\r\n",
    b"mg Q s t k\r\n",
    b"mg Q b\r\n",
    b"mg Q k O" + b"x" * 31 + b"\r\n",
    b"mg Q O" + b"x" * 40 + b" v\r\n",
    b"ms Q 0\r\n\r\nmg Q v f\r\n",
    b"ms Q 1 MS\r\nx\r\nmg Q v\r\n",
    b"ms Q 1 T100\r\nx\r\nmg Q v t\r\n",
    b"ms Q 1 T-1\r\nx\r\nmg Q v\r\n",
    b"ms Q 1 Tx\r\nx\r\n",
    b"ms Q 1 q\r\nx\r\nmd Q q\r\nmd Q q\r\n",
    b"ma Q MZ\r\n",
    b"gat\r\n",
    b"add Q 0 0 1 noreply\r\nx\r\nget Q\r\n",
    b"append Q 0 0 1 noreply\r\nx\r\n",
    b"set " + b"Q" * 60 + b" 0 0 1\r\nx\r\ndelete " + b"Q" * 60 + b"\r\n",
    b"get Q\0b\r\n",
]
"""Each is sent on a connection of its own; ``Q`` is a key that nobody has used."""

NOT_RUN = "a body is never run as a command; newer ones swallow it, too"
OLD = "so did the versions before, and memccapable wants it of one whose version is 1.0"
OPEN = b"MN\r\n"
DIFFERENT_IN_TEXT = [
    (
        b"set Q 0 0 1\r\nx\r\nset Q 0 0 1\r\ny\r\nget Q\r\nget Q\r\nget Q\r\n",
        b"STORED\r\nSTORED\r\n" + b"VALUE Q 0 1\r\ny\r\nEND\r\n" * 3 + OPEN,
        b"STORED\r\nSTORED\r\nVALUE Q 0 1\r\nx\r\nEND\r\nVALUE Q 0 1\r\ny\r\nEND\r\nEND\r\n" + OPEN,
        "a queue has both items, and gives each once",
    ),
    (
        b"set Q/peek 0 0 1\r\nx\r\n",
        b"STORED\r\n" + OPEN,
        b"CLIENT_ERROR unknown option /peek\r\n" + OPEN,
        "a slash begins an option",
    ),
    (
        b"prepend Q 0 0 1\r\nx\r\n",
        b"NOT_STORED\r\n" + OPEN,
        b"STORED\r\n" + OPEN,
        "a new queue has a front, too",
    ),
    (
        b"append Q 0 0 1\r\nx\r\nset Q 0 0 1\r\nx\r\nappend Q 0 0 1\r\ny\r\nget Q\r\n",
        b"NOT_STORED\r\nSTORED\r\nSTORED\r\nVALUE Q 0 2\r\nxy\r\nEND\r\n" + OPEN,
        b"NOT_STORED\r\nSTORED\r\nSTORED\r\nVALUE Q 0 1\r\nx\r\nEND\r\n" + OPEN,
        "what is appended is an item of its own",
    ),
    (
        b"set Q 0 0 1\r\nx\r\ncas Q 0 0 1 1\r\ny\r\n",
        b"STORED\r\nEXISTS\r\n" + OPEN,
        b"STORED\r\nNOT_FOUND\r\n" + OPEN,
        "no item is ever changed",
    ),
    (
        b"set Q 0 0 1\r\n5\r\nincr Q 1\r\n",
        b"STORED\r\n6\r\n" + OPEN,
        b"STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n" + OPEN,
        "a queue has items, and no number",
    ),
    (
        b"set Q 0 0 1\r\n5\r\ntouch Q 10\r\n",
        b"STORED\r\nTOUCHED\r\n" + OPEN,
        b"STORED\r\nNOT_FOUND\r\n" + OPEN,
        "what is touched is the lease of an open read",
    ),
    (b"set Q x 0 1\r\nx\r\n", BAD_FORMAT + ERROR + OPEN, BAD_FORMAT + OPEN, NOT_RUN),
    (b"set Q 0 x 1\r\nx\r\n", BAD_FORMAT + ERROR + OPEN, BAD_FORMAT + OPEN, NOT_RUN),
    (b"set Q -1 0 1\r\nx\r\n", BAD_FORMAT + ERROR + OPEN, BAD_FORMAT + OPEN, NOT_RUN),
    (
        b"set Q 4294967296 0 1\r\nx\r\n",
        b"STORED\r\n" + OPEN,
        BAD_FORMAT + OPEN,
        "flags are 32 bits; memcached gives others back",
    ),
    (b"set " + K251 + b" 0 0 1\r\nx\r\n", BAD_FORMAT + ERROR + OPEN, BAD_FORMAT + OPEN, NOT_RUN),
    (b"set Q 0 0 -1\r\n", BAD_FORMAT + OPEN, BAD_FORMAT, "nobody knows where the body ends"),
    (b"ms Q x\r\n", BAD_FORMAT + OPEN, BAD_FORMAT, "nobody knows where the body ends"),
    (b"set Q b 0 0 9\r\nflush_all\r\n", BAD_FORMAT + b"OK\r\n" + OPEN, BAD_FORMAT, NOT_RUN),
    (b"mg\r\n", ERROR + OPEN, BAD_FORMAT + OPEN, "newer ones say this"),
    (
        b"watch x\r\n",
        ERROR + OPEN,
        b"CLIENT_ERROR watch commands not allowed\r\n" + OPEN,
        "as from a memcached that does not allow it",
    ),
    (
        b"mg Zm9v! v b\r\n",
        b"EN\r\n" + OPEN,
        b"CLIENT_ERROR error decoding key\r\n" + OPEN,
        "what is no base64 is no key",
    ),
    (
        b"PROXY TCP4 1.2.3.4 1.2.3.4 5 6\r\n",
        ERROR + OPEN,
        b"CLIENT_ERROR a PROXY header is not understood without proxy_protocol\r\n",
        "each later reply would be one off",
    ),
    (b"quit x\r\n", b"", ERROR + OPEN, OLD),
    (b"GET Q\r\n", ERROR + OPEN, b"END\r\n" + OPEN, "Kestrel takes commands in any case"),
    (b"set Q 0 0\r\n", ERROR + OPEN, BAD_FORMAT, "nobody knows where the body ends"),
    (b"cas Q 0 0 1 x\r\nx\r\n", BAD_FORMAT + ERROR + OPEN, BAD_FORMAT + OPEN, NOT_RUN),
    (
        b"set Q 0 0 1\r\nxy\r\n",
        b"CLIENT_ERROR bad data chunk\r\n" + ERROR + OPEN,
        b"CLIENT_ERROR bad data chunk\r\n",
        "nobody knows where the body ends",
    ),
    (
        b"set Q 0 0 1 noreply x\r\nx\r\n",
        ERROR * 2 + OPEN,
        b"STORED\r\n" + OPEN,
        "newer ones ignore what is behind, and answer",
    ),
    (b"incr Q 1 2 3\r\n", ERROR + OPEN, b"NOT_FOUND\r\n" + OPEN, "newer ones ignore it"),
    (
        b"set Q +1 0 1\r\nx\r\n",
        b"STORED\r\n" + OPEN,
        BAD_FORMAT + OPEN,
        "to newer ones a plus is no part of a number",
    ),
    (
        b"x" * 3000 + b"\r\n",
        ERROR + OPEN,
        b"CLIENT_ERROR line too long\r\n",
        "the line may go on for ever",
    ),
    (b"gat 5\r\n", b"END\r\n" + OPEN, ERROR + OPEN, "newer ones want a key, too"),
    (b"md\r\n", ERROR + OPEN, BAD_FORMAT + OPEN, "newer ones say this"),
    (b"ma\r\n", ERROR + OPEN, BAD_FORMAT + OPEN, "newer ones say this"),
    (
        b"ms Q 1 MA N0\r\nx\r\nmg Q v\r\n",
        b"NS\r\nEN\r\n" + OPEN,
        b"HD\r\nVA 1\r\nx\r\n" + OPEN,
        "newer ones store it, as is documented",
    ),
    (
        b"mg Q N30 v\r\n",
        b"VA 0 W\r\n\r\n" + OPEN,
        b"CLIENT_ERROR invalid flag\r\n" + OPEN,
        "a queue makes no item up, and none is fetched anew",
    ),
    (
        b"mg Q R30 v\r\n",
        b"EN\r\n" + OPEN,
        b"CLIENT_ERROR invalid flag\r\n" + OPEN,
        "a queue makes no item up, and none is fetched anew",
    ),
    (
        b"ms Q 1\r\nx\r\nmd Q I T5\r\nmg Q v\r\n",
        b"HD\r\nHD\r\nVA 1 X W\r\nx\r\n" + OPEN,
        b"HD\r\nCLIENT_ERROR invalid flag\r\nVA 1\r\nx\r\n" + OPEN,
        "an item of a queue is never stale",
    ),
    (
        b"ms Q 1 I\r\nx\r\n",
        b"HD\r\n" + OPEN,
        b"CLIENT_ERROR invalid flag\r\n" + OPEN,
        "an item of a queue is never stale",
    ),
    (
        b"ma Q N0 J5 v\r\n",
        b"VA 1\r\n5\r\n" + OPEN,
        b"NF\r\n" + OPEN,
        "a queue has items, and no number",
    ),
    (
        b"mg Q kv\r\n",
        b"EN kQ\r\n" + OPEN,
        b"CLIENT_ERROR invalid flag\r\n" + OPEN,
        "what is ignored may be what was to keep the item in the queue",
    ),
    (
        b"lru mode flat\r\n",
        b"OK\r\n" + OPEN,
        ERROR + OPEN,
        "nothing is evicted, so there is no order of eviction",
    ),
    (
        b"slabs automove 1\r\n",
        b"OK\r\n" + OPEN,
        b"CLIENT_ERROR slab reassignment disabled\r\n" + OPEN,
        "as from a memcached that does not allow it",
    ),
    (
        b"refresh_certs\r\n",
        b"Error TLS not enabled\r\n" + OPEN,
        b"OK\r\n" + OPEN,
        "there are none, so they are fresh",
    ),
]
"""What is sent, memcached's answer, this server's, and the reason."""

ALIKE_IN_BINARY = [
    SET + binary(0x00, b"Q"),
    SET + binary(0x0C, b"Q") + binary(0x0C, b"Qx") + binary(0x0D, b"Qx") + binary(0x09, b"Qx"),
    binary(0x01, b"Q b", b"x", bytes(8)) + binary(0x0C, b"Q b"),
    binary(0x01, b"Q\r\nb\0", b"x", bytes(8)) + binary(0x0C, b"Q\r\nb\0"),
    SET + binary(0x02, b"Q", b"y", bytes(8)),
    binary(0x03, b"Q", b"y", bytes(8)),
    binary(0x0E, b"Q", b"y"),
    binary(0x04, b"Q"),
    SET + binary(0x04, b"Q") + binary(0x04, b"Q"),
    SET + binary(0x04, b"Q", cas=99999) + binary(0x00, b"Q"),
    binary(0x04, b"Q", cas=5),
    SET + binary(0x05, b"Q", extras=bytes(20)) + binary(0x06, b"Q", extras=bytes(20)),
    binary(0x05, b"Q", extras=bytes(16) + b"\xff" * 4),
    binary(0x1C, b"Q", extras=bytes(4)),
    binary(0x08) + binary(0x08, extras=bytes(4)),
    binary(0x0A),
    binary(0x7F),
    binary(0x07),
    binary(0x17),
]


DIFFERENT_IN_BINARY = [
    (
        binary(0x01, K251, b"x", bytes(8)),
        [(0x01, 4)],
        [(0x01, 4), (0x0A, 0)],
        "what is wrong with a request does not end the connection",
    ),
    (
        binary(0x1B, extras=bytes(4)),
        [(0x1B, 0x81)],
        [(0x1B, 0), (0x0A, 0)],
        "the protocol has it, and memcached never had",
    ),
]
"""What is sent, the opcodes and states of memcached's answers and of this server's, and the
reason."""


@pytest.fixture(scope="module")
def memcached() -> Iterator[int]:
    with free_port() as port:
        command = ["memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-u", "nobody"]
        with subprocess.Popen(command) as process:
            try:
                wait_until(lambda: _listens(port))
                yield port
            finally:
                process.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def starling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("beside")
    settings = settings_file(folder, allow_flush_all="true", sync="never")
    with ServerProcess(folder / "spool", "--config", settings) as server:
        yield server.port


def told(port: int, sent: bytes, end: bytes = b"mn\r\n") -> bytes:
    """Return all that is answered; an ``MN`` at its end tells that the connection stayed open."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(sent + end)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            try:
                data = client.recv(1 << 16)
            except ConnectionResetError:
                return answer  # closed with something unread
            if not data:
                return answer
            answer += data


def named(sent: bytes) -> tuple[bytes, bytes]:
    """Return what is sent with a fresh key in place of ``Q``, and that key."""
    key = b"q%d" % next(KEYS)
    return sent.replace(b"Q", key), key


@pytest.mark.parametrize("sent", ALIKE_IN_TEXT, ids=repr)
def test_text_is_answered_as_by_memcached(memcached: int, starling: int, sent: bytes) -> None:
    lines, _ = named(sent)
    assert told(starling, lines) == told(memcached, lines)


@pytest.mark.parametrize(("sent", "theirs", "ours", "why"), DIFFERENT_IN_TEXT)
def test_text_is_answered_otherwise_where_that_is_listed(
    memcached: int, starling: int, sent: bytes, theirs: bytes, ours: bytes, why: str
) -> None:
    lines, key = named(sent)
    assert told(memcached, lines) == theirs.replace(b"Q", key), why
    assert told(starling, lines) == ours.replace(b"Q", key), why


def without_cas(answer: bytes) -> list[tuple[object, ...]]:
    """Return the replies without the numbers of items, which each server counts for itself."""
    replies: list[tuple[object, ...]] = []
    while answer:
        magic, opcode, key, extras, _, status, size, opaque, _ = HEADER.unpack_from(answer)
        body, answer = answer[24 : 24 + size], answer[24 + size :]
        replies.append((magic, opcode, key, extras, status, opaque, body))
    return replies


@pytest.mark.parametrize("sent", ALIKE_IN_BINARY, ids=repr)
def test_binary_requests_are_answered_as_by_memcached(
    memcached: int, starling: int, sent: bytes
) -> None:
    key = b"%c" % (ord("a") + next(KEYS) % 26) if b"Q" in sent else b"Q"
    requests, end = sent.replace(b"Q", key), binary(0x0A)
    told(memcached, binary(0x08), end)
    told(starling, binary(0x08), end)
    assert without_cas(told(starling, requests, end)) == without_cas(told(memcached, requests, end))


@pytest.mark.parametrize(("sent", "theirs", "ours", "why"), DIFFERENT_IN_BINARY)
def test_binary_is_answered_otherwise_where_that_is_listed(
    memcached: int,
    starling: int,
    sent: bytes,
    theirs: list[tuple[int, int]],
    ours: list[tuple[int, int]],
    why: str,
) -> None:
    for port, wanted in (memcached, theirs), (starling, ours):
        replies = without_cas(told(port, sent, binary(0x0A)))
        assert [(each[1], each[4]) for each in replies] == wanted, why
