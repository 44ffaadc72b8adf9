"""Classic text, reading: where a command ends, and which bytes are which command."""

import tracemalloc
from collections.abc import Callable, Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from starling_py.keys import RequestError
from starling_py.protocol import dialect_for
from starling_py.protocol.commands import (
    Acknowledge,
    Arithmetic,
    Command,
    Confirm,
    Delete,
    DumpConfig,
    DumpStats,
    Flush,
    FlushAll,
    FlushExpired,
    Get,
    LongGet,
    Monitor,
    Quit,
    RefreshCerts,
    Refusal,
    Reload,
    Shutdown,
    Stats,
    Status,
    Store,
    Touch,
    Verb,
    Version,
)
from starling_py.protocol.text import TextDialect
from starling_py.protocol.text_lines import KNOWN_LINES

LIMIT = 64
"""The largest item of these tests."""

ERROR = Refusal(b"ERROR\r\n")
BAD_FORMAT = Refusal(b"CLIENT_ERROR bad command line format\r\n")
BAD_FORMAT_CLOSE = Refusal(b"CLIENT_ERROR bad command line format\r\n", close=True)
BAD_CHUNK = Refusal(b"CLIENT_ERROR bad data chunk\r\n", close=True)
BAD_DELTA = Refusal(b"CLIENT_ERROR invalid numeric delta argument\r\n")
BAD_EXPTIME = Refusal(b"CLIENT_ERROR invalid exptime argument\r\n")
BAD_SECONDS = Refusal(b"CLIENT_ERROR monitor takes seconds from 0 to 2147483\r\n")
BAD_MOST = Refusal(b"CLIENT_ERROR monitor takes a number of items from 1 to 100000\r\n")
BAD_COUNT = Refusal(b"CLIENT_ERROR confirm takes a number of items from 0 to 2147483647\r\n")
TOO_LARGE = Refusal(b"SERVER_ERROR object too large for cache\r\n", too_large=True)
LONG_LINE = Refusal(b"CLIENT_ERROR line too long\r\n", close=True)
SILENT = Refusal(b"")
SILENT_CLOSE = Refusal(b"", close=True)
OK = Acknowledge(quiet=False)

K250 = b"k" * 250
K251 = b"k" * 251

STORAGE = (b"set", b"add", b"replace", b"append", b"prepend", b"cas")


def commands_of(
    pieces: Iterable[bytes], limit: int = LIMIT, *, drained: bool = True
) -> list[Command]:
    """Return what a dialect makes of the pieces, up to the first command that closes.

    ``drained`` tells whether the commands are taken after each piece or only after the last.
    """
    dialect = TextDialect(limit)
    found: list[Command] = []
    fed = 0
    for piece in pieces:
        dialect.feed(piece)
        fed += len(piece)
        if drained and not _take_all(dialect, found, fed):
            return found
    _take_all(dialect, found, fed)
    return found


def _take_all(dialect: TextDialect, found: list[Command], fed: int) -> bool:
    while (command := dialect.next_command()) is not None:
        found.append(command)
        assert len(found) <= fed, "a command took no bytes"
        if isinstance(command, Refusal) and command.close:
            return False
    return True


def only(data: bytes, limit: int = LIMIT) -> Command:
    """Return the one command in the data."""
    (command,) = commands_of([data], limit)
    return command


def bytewise(data: bytes) -> list[bytes]:
    return [data[position : position + 1] for position in range(len(data))]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut the data at some places, which are taken modulo its length."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def body_line(verb: bytes, key: bytes, flags: bytes, exptime: bytes, length: bytes) -> bytes:
    unique = b" 7" if verb.lower() == b"cas" else b""
    return b"%b %b %b %b %b%b" % (verb, key, flags, exptime, length, unique)


# Streams of commands, right and wrong.

_WORDS = (
    *STORAGE,
    *(b"get", b"gets", b"gat", b"gats", b"delete", b"touch", b"incr", b"flush", b"flush_all"),
    *(b"stats", b"version", b"verbosity", b"quit", b"shutdown", b"GET", b"Set", b"watch", b"nope"),
    *(b"monitor", b"confirm", b"status", b"reload", b"dump_config"),
)
_ARGUMENTS = (
    *(b"q", b"jobs/peek", b"q/t=5", b"noreply", b"0", b"1", b"-1", b"+5", b"2592001"),
    *(b"4294967295", b"4294967296", b"1_0", b"007", b"5", b"99", b"HTTP/1.1", K250, K251, b"\xff"),
)
_BODIES = (
    *(b"", b"hello", b"\r\n", b"flush_all", b"flush_all\r\nquit\r\n", b"get q\r\n", b"\n\n\n"),
    *(b"set q 0 0 1\r\na\r\n", b"x" * LIMIT, b"x" * (LIMIT + 1), b"x" * 300),
)

words = st.sampled_from(_ARGUMENTS) | st.binary(max_size=6)
blanks = st.sampled_from([b" ", b" ", b" ", b"  ", b"\t"])
line_ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b" \r\n", b"\r\r\n", b"\r", b""])
bodies = st.sampled_from(_BODIES) | st.binary(max_size=LIMIT + 8)


@st.composite
def plain_lines(draw: st.DrawFn) -> bytes:
    line = draw(st.sampled_from(_WORDS))
    for word in draw(st.lists(words, max_size=6)):
        line += draw(blanks) + word
    return line + draw(line_ends)


@st.composite
def storage_frames(draw: st.DrawFn) -> bytes:
    body = draw(bodies)
    told = b"%d" % len(body)
    length = draw(st.sampled_from([told, told, told, told, b"-1", b"0", b"007", b"99", b"x"]))
    number = st.sampled_from([b"0", b"0", b"0", b"5", b"-1"]) | words
    key = draw(words)
    line = body_line(draw(st.sampled_from(STORAGE)), key, draw(number), draw(number), length)
    line += draw(st.sampled_from([b"", b"", b" noreply", b" foo"]))
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"", b"\rx", b"xy"]))
    return line + draw(line_ends) + body + end


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    frame = draw(plain_lines() | storage_frames())
    start = draw(st.integers(0, len(frame)))
    end = draw(st.integers(start, min(len(frame), start + 8)))
    return frame[:start] + draw(st.binary(max_size=4)) + frame[end:]


@st.composite
def lines_about_the_longest(draw: st.DrawFn) -> bytes:
    word = draw(st.sampled_from([b"get", b"GATS 0", b"version", b"set q 0 0 1", b"", b"  gets"]))
    filler = draw(st.sampled_from([b" ", b"k", b" k", b"\t"]))
    length = draw(st.integers(2040, 2056)) - len(word)
    return word + b" " + (filler * length)[:length] + draw(line_ends)


frames = st.one_of(
    plain_lines(), storage_frames(), mutated(), st.binary(max_size=40), lines_about_the_longest()
)
streams = st.lists(frames, max_size=6).map(b"".join) | st.binary(max_size=200)
cuts = st.lists(st.integers(0, 5000), max_size=12)


# However the bytes come.


@given(streams, cuts, st.booleans())
@settings(max_examples=400)
@example(b"set q 0 0 1\r\na\r\nget q\r\n", [13, 14, 15, 16, 17, 18], False)
@example(b"set q 0 0 65\r\n" + b"x" * 65 + b"\r\nget q\r\n", [14, 70, 79, 80, 81], True)
@example(b" " * 2048 + b"get q\r\n", [2050], True)
@example(b" " * 2045 + b"gets q\r\n", [2049], True)
@example(b" " * 2045 + b"getaway q\r\n", [2049], True)
def test_the_same_text_gives_the_same_commands_however_it_is_cut(
    stream: bytes, places: list[int], drained: bool
) -> None:
    assert commands_of(cut(stream, places), drained=drained) == commands_of([stream])


@given(streams.filter(lambda stream: len(stream) < 500))
@settings(max_examples=200)
def test_bytes_that_come_one_at_a_time_give_the_same_commands(
    stream: bytes,
) -> None:
    assert commands_of(bytewise(stream)) == commands_of([stream])


right_keys = st.binary(min_size=1, max_size=20).map(lambda key: b"k" + b"".join(key.split()))
small_bodies = st.binary(max_size=LIMIT) | st.sampled_from(_BODIES[:-2])


@st.composite
def stores(draw: st.DrawFn) -> tuple[bytes, Command]:
    verb = draw(st.sampled_from(list(Verb)))
    key, data, quiet = draw(right_keys), draw(small_bodies), draw(st.booleans())
    flags, exptime = draw(st.integers(0, 2**32 - 1)), draw(st.integers(-(2**31), 2**40))
    number = [b"%d" % number for number in (flags, exptime, len(data))]
    line = body_line(verb.value.encode(), key, *number) + b" noreply" * quiet
    return b"%b\r\n%b\r\n" % (line, data), Store(verb, key, flags, exptime, data, quiet)


right_commands = st.one_of(
    stores(),
    st.lists(right_keys, min_size=1, max_size=4).map(
        lambda keys: (b"get %b\r\n" % b" ".join(keys), Get(keys, with_cas=False))
    ),
    right_keys.map(lambda key: (b"delete %b\r\n" % key, Delete(key, quiet=False))),
    st.just((b"version\n", Version())),
)


@given(st.lists(right_commands, max_size=8), cuts)
@settings(max_examples=200)
def test_commands_sent_together_are_read_one_by_one(
    sent: list[tuple[bytes, Command]], places: list[int]
) -> None:
    stream = b"".join(data for data, _ in sent)
    assert commands_of(cut(stream, places)) == [command for _, command in sent]


@given(st.binary(max_size=3000), cuts)
@settings(max_examples=100)
def test_garbage_raises_nothing(garbage: bytes, places: list[int]) -> None:
    for command in commands_of(cut(garbage, places)):
        assert isinstance(command, Command)


def test_ten_thousand_unknown_names_are_ten_thousand_errors() -> None:
    stream = b"".join(b"name%d q 1\r\n" % number for number in range(10_000))
    found = commands_of([stream])
    assert len(found) == 10_000
    assert all(command == ERROR for command in found)


@pytest.mark.parametrize("pieces", [lambda data: [data], bytewise], ids=["whole", "bytewise"])
def test_items_announced_by_equal_lines_keep_their_own_data(
    pieces: Callable[[bytes], list[bytes]],
) -> None:
    stream = b"set q 0 0 1\r\na\r\nset q 0 0 1\r\nb\r\n"
    first, second = commands_of(pieces(stream))
    assert isinstance(first, Store)
    assert isinstance(second, Store)
    assert (first.data, second.data) == (b"a", b"b")


# Every line of the command map.

Row = tuple[bytes, bytes | None, Command]
"""A line, its body if it has one, and the command."""


def _rows_of_storage() -> list[Row]:
    return [
        (
            body_line(verb.value.encode(), b"q", b"3", b"60", b"5"),
            b"hello",
            Store(verb, b"q", 3, 60, b"hello", quiet=False),
        )
        for verb in Verb
    ]


COMMAND_MAP: list[Row] = [
    *_rows_of_storage(),
    (b"set q/x 0 0 1", b"a", Store(Verb.SET, b"q/x", 0, 0, b"a", quiet=False)),
    (b"set q 0 0 0", b"", Store(Verb.SET, b"q", 0, 0, b"", quiet=False)),
    (b"cas q 0 0 1", b"a", BAD_FORMAT),
    (b"cas q 0 0 1 x", b"a", BAD_FORMAT),
    (b"set", None, BAD_FORMAT_CLOSE),
    (b"set q 0 0", None, BAD_FORMAT_CLOSE),
    (b"get q", None, Get([b"q"], with_cas=False)),
    (b"get a b/peek c/t=5", None, Get([b"a", b"b/peek", b"c/t=5"], with_cas=False)),
    (b"get noreply", None, Get([b"noreply"], with_cas=False)),
    (b"get " + K250, None, Get([K250], with_cas=False)),
    (b"get a " + K251, None, BAD_FORMAT),
    (b"get", None, ERROR),
    (b"gets q", None, Get([b"q"], with_cas=True)),
    (b"gets a b", None, Get([b"a", b"b"], with_cas=True)),
    (b"gets", None, ERROR),
    (b"gat 5 q", None, Get([b"q"], with_cas=False, touch_exptime=5)),
    (b"gat 0 a b", None, Get([b"a", b"b"], with_cas=False, touch_exptime=0)),
    (b"gat 1893456000 q", None, Get([b"q"], with_cas=False, touch_exptime=1893456000)),
    (b"gat -1 q", None, BAD_EXPTIME),
    (b"gat 0.5 q", None, BAD_EXPTIME),
    (b"gat q q", None, BAD_EXPTIME),
    (b"gat 5", None, ERROR),
    (b"gat 5 " + K251, None, BAD_FORMAT),
    (b"gats 5 q", None, Get([b"q"], with_cas=True, touch_exptime=5)),
    (b"gats -1 q", None, BAD_EXPTIME),
    (b"gats q q", None, BAD_EXPTIME),
    (b"gats", None, ERROR),
    (b"touch q 5", None, Touch(b"q", 5, quiet=False)),
    (b"touch q 0", None, Touch(b"q", 0, quiet=False)),
    (b"touch q -1", None, Touch(b"q", -1, quiet=False)),
    (b"touch q 1 noreplY", None, Touch(b"q", 1, quiet=False)),
    (b"touch q x", None, BAD_EXPTIME),
    (b"touch %b 5" % K251, None, BAD_FORMAT),
    (b"touch q", None, ERROR),
    (b"monitor q 5", None, Monitor(b"q", 5, None)),
    (b"monitor q 0 1", None, Monitor(b"q", 0, 1)),
    (b"monitor q 2147483 100000", None, Monitor(b"q", 2147483, 100000)),
    (b"monitor q 2147484", None, BAD_SECONDS),
    (b"monitor q -1 1", None, BAD_SECONDS),
    (b"monitor q x", None, BAD_SECONDS),
    (b"monitor q 0.5", None, BAD_SECONDS),
    (b"monitor q 5 0", None, BAD_MOST),
    (b"monitor q 5 100001", None, BAD_MOST),
    (b"monitor q 5 noreply", None, BAD_MOST),
    (b"monitor %b 5" % K251, None, BAD_FORMAT),
    (b"monitor q", None, ERROR),
    (b"monitor q 5 5 5", None, ERROR),
    (b"confirm q 1", None, Confirm(b"q", 1)),
    (b"confirm q 0", None, Confirm(b"q", 0)),
    (b"confirm q 2147483647", None, Confirm(b"q", 2147483647)),
    (b"confirm q 2147483648", None, BAD_COUNT),
    (b"confirm q -1", None, BAD_COUNT),
    (b"confirm q x", None, BAD_COUNT),
    (b"confirm %b 1" % K251, None, BAD_FORMAT),
    (b"confirm q", None, ERROR),
    (b"confirm q 1 noreply", None, ERROR),
    (b"incr q 1", None, Arithmetic("incr", b"q", quiet=False)),
    (b"incr q 1 noreplY", None, Arithmetic("incr", b"q", quiet=False)),
    (b"incr q 18446744073709551615", None, Arithmetic("incr", b"q", quiet=False)),
    (b"incr q 18446744073709551616", None, BAD_DELTA),
    (b"incr q x", None, BAD_DELTA),
    (b"incr", None, ERROR),
    (b"decr q 1", None, Arithmetic("decr", b"q", quiet=False)),
    (b"decr " + K251 + b" 1", None, BAD_FORMAT),
    (b"delete q", None, Delete(b"q", quiet=False)),
    (b"delete q 0", None, Delete(b"q", quiet=False)),
    (b"delete " + K250, None, Delete(K250, quiet=False)),
    (b"delete " + K251, None, BAD_FORMAT),
    (b"delete q 5", None, Delete(b"q", quiet=False)),
    (b"delete q foo", None, Delete(b"q", quiet=False)),
    (b"delete q noreplY", None, Delete(b"q", quiet=False)),
    (b"delete q noreply foo", None, Delete(b"q", quiet=False)),
    (b"delete noreply", None, Delete(b"noreply", quiet=False)),
    (b"delete a b c d e", None, Delete(b"a", quiet=False)),
    (b"delete", None, ERROR),
    (b"flush_all", None, FlushAll(quiet=False)),
    (b"flush_all 0", None, FlushAll(quiet=False)),
    (b"flush_all 30", None, FlushAll(quiet=False, delay=30)),
    (b"flush_all -1", None, FlushAll(quiet=False, delay=-1)),
    (b"flush_all foo", None, BAD_EXPTIME),
    (b"flush_all 0 0", None, FlushAll(quiet=False)),
    (b"flush_all 3 noreplY", None, FlushAll(quiet=False, delay=3)),
    (b"flush q", None, Flush(b"q", quiet=False)),
    (b"flush", None, ERROR),
    (b"flush a b", None, ERROR),
    (b"flush " + K251, None, BAD_FORMAT),
    (b"flush_expired q", None, FlushExpired(b"q", quiet=False)),
    (b"flush_expired", None, ERROR),
    (b"flush_all_expired", None, FlushExpired(None, quiet=False)),
    (b"flush_all_expired q", None, ERROR),
    (b"version", None, Version()),
    (b"version foo", None, ERROR),
    (b"version noreply", None, ERROR),
    (b"verbosity 1", None, OK),
    (b"verbosity", None, ERROR),
    (b"verbosity foo", None, BAD_FORMAT),
    (b"quit", None, Quit()),
    (b"quit foo", None, ERROR),
    (b"stats", None, Stats([])),
    (b"stats settings", None, Stats([b"settings"])),
    (b"stats cachedump 1 0", None, Stats([b"cachedump", b"1", b"0"])),
    (b"stats noreply", None, Stats([b"noreply"])),
    (b"stats queue Q", None, Stats([b"queue", b"Q"])),
    (b"cache_memlimit 64", None, OK),
    (b"cache_memlimit", None, ERROR),
    (b"cache_memlimit foo", None, ERROR),
    (b"shutdown", None, Shutdown()),
    (b"shutdown graceful", None, Shutdown()),
    (b"watch fetchers", None, Refusal(b"CLIENT_ERROR watch commands not allowed\r\n")),
    (b"lru_crawler", None, ERROR),
    (b"slabs", None, ERROR),
    (b"stats detail", None, Refusal(b"CLIENT_ERROR usage: stats detail on|off|dump\r\n")),
    (b"stats detail x", None, Refusal(b"CLIENT_ERROR usage: stats detail on|off|dump\r\n")),
    (b"stats cachedump 1", None, Refusal(b"CLIENT_ERROR bad command line\r\n")),
    (b"lru_crawler crawl all", None, Refusal(b"CLIENT_ERROR lru crawler disabled\r\n")),
    (b"slabs reassign 1 2", None, Refusal(b"CLIENT_ERROR slab reassignment disabled\r\n")),
    (b"lru mode flat", None, ERROR),
    (b"extstore free_memchunks 0 0", None, ERROR),
    (b"dump_stats", None, DumpStats([])),
    (b"dump_stats a b", None, DumpStats([b"a", b"b"])),
    (b"dump_config", None, DumpConfig([])),
    (b"dump_config a b", None, DumpConfig([b"a", b"b"])),
    (b"reload", None, Reload()),
    (b"reload now", None, ERROR),
    (b"status", None, Status()),
    (b"status readOnly", None, Status(b"readOnly")),
    (b"status up up", None, ERROR),
    (b"nonsense", None, ERROR),
    (b"nonsense q 0 0 5", None, ERROR),
    (b"noreply", None, ERROR),
    (b"", None, ERROR),
    (b" ", None, ERROR),
]


def _name(row: object) -> str | None:
    return repr(row)[2:32] if isinstance(row, bytes) else ""


def _with_body(line: bytes, body: bytes | None, line_end: bytes = b"\r\n") -> bytes:
    return line + line_end + (b"" if body is None else body + b"\r\n")


every_row = pytest.mark.parametrize(("line", "body", "command"), COMMAND_MAP, ids=_name)


@every_row
def test_each_line_of_the_command_map_is_its_command(
    line: bytes, body: bytes | None, command: Command
) -> None:
    assert commands_of([_with_body(line, body)]) == [command]
    assert commands_of(bytewise(_with_body(line, body))) == [command]


@every_row
def test_a_line_may_end_in_lf_alone(line: bytes, body: bytes | None, command: Command) -> None:
    assert commands_of([_with_body(line, body, b"\n")]) == [command]


@every_row
def test_doubled_and_trailing_spaces_mean_nothing(
    line: bytes, body: bytes | None, command: Command
) -> None:
    spaced = line.replace(b" ", b"  ") + b"  "
    assert commands_of([_with_body(spaced, body)]) == [command]


@pytest.mark.parametrize("change", [bytes.upper, bytes.title, bytes.swapcase])
@every_row
def test_commands_are_taken_in_any_case(
    change: Callable[[bytes], bytes], line: bytes, body: bytes | None, command: Command
) -> None:
    word, space, rest = line.partition(b" ")
    assert commands_of([_with_body(change(word) + space + rest, body)]) == [command]


@pytest.mark.parametrize(
    ("line", "body", "command"),
    [
        *(
            (
                body_line(verb.value.encode(), b"q", b"0", b"0", b"1"),
                b"a",
                Store(verb, b"q", 0, 0, b"a", quiet=True),
            )
            for verb in Verb
        ),
        (b"set q 0 0 65", b"x" * 65, Refusal(b"", too_large=True)),
        (b"set %b 0 0 1" % K251, b"a", SILENT),
        (b"set q x 0 1", b"a", SILENT),
        (b"set q 0 1.5 1", b"a", SILENT),
        (b"cas q 0 0 1 x", b"a", SILENT),
        (b"touch q 5", None, Touch(b"q", 5, quiet=True)),
        (b"touch %b 5" % K251, None, SILENT),
        (b"touch q x", None, SILENT),
        (b"incr q 1", None, Arithmetic("incr", b"q", quiet=True)),
        (b"incr q x", None, SILENT),
        (b"decr q 1", None, Arithmetic("decr", b"q", quiet=True)),
        (b"decr %b 1" % K251, None, SILENT),
        (b"delete q", None, Delete(b"q", quiet=True)),
        (b"delete q 0", None, Delete(b"q", quiet=True)),
        (b"delete q 5", None, Delete(b"q", quiet=True)),
        (b"delete %b" % K251, None, SILENT),
        (b"flush_all", None, FlushAll(quiet=True)),
        (b"flush_all 0", None, FlushAll(quiet=True)),
        (b"flush_all 30", None, FlushAll(quiet=True, delay=30)),
        (b"flush_all foo", None, SILENT),
        (b"verbosity 1", None, Acknowledge(quiet=True)),
        (b"verbosity foo", None, SILENT),
        (b"cache_memlimit 64", None, Acknowledge(quiet=True)),
        (b"cache_memlimit foo", None, SILENT),
    ],
    ids=_name,
)
def test_noreply_silences_success_and_failure(
    line: bytes, body: bytes | None, command: Command
) -> None:
    assert commands_of([_with_body(line + b" noreply", body)]) == [command]


@pytest.mark.parametrize(
    "line",
    [
        *(b"GET / HTTP/1.1", b"POST /flush_all HTTP/1.0", b"DELETE /q HTTP/1.1"),
        *(b"nonsense HTTP/2", b"post / HTTP/1.1", b"HTTP/1.1", b"OPTIONS * HTTP/1.1  "),
    ],
)
def test_an_http_request_closes_without_an_answer(line: bytes) -> None:
    stream = line + b"\r\nHost: q\r\n\r\nflush_all\r\n"
    assert commands_of([stream]) == [SILENT_CLOSE]
    assert commands_of(bytewise(stream)) == [SILENT_CLOSE]


def test_refresh_certs_is_a_command_however_many_words_follow() -> None:
    assert only(b"refresh_certs\r\n") == RefreshCerts(quiet=False)
    assert only(b"refresh_certs now noreply\r\n") == RefreshCerts(quiet=True)


def test_every_first_byte_but_that_of_binary_and_that_of_tls_is_text() -> None:
    for first in (0x80, 0x16):
        assert not isinstance(dialect_for(bytes([first]), LIMIT), TextDialect)
    others = [first for first in range(256) if first not in (0x80, 0x16)]
    assert all(isinstance(dialect_for(bytes([first]), LIMIT), TextDialect) for first in others)


# A body belongs to its line.

wrong_keys = st.sampled_from([K251, b"k" * 1000])
wrong_flags = st.sampled_from([b"-1", b"+1", b"x", b"1.5", b"4294967296", b"1_0", b"9" * 30])
wrong_exptimes = st.sampled_from([b"x", b"1.5", b"+1", b"--1", b"-", b"1_0", b"9" * 30])
hostile_bodies = st.lists(
    st.sampled_from(
        [b"flush_all\r\n", b"delete q\r\n", b"quit\n", b"shutdown\r\n", b"\r\n", b"\n", b"get "]
    )
    | st.binary(max_size=10),
    max_size=12,
).map(b"".join)


@st.composite
def wrong_storage_lines(draw: st.DrawFn, body: bytes) -> bytes:
    """Return a line with the body's true length in which something else is wrong."""
    wrong = draw(st.sets(st.sampled_from(["key", "flags", "exptime", "cas"]), min_size=1))
    verb = draw(st.sampled_from(STORAGE))
    if wrong == {"cas"}:
        verb = b"cas"
    key = draw(wrong_keys) if "key" in wrong else b"q"
    flags = draw(wrong_flags) if "flags" in wrong else b"0"
    exptime = draw(wrong_exptimes) if "exptime" in wrong else b"0"
    line = b"%b %b %b %b %d" % (verb, key, flags, exptime, len(body))
    if verb == b"cas":
        line += b" x" if "cas" in wrong else b" 7"
    return line


@given(st.data(), hostile_bodies, st.booleans(), st.sampled_from([b"\r\n", b"\n"]), cuts)
@settings(max_examples=200)
def test_a_readable_length_takes_its_body_and_gets_one_refusal(
    data: st.DataObject, body: bytes, quiet: bool, line_end: bytes, places: list[int]
) -> None:
    line = data.draw(wrong_storage_lines(body)) + b" noreply" * quiet
    stream = line + line_end + body + b"\r\nversion\r\n"
    refusal = SILENT if quiet else BAD_FORMAT
    assert commands_of(cut(stream, places)) == [refusal, Version()]


@given(st.binary(min_size=LIMIT + 1, max_size=4 * LIMIT), st.booleans(), cuts)
def test_a_body_over_the_limit_is_taken_and_gets_one_refusal(
    body: bytes, quiet: bool, places: list[int]
) -> None:
    stream = b"set q 0 0 %d%b\r\n%b\r\nversion\r\n" % (len(body), b" noreply" * quiet, body)
    first, second = commands_of(cut(stream, places))
    assert first == (Refusal(b"", too_large=True) if quiet else TOO_LARGE)
    assert second == Version()


@given(hostile_bodies.filter(lambda body: len(body) <= LIMIT), cuts)
def test_a_body_is_data_whatever_it_looks_like(body: bytes, places: list[int]) -> None:
    stream = b"set q 0 0 %d\r\n%b\r\n" % (len(body), body)
    assert commands_of(cut(stream, places)) == [Store(Verb.SET, b"q", 0, 0, body, quiet=False)]


def test_the_limit_itself_is_allowed() -> None:
    command = only(b"set q 0 0 64\r\n" + b"x" * 64 + b"\r\n")
    assert command == Store(Verb.SET, b"q", 0, 0, b"x" * 64, quiet=False)


@pytest.mark.parametrize("verb", STORAGE)
@pytest.mark.parametrize("noreply", [b"", b" noreply"])
@pytest.mark.parametrize(
    "length",
    [
        *(b"-1", b"-0", b"+5", b"1_0", b"0x5", b"5.0", b"1e3", b"five", b"5five", b"--5", b"5-"),
        *(b"2147483646", b"4294967301", b"18446744073709551621", b"9" * 100, b"noreply"),
        *("\u0665".encode(), "\u00b2".encode("latin-1"), b"\x00"),
    ],
)
def test_an_unreadable_length_is_refused_and_closes(
    verb: bytes, noreply: bytes, length: bytes
) -> None:
    line = body_line(verb, b"q", b"0", b"0", length) + noreply
    stream = line + b"\r\nflush_all\r\nquit\r\n"
    assert commands_of([stream]) == [BAD_FORMAT_CLOSE]
    assert commands_of(bytewise(stream)) == [BAD_FORMAT_CLOSE]


@pytest.mark.parametrize("length", [b"5", b"05", b"0000000005"])
def test_leading_zeros_of_a_length_mean_nothing(length: bytes) -> None:
    command = only(b"set q 0 0 %b\r\nhello\r\n" % length)
    assert command == Store(Verb.SET, b"q", 0, 0, b"hello", quiet=False)


def test_the_largest_readable_length_is_swallowed() -> None:
    dialect = TextDialect(LIMIT)
    dialect.feed(b"set q 0 0 2147483645\r\nflush_all\r\n")
    assert dialect.next_command() is None
    assert dialect.midway
    assert dialect.buffered == 0


@pytest.mark.parametrize("before", [b"", b"set q 0 0 1\r\na\r\n"])
@pytest.mark.parametrize("line", [b"set q 0 0 5", b"set q x 0 5", b"set %b 0 0 5" % K251])
@pytest.mark.parametrize("end", [b"\n", b"x", b"\rx", b"\r\r", b" flush_all", b"\nflush_all\r\n"])
def test_a_body_that_does_not_end_in_crlf_closes_at_once(
    before: bytes, line: bytes, end: bytes
) -> None:
    stream = before + line + b"\r\nhello" + end
    whole = commands_of([stream])
    assert whole[-1] == BAD_CHUNK
    assert commands_of(bytewise(stream)) == whole
    assert len(whole) == (2 if before else 1)


@pytest.mark.parametrize("length", [5, 65])
def test_half_a_terminator_is_waited_for(length: int) -> None:
    dialect = TextDialect(LIMIT)
    dialect.feed(b"set q 0 0 %d\r\n%b\r" % (length, b"x" * length))
    assert dialect.next_command() is None
    dialect.feed(b"\n")
    assert isinstance(dialect.next_command(), Store if length <= LIMIT else Refusal)


@pytest.mark.parametrize("length", [3, 4])
def test_a_body_longer_than_announced_closes(length: int) -> None:
    stream = b"set q 0 0 %d\r\nhello\r\nflush_all\r\n" % length
    assert commands_of([stream]) == [BAD_CHUNK]


def test_a_body_longer_than_the_limit_is_swallowed_without_being_kept() -> None:
    chunk = b"flush_all\r\n" * 6000
    announced = 100_000_000
    dialect = TextDialect(1 << 20)
    dialect.feed(b"set q 0 0 %d\r\n" % announced)
    assert dialect.next_command() is None
    most_buffered = 0
    tracemalloc.start()
    try:
        for start in range(0, announced, len(chunk)):
            dialect.feed(chunk if announced - start >= len(chunk) else chunk[: announced - start])
            assert dialect.next_command() is None
            most_buffered = max(most_buffered, dialect.buffered)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_buffered == 0
    assert peak < 2 * len(chunk)
    dialect.feed(b"\r\nversion\r\n")
    assert dialect.next_command() == TOO_LARGE
    assert dialect.next_command() == Version()
    assert not dialect.midway


def test_nothing_is_set_aside_for_a_body_before_it_comes() -> None:
    dialect = TextDialect(1 << 30)
    tracemalloc.start()
    try:
        dialect.feed(b"set q 0 0 1073741824\r\nabc")
        assert dialect.next_command() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_a_body_on_its_way_is_midway_and_not_buffered() -> None:
    dialect = TextDialect(1 << 22)
    dialect.feed(b"set q 0 0 3000000\r\n")
    for _ in range(3):
        assert dialect.next_command() is None
        dialect.feed(b"x" * 1_000_000)
        assert dialect.buffered == 0
        assert dialect.midway
    dialect.feed(b"\r\n")
    command = dialect.next_command()
    assert isinstance(command, Store)
    assert command.data == b"x" * 3_000_000
    assert not dialect.midway


def test_a_part_of_a_line_is_midway_and_buffered() -> None:
    dialect = TextDialect(LIMIT)
    dialect.feed(b"vers")
    assert dialect.next_command() is None
    assert dialect.midway
    assert dialect.buffered == 4
    dialect.feed(b"ion\r\nget")
    assert dialect.next_command() == Version()
    assert dialect.buffered == 3


# Numbers and keys of a storage line.


@pytest.mark.parametrize(
    ("flags", "value"),
    [(b"0", 0), (b"00", 0), (b"1", 1), (b"65536", 65536), (b"4294967295", 2**32 - 1)],
)
def test_flags_are_32_bits(flags: bytes, value: int) -> None:
    command = only(b"set q %b 0 1\r\na\r\n" % flags)
    assert command == Store(Verb.SET, b"q", value, 0, b"a", quiet=False)


@pytest.mark.parametrize("flags", [b"4294967296", b"99999999999", b"-1", b"+1", b"x", b"1_0"])
def test_flags_beyond_32_bits_are_refused(flags: bytes) -> None:
    assert only(b"set q %b 0 1\r\na\r\n" % flags) == BAD_FORMAT


@pytest.mark.parametrize(
    "exptime", [0, 1, -1, 2592000, 2592001, -(2**31), 2**31, 2**32 - 1, 2**63 - 1, -(2**63)]
)
def test_exptimes_are_64_bits_and_may_be_negative(exptime: int) -> None:
    command = only(b"set q 0 %d 1\r\na\r\n" % exptime)
    assert command == Store(Verb.SET, b"q", 0, exptime, b"a", quiet=False)


@pytest.mark.parametrize("exptime", [b"1.5", b"x", b"+1", b"--1", b"-", b"1_0", b"9" * 21])
def test_exptimes_that_are_no_numbers_are_refused(exptime: bytes) -> None:
    assert only(b"set q 0 %b 1\r\na\r\n" % exptime) == BAD_FORMAT


@pytest.mark.parametrize("verb", STORAGE)
def test_a_key_has_at_most_250_bytes(verb: bytes) -> None:
    longest, too_long = (
        only(body_line(verb, key, b"0", b"0", b"1") + b"\r\na\r\n") for key in (K250, K251)
    )
    assert isinstance(longest, Store)
    assert longest.key == K250
    assert too_long == BAD_FORMAT


@pytest.mark.parametrize(
    "key", [b"noreply", b"0", b"../x", b".", b"a:b", b"\xc3\xa9", b"\x01", b"\xff\xfe", b"set"]
)
def test_a_key_is_any_bytes_without_blanks(key: bytes) -> None:
    assert only(b"set %b 0 0 1\r\na\r\n" % key) == Store(Verb.SET, key, 0, 0, b"a", quiet=False)
    assert only(b"get %b\r\n" % key) == Get([key], with_cas=False)


# Lines that are too long.


def _chunks(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _line(start: bytes, length: int) -> bytes:
    """Return a line of so many bytes before its LF."""
    return start + b" " + (b"k " * length)[: length - len(start) - 2] + b"\r\n"


@pytest.mark.parametrize("start", [b"version", b"stats", b"nonsense", b"delete q", b"set q 0 0 1"])
def test_a_line_of_more_than_2048_bytes_closes(start: bytes) -> None:
    assert commands_of([_line(start, 2049) + b"flush_all\r\n"]) == [LONG_LINE]
    assert commands_of(bytewise(_line(start, 2049))) == [LONG_LINE]


@pytest.mark.parametrize("start", [b"version", b"set q 0 0 1", b"x" * 100, b"\x00"])
def test_a_line_of_more_than_2048_bytes_closes_before_it_ends(start: bytes) -> None:
    line = _line(start, 2051)
    assert commands_of([line[:2048]]) == []
    assert commands_of([line[:2049]]) == [LONG_LINE]
    assert commands_of(bytewise(line[:2049])) == [LONG_LINE]


def test_a_line_of_2048_bytes_is_read() -> None:
    assert only(b"version" + b" " * 2040 + b"\r\n") == Version()
    (command,) = commands_of(bytewise(_line(b"stats", 2048)))
    assert isinstance(command, Stats)


LONGEST = 1 << 20


def keys_of(command: Command | None) -> list[bytes]:
    assert isinstance(command, LongGet)
    return [key for piece in command.pieces() for key in piece]


@pytest.mark.parametrize(
    ("start", "with_cas", "exptime"),
    [
        (b"get", False, None),
        (b"GET", False, None),
        (b"Gets", True, None),
        (b"  get", False, None),
        (b"gat  60", False, 60),
        (b"gats 0", True, 0),
    ],
)
@pytest.mark.parametrize("length", [2049, 65_537, LONGEST])
def test_a_get_may_be_one_mib_long(
    start: bytes, length: int, with_cas: bool, exptime: int | None
) -> None:
    line = _line(start, length)
    command, after = commands_of([line + b"version\r\n"])
    assert after == Version()
    assert keys_of(command) == [b"k"] * line.count(b"k")
    assert isinstance(command, LongGet)
    assert (command.with_cas, command.touch_exptime) == (with_cas, exptime)
    assert commands_of(_chunks(line, 1000)) == [command]


@pytest.mark.parametrize("start", [b"get", b"gets", b"gat 0", b"gats 0"])
def test_a_get_of_more_than_one_mib_closes(start: bytes) -> None:
    line = _line(start, LONGEST + 1)
    assert commands_of([line]) == [LONG_LINE]
    assert commands_of([line[:-1]]) == [LONG_LINE]
    assert commands_of(_chunks(line, 10_000)) == [LONG_LINE]


@given(st.lists(st.binary(max_size=300).map(lambda key: b"".join(key.split())), min_size=300))
@settings(max_examples=30)
def test_the_keys_of_a_long_get_are_those_between_its_blanks(words: list[bytes]) -> None:
    line = b"get " + b" ".join(words) + b" " * 2048
    (command,) = commands_of([line + b"end\r\n"])
    wanted = [word for word in words if word] + [b"end"]
    if any(len(word) > 250 for word in words):
        with pytest.raises(RequestError, match="bad command line format"):
            keys_of(command)
    else:
        assert keys_of(command) == wanted


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        (b"get" + b" " * 3000, ERROR),
        (b"gats" + b" " * 3000, ERROR),
        (b"gat 5" + b" " * 3000, ERROR),
        (b"gat -5 " + b"k " * 3000, BAD_EXPTIME),
        (b"gat k " + b"k " * 3000, BAD_EXPTIME),
        (b"gat " + b"5" * 3000 + b" k", BAD_EXPTIME),
    ],
)
def test_a_long_get_without_what_it_needs_is_refused(line: bytes, refusal: Refusal) -> None:
    assert commands_of([line + b"\r\n"]) == [refusal]


def test_a_long_line_that_comes_in_pieces_is_joined_once() -> None:
    """To join each piece to all that came before it would take time by the square."""
    dialect = TextDialect(LIMIT)
    line = _line(b"get", LONGEST)
    dialect.feed(line[:5000])
    assert dialect.next_command() is None
    begun = dialect._buffer
    for piece in _chunks(line[5000:-2], 16):
        dialect.feed(piece)
        assert dialect.next_command() is None
        assert dialect._buffer is begun
    dialect.feed(line[-2:])
    assert keys_of(dialect.next_command()) == [b"k"] * line.count(b"k")


def test_what_is_missing_of_a_line_depends_on_how_long_it_may_be() -> None:
    for start, longest in (b"get k", LONGEST), (b"version", 2048), (b"g", 2048):
        dialect = TextDialect(LIMIT)
        dialect.feed(start)
        assert dialect.next_command() is None
        assert dialect.missing == longest - len(start)


@given(streams, cuts, st.booleans(), st.integers(720, 800))
@settings(max_examples=200)
def test_what_comes_behind_a_large_buffer_gives_the_same_commands(
    stream: bytes, places: list[int], drained: bool, count: int
) -> None:
    ahead = b"get a\r\n" * count + stream
    dialect = TextDialect(LIMIT)
    found: list[Command] = []
    dialect.feed(ahead[:5000])
    fed = 5000
    for piece in cut(ahead[5000:], places):
        dialect.feed(piece)
        fed += len(piece)
        assert dialect.buffered == fed - 7 * len(found)
        if drained and len(found) < count and (command := dialect.next_command()) is not None:
            found.append(command)
    if not found or not isinstance(found[-1], Refusal):
        _take_all(dialect, found, fed)
    assert found == commands_of([ahead])


@pytest.mark.parametrize(
    "line",
    [b"set a 1 0 0 13", b"set a b 0 0 13", b"set a 1 0 0 13 noreply", b"set a b c 0 0 13 noreply"],
)
def test_a_key_with_a_blank_closes_because_the_length_is_elsewhere(line: bytes) -> None:
    # A library that does not look at its keys: the body must not run.
    stream = line + b"\r\n\r\nflush_all\r\n\r\n"
    first = commands_of([stream])[0]
    assert first == BAD_FORMAT_CLOSE


@pytest.mark.parametrize("verb", [each for each in Verb if each is not Verb.CAS])
@pytest.mark.parametrize("words", [b"noreplY", b"foo", b"noreply foo", b"7", b"0 noreplY", b"a b"])
def test_words_behind_those_of_a_storage_command_are_ignored(verb: Verb, words: bytes) -> None:
    line = b"%b q 0 0 1 %b\r\nx\r\n" % (verb.value.encode(), words)
    wanted = [Store(verb, b"q", 0, 0, b"x", quiet=False), Version()]
    assert commands_of([line + b"version\r\n"]) == wanted
    assert commands_of(bytewise(line + b"version\r\n")) == wanted


def test_words_behind_those_of_a_cas_are_ignored() -> None:
    stream = b"cas q 0 0 1 5 noreplY\r\nx\r\ncas q 0 0 1 5 a noreply\r\nx\r\n"
    wanted = [Store(Verb.CAS, b"q", 0, 0, b"x", quiet) for quiet in (False, True)]
    assert commands_of([stream]) == wanted


@pytest.mark.parametrize("byte", [b"\t", b"\v", b"\f", b"\r", b"\0", b"\x1b", b"\xa0"])
def test_blanks_alone_part_the_words_of_a_line(byte: bytes) -> None:
    key = byte + b"a" + byte + b"b"
    stream = b"set %b 0 0 1\r\nx\r\nget %b c\r\n" % (key, key)
    assert commands_of([stream]) == [
        Store(Verb.SET, key, 0, 0, b"x", quiet=False),
        Get([key, b"c"], with_cas=False),
    ]


@pytest.mark.parametrize("line", [b"set\tq\t0\t0\t9", b"\vset q 0 0 9", b"ADD\fq 0 0 9"])
def test_a_body_does_not_run_behind_words_that_tabs_should_part(line: bytes) -> None:
    assert commands_of([line + b"\r\nflush_all\r\n"])[0] == Refusal(b"ERROR\r\n", close=True)


def test_many_long_lines_are_not_remembered() -> None:
    dialect = TextDialect(1024)
    known = len(KNOWN_LINES)
    for number in range(100):
        dialect.feed(b"get " + b"k" * 240 + b" %d" % number + b"k" * 200 + b"\r\n")
        assert isinstance(dialect.next_command(), Get)
    assert len(KNOWN_LINES) == known
