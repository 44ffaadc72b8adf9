"""Meta commands, reading: which line is which command, and what is refused."""

import base64

import pytest

from starling_py.protocol.commands import (
    Acknowledge,
    Arithmetic,
    Command,
    Delete,
    DumpStats,
    Get,
    Phrased,
    PhrasedAnew,
    Refusal,
    Store,
    Touch,
    Verb,
    Version,
)
from starling_py.protocol.meta_replies import MetaReplies
from starling_py.protocol.text import TextDialect

LIMIT = 64

BAD_FORMAT = b"CLIENT_ERROR bad command line format\r\n"
BAD_TOKEN = b"CLIENT_ERROR bad token in command line format\r\n"
INVALID_FLAG = b"CLIENT_ERROR invalid flag\r\n"
DUPLICATE = b"CLIENT_ERROR duplicate flag\r\n"
LONG_OPAQUE = b"CLIENT_ERROR opaque token too long\r\n"
BAD_KEY = b"CLIENT_ERROR error decoding key\r\n"
NO_VALUE = b"CLIENT_ERROR mg without v takes no item; this key asks for one\r\n"
ONE_ITEM = b"CLIENT_ERROR mg gives one item; /n= asks for several\r\n"

K250 = b"k" * 250
K251 = b"k" * 251


def commands_of(data: bytes) -> list[Command]:
    dialect = TextDialect(LIMIT)
    dialect.feed(data)
    return list(iter(dialect.next_command, None))


def only(data: bytes) -> Command:
    (command,) = commands_of(data)
    return command


def meant(data: bytes) -> Command:
    """Return the command that stands behind the form of its reply."""
    command = only(data)
    assert isinstance(command, Phrased | PhrasedAnew)
    return command.command


def get(key: bytes, exptime: int | None = None) -> Get:
    return Get([key], with_cas=True, touch_exptime=exptime)


def store(
    data: bytes, verb: Verb = Verb.SET, key: bytes = b"q", flags: int = 0, exptime: int = 0
) -> Store:
    return Store(verb, key, flags, exptime, data, quiet=False)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"mg q v", get(b"q")),
        (b"MG q v", get(b"q")),
        (b"mg q v f ", get(b"q")),  # aisk memcache ends its lines so
        (b"mg q f v t l h", get(b"q")),
        (b"mg q v f k q s", get(b"q")),
        (b"mg q v f T5", get(b"q", 5)),
        (b"mg q v T0", get(b"q", 0)),
        (b"mg q/open v c", get(b"q/open")),
        (b"mg q/t=500 v", get(b"q/t=500")),
        (b"mg q/peek v", get(b"q/peek")),
        (b"mg q/close/open v", get(b"q/close/open")),
        (b"mg cQ== b v", get(b"q")),
        (b"mg 5L2g b v f", get("\u4f60".encode())),
        (b"mg YSBi b v", get(b"a b")),
        # Without the value, nothing is taken.
        (b"mg q", get(b"q/peek")),
        (b"mg q s t f", get(b"q/peek")),
        (b"mg q/peek", get(b"q/peek")),
        (b"mg q/t=500", get(b"q/t=500/peek")),
        (b"mg cQ== b", get(b"q/peek")),
        (b"mg q/close", get(b"q/close")),
        (b"mg q/abort/delay=5", get(b"q/abort/delay=5")),
        (b"mg q T30", Touch(b"q", 30, quiet=False)),
        (b"mg q T-1 k O1 q", Touch(b"q", -1, quiet=False)),
        (b"mg cQ== T30 b", Touch(b"q", 30, quiet=False)),
        # What the queues will refuse, in their own words.
        (b"mg q/oepn", get(b"q/oepn")),
        (b"mg q/oepn v", get(b"q/oepn")),
        (b"mg q/open T5", Touch(b"q/open", 5, quiet=False)),
        (b"md q", Delete(b"q", quiet=False)),
        (b"md cQ== q k O1 b", Delete(b"q", quiet=False)),
        (b"ma q", Arithmetic("incr", b"q", quiet=False)),
        (b"ma q v D1 MI", Arithmetic("incr", b"q", quiet=False)),
        (b"ma q v D1 M+ N0 J5 t c T9 C1 E1", Arithmetic("incr", b"q", quiet=False)),
        (b"ma q D1 Md", Arithmetic("decr", b"q", quiet=False)),
        (b"ma q M-", Arithmetic("decr", b"q", quiet=False)),
        (b"me q", DumpStats([b"q"])),
        (b"me cQ== b", DumpStats([b"q"])),
        (b"mn", Acknowledge(quiet=False)),
        (b"MN", Acknowledge(quiet=False)),
        (b"mg " + K250 + b" v", get(K250)),
        (b"mg " + base64.b64encode(K250) + b" v b", get(K250)),
    ],
)
def test_a_line_is_a_command(line: bytes, command: Command) -> None:
    assert meant(line + b"\r\n") == command
    assert meant(line + b"\n") == command


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"mg", BAD_FORMAT),
        (b"md", BAD_FORMAT),
        (b"ma", BAD_FORMAT),
        (b"me", BAD_FORMAT),
        (b"mg %b v" % K251, BAD_FORMAT),
        (b"md %b" % K251, BAD_FORMAT),
        (b"mg %b v b" % base64.b64encode(K251), BAD_FORMAT),
        (b"mg %b v b" % base64.b64encode(b"k" * 600), BAD_FORMAT),
        (b"mg q v z", INVALID_FLAG),
        (b"mg q v N30", INVALID_FLAG),
        (b"mg q v R30", INVALID_FLAG),
        (b"mg q v E1", INVALID_FLAG),
        (b"mg q v F1", INVALID_FLAG),
        (b"mg q v \xff", INVALID_FLAG),
        (b"mg q v1", INVALID_FLAG),
        (b"mg q vf", INVALID_FLAG),
        (b"mg q T5 t", INVALID_FLAG),
        (b"mg q a v", INVALID_FLAG),
        (b"md q v", INVALID_FLAG),
        (b"md q I", INVALID_FLAG),
        (b"ma q s", INVALID_FLAG),
        (b"me q v", INVALID_FLAG),
        (b"mg q v v", DUPLICATE),
        (b"mg q O1 O2", DUPLICATE),
        (b"mg q v T", BAD_TOKEN),
        (b"mg q v Tx", BAD_TOKEN),
        (b"mg q v T1.5", BAD_TOKEN),
        (b"mg q v T%b" % (b"1" * 21), BAD_TOKEN),
        (b"mg q v T-1", b"CLIENT_ERROR invalid exptime argument\r\n"),
        (b"ma q Dx", BAD_TOKEN),
        (b"ma q MX", b"CLIENT_ERROR invalid mode for ma M token\r\n"),
        (b"mg q v O%b" % (b"o" * 33), LONG_OPAQUE),
        (b"md q O%b" % (b"o" * 33), LONG_OPAQUE),
        (b"mg q b v", BAD_KEY),
        (b"mg cQ= b v", BAD_KEY),
        (b"mg c!Q== b v", BAD_KEY),
        (b"mg cQ==cQ== b v", BAD_KEY),
        (b"mg ==== b v", BAD_KEY),
        (b"mg \xff\xff\xff\xff b v", BAD_KEY),
        (b"mg q/open", NO_VALUE),
        (b"mg q/close/open c", NO_VALUE),
        (b"mg q/open/t=5", NO_VALUE),
        (b"mg q/peek/n=2 v", ONE_ITEM),
        (b"mg q/peek/n=2", ONE_ITEM),
        (b"mx q", b"ERROR\r\n"),
    ],
)
def test_a_line_that_is_wrong_is_refused_even_a_quiet_one(line: bytes, reply: bytes) -> None:
    assert only(line + b"\r\n") == Refusal(reply)
    if b"\xff" not in line and reply != b"ERROR\r\n" and len(line.split()) > 1:
        assert only(line + b" q\r\n") == Refusal(reply)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"ms q 2", store(b"hi")),
        (b"MS q 2", store(b"hi")),
        (b"ms q 2 c F1 T0 MS", store(b"hi", flags=1)),
        (b"ms q 2 F16 ", store(b"hi", flags=16)),
        (b"ms q 2 T60 F4294967295", store(b"hi", flags=2**32 - 1, exptime=60)),
        (b"ms q 2 T-1", store(b"hi", exptime=-1)),
        (b"ms q 2 F1 T0 MS q", store(b"hi", flags=1)),
        (b"ms q 2 ME", store(b"hi", Verb.ADD)),
        (b"ms q 2 MA", store(b"hi", Verb.APPEND)),
        (b"ms q 2 MP", store(b"hi", Verb.PREPEND)),
        (b"ms q 2 Mr", store(b"hi", Verb.REPLACE)),
        (b"ms q 2 M", store(b"hi")),
        (b"ms q 2 C7", store(b"hi", Verb.CAS)),
        (b"ms q 2 MR C7", store(b"hi", Verb.CAS)),
        (b"ms cQ== 2 b k O1 s", store(b"hi")),
        (b"ms q/delay=5 2", store(b"hi", key=b"q/delay=5")),
        (b"ms q 0002", store(b"hi")),
    ],
)
def test_a_storage_line_takes_its_body(line: bytes, command: Command) -> None:
    stream = line + b"\r\nhi\r\n"
    assert meant(stream) == command
    dialect = TextDialect(LIMIT)
    found = []
    for position in range(len(stream)):
        dialect.feed(stream[position : position + 1])
        found += list(iter(dialect.next_command, None))
    assert [each.command for each in found if isinstance(each, Phrased)] == [command]


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"ms q 9 I", INVALID_FLAG),
        (b"ms q 9 I C1", INVALID_FLAG),
        (b"ms q 9 z q", INVALID_FLAG),
        (b"ms q 9 MA Nx", BAD_TOKEN),
        (b"ms q 9 MA N", BAD_TOKEN),
        (b"ms q 9 E1", INVALID_FLAG),
        (b"ms q 9 v", INVALID_FLAG),
        (b"ms q 9 noreply", INVALID_FLAG),
        (b"ms q 9 q q", DUPLICATE),
        (b"ms q 9 F4294967296", BAD_TOKEN),
        (b"ms q 9 F-1", BAD_TOKEN),
        (b"ms q 9 F", BAD_TOKEN),
        (b"ms q 9 T", BAD_TOKEN),
        (b"ms q 9 C", BAD_TOKEN),
        (b"ms q 9 C-1", BAD_TOKEN),
        (b"ms q 9 MX", b"CLIENT_ERROR invalid mode for ms M token\r\n"),
        (b"ms q 9 MSS", b"CLIENT_ERROR invalid mode for ms M token\r\n"),
        (b"ms q 9 O%b" % (b"o" * 33), LONG_OPAQUE),
        (b"ms q 9 b", BAD_KEY),
        (b"ms %b 9" % K251, BAD_FORMAT),
    ],
)
def test_a_storage_line_that_is_wrong_takes_its_body_all_the_same(
    line: bytes, reply: bytes
) -> None:
    stream = line + b"\r\nflush_all\r\nversion\r\n"
    assert commands_of(stream) == [Refusal(reply), Version()]


@pytest.mark.parametrize("flags", [b"", b" q", b" z"])
def test_an_item_that_is_too_large_is_swallowed(flags: bytes) -> None:
    stream = b"ms q 65%b\r\n%b\r\nversion\r\n" % (flags, b"x" * 65)
    refusal, version = commands_of(stream)
    assert isinstance(refusal, Refusal)
    assert refusal.reply == (
        INVALID_FLAG if b"z" in flags else b"SERVER_ERROR object too large for cache\r\n"
    )
    assert version == Version()


@pytest.mark.parametrize(
    "line",
    [
        b"ms",
        b"ms q",
        b"ms q S2",
        b"ms q x",
        b"ms q -1",
        b"ms q +1",
        b"ms q 2147483646",
        b"ms q 99999999999",
        b"ms q T0 2",
        # Perhaps a blank in the key, so that the length may be the other number.
        b"ms my key 2",
        b"ms q 0 11",
        b"ms q 0 T0 11",
    ],
)
def test_a_storage_line_without_a_certain_length_closes(line: bytes) -> None:
    first = commands_of(line + b"\r\n\r\nflush_all\r\n")[0]
    assert first == Refusal(BAD_FORMAT, close=True)


@pytest.mark.parametrize("end", [b"xx", b"\n", b"\rx"])
@pytest.mark.parametrize("line", [b"ms q 2", b"ms q 2 q", b"ms q 2 z"])
def test_a_body_that_does_not_end_in_crlf_closes(line: bytes, end: bytes) -> None:
    refusal = Refusal(b"CLIENT_ERROR bad data chunk\r\n", close=True)
    assert commands_of(line + b"\r\nhi" + end + b"flush_all\r\n")[0] == refusal


def test_a_line_that_comes_again_has_a_writer_of_its_own() -> None:
    first, second = commands_of(b"ms q 1 c\r\na\r\nms q 1 c\r\nb\r\n")
    assert isinstance(first, Phrased)
    assert isinstance(second, Phrased)
    assert first.writer is not second.writer
    again, and_again = commands_of(b"mg q v\r\nmg q v\r\n")
    assert isinstance(again, PhrasedAnew)
    assert again is and_again
    assert isinstance(again.form.writer(), MetaReplies)
    assert again.form.writer() is not again.form.writer()
