"""The binary protocol, reading: where a request ends, and which bytes are which command."""

import struct
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from starling_py.protocol.binary import BinaryDialect
from starling_py.protocol.commands import (
    Acknowledge,
    Arithmetic,
    Command,
    Delete,
    FlushAll,
    Get,
    Phrased,
    Quit,
    Refusal,
    Stats,
    Store,
    Touch,
    Verb,
    Version,
)
from starling_py.protocol.writer import Outcome
from tests.protocol import packets as p
from tests.protocol.packets import Packet, ask, put, seconds, unpack

LIMIT = 64
"""The largest item of these tests."""

OPAQUE = 0xDEADBEEF
EXTRAS_20 = bytes(20)


def commands_of(
    pieces: Iterable[bytes], limit: int = LIMIT, *, drained: bool = True
) -> list[Command]:
    """Return what a dialect makes of the pieces, up to the first command that closes.

    ``drained`` tells whether the commands are taken after each piece or only after the last.
    """
    dialect = BinaryDialect(limit)
    found: list[Command] = []
    for piece in pieces:
        dialect.feed(piece)
        if drained and not _take_all(dialect, found):
            return found
    _take_all(dialect, found)
    return found


def _take_all(dialect: BinaryDialect, found: list[Command]) -> bool:
    while (command := dialect.next_command()) is not None:
        found.append(command)
        if type(command) is Quit or (isinstance(command, Refusal) and command.close):
            return False
    return True


def only(data: bytes, limit: int = LIMIT) -> Command:
    """Return the one command in the data, without its way of being answered."""
    (command,) = commands_of([data], limit)
    assert isinstance(command, Phrased)
    return command.command


def meant(command: Command) -> tuple[object, ...]:
    """Return what a command asks for, and how it is answered."""
    if not isinstance(command, Phrased):
        return (command,)
    writer = command.writer
    answers = (writer.outcome(Outcome.STORED), writer.end_of_hits(), writer.client_error(""))
    return command.command, *answers


def expect_refused(data: bytes, limit: int = LIMIT) -> Packet:
    """Return the answer to a request that is refused, and that the stream goes on behind it."""
    command, next_one = commands_of([data, ask(p.NOOP)], limit)
    assert isinstance(command, Refusal)
    assert not command.close
    assert isinstance(next_one, Phrased)
    assert next_one.command == Acknowledge(quiet=False)
    (packet,) = unpack(command.reply)
    assert command.too_large == (packet.status == p.TOO_LARGE)
    return packet


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut the data at some places, which are taken modulo its length."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


# Streams of requests, right and wrong.

keys = st.sampled_from([b"q", b"jobs/peek", b"q/t=5", b"a b", b"", b"k" * 250, b"k" * 251, b"\xff"])
values = st.sampled_from([b"", b"x", ask(p.FLUSH), b"x" * LIMIT, b"x" * (LIMIT + 1), b"x" * 300])
all_extras = st.sampled_from([b"", bytes(4), b"\xff" * 4, bytes(8), EXTRAS_20, bytes(3)])
opcodes = st.integers(0, 0x24) | st.integers(0, 255)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    value = draw(values | st.binary(max_size=LIMIT))
    extras = draw(all_extras)
    return ask(draw(opcodes), draw(keys), value, extras, draw(st.integers(0, 2**32 - 1)))


@st.composite
def likely_requests(draw: st.DrawFn) -> bytes:
    opaque = draw(st.integers(0, 2**32 - 1))
    value = draw(values)
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return put(draw(keys), value, opcode=draw(st.integers(1, 3)), opaque=opaque)
    if kind == 1:
        return ask(draw(st.sampled_from([p.GET, p.GETKQ, p.DELETE])), draw(keys), opaque=opaque)
    return ask(draw(st.sampled_from([p.NOOP, p.VERSION, p.FLUSH])), opaque=opaque)


@st.composite
def lying_headers(draw: st.DrawFn) -> bytes:
    size = draw(st.integers(0, 400))
    key, extras = draw(st.integers(0, 500)), draw(st.integers(0, 255))
    head = p.HEADER.pack(0x80, draw(opcodes), key, extras, 0, 0, size, 1, 0)
    return head + draw(st.binary(min_size=size, max_size=size))


whole = st.one_of(requests(), likely_requests(), likely_requests(), lying_headers())
frames = whole | st.binary(max_size=40)
streams = st.lists(frames, max_size=6).map(b"".join) | st.binary(max_size=200)
cuts = st.lists(st.integers(0, 5000), max_size=12)


# However the bytes come.


@given(streams, cuts, st.booleans())
@settings(max_examples=400)
@example(put(b"q", b"x" * 65) + ask(p.GET, b"q"), [1, 23, 24, 25, 32, 33, 34, 97, 98, 99], True)
@example(put(b"q", b"x") + ask(p.QUIT), [40], False)
@example(put(b"a b", b"x" * 9) + ask(p.NOOP), [34, 35, 36, 40], True)
def test_the_same_packets_give_the_same_commands_however_they_are_cut(
    stream: bytes, places: list[int], drained: bool
) -> None:
    in_pieces = commands_of(cut(stream, places), drained=drained)
    assert list(map(meant, in_pieces)) == list(map(meant, commands_of([stream])))


@given(streams, cuts, st.booleans(), st.integers(210, 240))
@settings(max_examples=200)
def test_packets_behind_a_large_buffer_give_the_same_commands(
    stream: bytes, places: list[int], drained: bool, count: int
) -> None:
    ahead = ask(p.NOOP) * count + stream
    dialect = BinaryDialect(LIMIT)
    found: list[Command] = []
    dialect.feed(ahead[:5000])
    fed = 5000
    for piece in cut(ahead[5000:], places):
        dialect.feed(piece)
        fed += len(piece)
        assert dialect.buffered == fed - 24 * len(found)
        if drained and len(found) < count and (command := dialect.next_command()) is not None:
            found.append(command)
    if not found or not isinstance(found[-1], Refusal):
        _take_all(dialect, found)
    assert list(map(meant, found)) == list(map(meant, commands_of([ahead])))


def test_a_long_key_that_comes_in_pieces_is_joined_once() -> None:
    dialect = BinaryDialect(LIMIT)
    request = ask(p.GET, b"k" * 60_000)
    dialect.feed(request[:5000])
    assert dialect.next_command() is None
    begun = dialect._buffer
    for place in range(5000, len(request) - 1):
        dialect.feed(request[place : place + 1])
        assert dialect.next_command() is None
        assert dialect._buffer is begun
    dialect.feed(request[-1:])
    assert dialect.next_command() is not None


@given(st.lists(whole, max_size=8), cuts)
@settings(max_examples=300)
def test_every_whole_request_is_one_command_in_its_order(
    stream: list[bytes], places: list[int]
) -> None:
    stream = [each for each in stream if each[1] not in (p.QUIT, p.QUITQ)]
    found = commands_of(cut(b"".join(stream), places))
    assert len(found) == len(stream)
    for request, command in zip(stream, found, strict=True):
        opaque = p.HEADER.unpack(request[:24])[7]
        if isinstance(command, Refusal):
            (packet,) = unpack(command.reply)
            assert (packet.opcode, packet.opaque) == (request[1], opaque)
        else:
            assert isinstance(command, Phrased)
            (packet,) = unpack(command.writer.client_error(""))
            assert (packet.opcode, packet.opaque) == (request[1], opaque)


@given(st.lists(whole, max_size=4), st.integers(0, 200))
@settings(max_examples=200)
def test_a_dialect_is_midway_exactly_when_something_is_missing(
    stream: list[bytes], missing: int
) -> None:
    data = b"".join(each for each in stream if each[1] not in (p.QUIT, p.QUITQ))
    dialect = BinaryDialect(LIMIT)
    dialect.feed(data)
    _take_all(dialect, [])
    assert not dialect.midway
    assert dialect.buffered == 0
    request = put(b"q", b"x" * 200)
    part = request[: 1 + missing]
    dialect.feed(part)
    assert _take_all(dialect, [])
    assert dialect.midway == (len(part) < len(request))


def test_bytes_that_are_no_commands_yet_are_counted() -> None:
    dialect = BinaryDialect(LIMIT)
    dialect.feed(ask(p.NOOP) * 3)
    assert dialect.buffered == 72
    dialect.next_command()
    dialect.feed(ask(p.NOOP) * 2)
    assert dialect.buffered == 96


def test_a_long_pipeline_is_not_copied_for_each_of_its_requests() -> None:
    dialect = BinaryDialect(1 << 20)
    stream = ask(p.NOOP) * 20_000 + put(b"q", b"x" * 500_000)
    dialect.feed(stream)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            assert dialect.next_command() is not None
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_body_that_is_not_stored_is_not_kept() -> None:
    dialect = BinaryDialect(LIMIT)
    piece = b"x" * 65536
    tracemalloc.start()
    try:
        dialect.feed(
            p.HEADER.pack(0x80, p.SET, 1, 8, 0, 0, 9 + 65536 * 100, 7, 0) + bytes(8) + b"q"
        )
        for _ in range(100):
            assert dialect.next_command() is None
            dialect.feed(piece)
        command = dialect.next_command()
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()
    assert isinstance(command, Refusal)
    assert unpack(command.reply) == [Packet(p.SET, p.TOO_LARGE, value=b"Too large.", opaque=7)]


@pytest.mark.parametrize("magic", [0x00, 0x81, ord("g"), 0xFF])
def test_a_header_that_is_none_closes_at_once(magic: int) -> None:
    silent_close = Refusal(b"", close=True)
    assert commands_of([ask(p.NOOP), bytes([magic])])[1:] == [silent_close]
    assert commands_of([ask(p.NOOP) + ask(p.NOOP, magic=magic)])[1:] == [silent_close]


# Which request is which command.

_STORES = [
    (p.SET, p.SETQ, Verb.SET),
    (p.ADD, p.ADDQ, Verb.ADD),
    (p.REPLACE, p.REPLACEQ, Verb.REPLACE),
]


@pytest.mark.parametrize(("loud", "quiet", "verb"), _STORES)
def test_a_store_has_flags_a_time_and_data(loud: int, quiet: int, verb: Verb) -> None:
    for opcode in (loud, quiet):
        store = Store(verb, b"q/delay=5", 2**32 - 1, 60, b"da\r\nta", quiet=False)
        assert only(put(b"q/delay=5", b"da\r\nta", 2**32 - 1, 60, opcode)) == store
        unsigned = Store(verb, b"q", 0, 2**32 - 1, b"", quiet=False)
        assert only(put(b"q", b"", 0, 2**32 - 1, opcode)) == unsigned
        cas = Store(Verb.CAS, b"q", 1, 2, b"x", quiet=False)
        assert only(put(b"q", b"x", 1, 2, opcode, cas=9)) == cas


@pytest.mark.parametrize(
    ("opcode", "verb"),
    [
        *((p.APPEND, Verb.APPEND), (p.APPENDQ, Verb.APPEND)),
        *((p.PREPEND, Verb.PREPEND), (p.PREPENDQ, Verb.PREPEND)),
    ],
)
def test_what_goes_beside_other_data_has_neither_flags_nor_a_time(opcode: int, verb: Verb) -> None:
    assert only(ask(opcode, b"q", b"x")) == Store(verb, b"q", 0, 0, b"x", quiet=False)
    assert only(ask(opcode, b"q", b"x", cas=9)) == Store(Verb.CAS, b"q", 0, 0, b"x", quiet=False)


@pytest.mark.parametrize("opcode", [p.GET, p.GETQ, p.GETK, p.GETKQ])
def test_a_get_asks_for_one_key(opcode: int) -> None:
    assert only(ask(opcode, b"q/t=5")) == Get((b"q/t=5",), with_cas=True)
    assert only(ask(opcode, b"q/peek/n=1")) == Get((b"q/peek/n=1",), with_cas=True)


@pytest.mark.parametrize("opcode", [p.GAT, p.GATQ, p.GATK, p.GATKQ])
def test_a_gat_has_a_time(opcode: int) -> None:
    assert only(ask(opcode, b"q", extras=seconds(60))) == Get((b"q",), True, 60)
    over = ask(opcode, b"q", extras=seconds(2**32 - 1))
    assert expect_refused(over) == Packet(
        opcode, p.INVALID, value=b"the lease would be over already"
    )


@pytest.mark.parametrize(
    ("request_", "command"),
    [
        (ask(p.DELETE, b"q"), Delete(b"q", quiet=False)),
        (ask(p.DELETEQ, b"q"), Delete(b"q", quiet=False)),
        (ask(p.INCREMENT, b"q", extras=EXTRAS_20), Arithmetic("incr", b"q", quiet=False)),
        (ask(p.INCREMENTQ, b"q", extras=EXTRAS_20), Arithmetic("incr", b"q", quiet=False)),
        (ask(p.DECREMENT, b"q", extras=EXTRAS_20), Arithmetic("decr", b"q", quiet=False)),
        (ask(p.DECREMENTQ, b"q", extras=EXTRAS_20), Arithmetic("decr", b"q", quiet=False)),
        (ask(p.FLUSH), FlushAll(quiet=False)),
        (ask(p.FLUSH, extras=seconds(9)), FlushAll(quiet=False, delay=9)),
        (ask(p.FLUSHQ), FlushAll(quiet=False)),
        (ask(p.NOOP), Acknowledge(quiet=False)),
        (ask(p.VERBOSITY, extras=seconds(1)), Acknowledge(quiet=False)),
        (ask(p.VERSION), Version()),
        (ask(p.STAT), Stats([])),
        (ask(p.STAT, b"queue jobs"), Stats([b"queue", b"jobs"])),
        (ask(p.TOUCH, b"q", extras=seconds(60)), Touch(b"q", 60, quiet=False)),
        (ask(p.TOUCH, b"q", extras=seconds(2**32 - 1)), Touch(b"q", -1, quiet=False)),
    ],
)
def test_a_request_is_the_command_that_text_has(request_: bytes, command: Command) -> None:
    assert only(request_) == command


@pytest.mark.parametrize("opcode", [p.QUIT, p.QUITQ])
def test_to_quit_is_answered_first_and_nothing_is_read_behind_it(opcode: int) -> None:
    answer, end = commands_of([ask(opcode) + ask(p.FLUSH)])
    assert isinstance(answer, Phrased)
    assert answer.command == Acknowledge(quiet=False)
    assert end == Quit()


def test_the_data_type_and_the_virtual_bucket_mean_nothing() -> None:
    request = p.HEADER.pack(0x80, p.GET, 1, 0, 7, 0xFFFF, 1, 0, 0) + b"q"
    assert only(request) == Get((b"q",), with_cas=True)


# What is refused takes its body with it.

_UNKNOWN_OPCODES = [
    *(0x1F, 0x25, 0x30, 0x40, 0x80, 0xFF),
]


@pytest.mark.parametrize("opcode", _UNKNOWN_OPCODES)
def test_an_unknown_opcode_is_told_so(opcode: int) -> None:
    for request in (
        ask(opcode, opaque=OPAQUE),
        ask(opcode, b"PLAIN", b"\0user\0secret", opaque=OPAQUE),
        put(b"k" * 3000, ask(p.FLUSH) * 100, opcode=opcode, opaque=OPAQUE),
    ):
        text = b"Unknown command"
        assert expect_refused(request) == Packet(opcode, p.UNKNOWN, value=text, opaque=OPAQUE)


_WRONG = [
    *(ask(opcode, opaque=OPAQUE) for opcode in (p.GET, p.GETQ, p.GETK, p.DELETE, p.APPEND)),
    *(ask(opcode, b"q", opaque=OPAQUE) for opcode in (p.SET, p.ADD, p.TOUCH, p.GAT, p.INCREMENT)),
    *(ask(opcode, b"q", opaque=OPAQUE) for opcode in (p.NOOP, p.VERSION, p.QUIT, p.FLUSH)),
    *(ask(opcode, b"q", b"value", opaque=OPAQUE) for opcode in (p.GET, p.DELETE, p.STAT)),
    *(ask(opcode, b"q", b"v", bytes(4), OPAQUE) for opcode in (p.GET, p.SET, p.APPEND, p.GAT)),
    ask(p.FLUSH, extras=bytes(8), opaque=OPAQUE),
    ask(p.VERBOSITY, opaque=OPAQUE),
    put(b"", b"value", opaque=OPAQUE),
    put(b"k" * 251, ask(p.FLUSH), opaque=OPAQUE),
    put(b"k" * 65535, ask(p.FLUSH), opaque=OPAQUE),
    ask(p.STAT, b"k" * 251, opaque=OPAQUE),
    ask(p.GET, b"k" * 251, opaque=OPAQUE),
    p.HEADER.pack(0x80, p.SET, 3, 8, 0, 0, 10, OPAQUE, 0) + bytes(10),
    p.HEADER.pack(0x80, p.GET, 65535, 0, 0, 0, 0, OPAQUE, 0),
    p.HEADER.pack(0x80, p.NOOP, 0, 255, 0, 0, 254, OPAQUE, 0) + bytes(254),
]


@pytest.mark.parametrize("request_", _WRONG)
def test_a_request_of_the_wrong_form_is_invalid(request_: bytes) -> None:
    text = b"Invalid arguments"
    assert expect_refused(request_) == Packet(request_[1], p.INVALID, value=text, opaque=OPAQUE)


@given(st.binary(min_size=1, max_size=250))
def test_any_bytes_are_a_key_blanks_and_line_ends_too(key: bytes) -> None:
    assert only(ask(p.DELETE, key)) == Delete(key, quiet=False)


@pytest.mark.parametrize("opcode", [p.SET, p.SETQ, p.ADDQ])
def test_an_item_at_the_limit_is_taken_and_one_byte_more_is_too_large(opcode: int) -> None:
    store = only(put(b"q", b"x" * LIMIT, opcode=opcode))
    assert isinstance(store, Store)
    assert store.data == b"x" * LIMIT
    over = put(b"q", b"x" * (LIMIT + 1), opcode=opcode, opaque=OPAQUE)
    assert expect_refused(over) == Packet(opcode, p.TOO_LARGE, value=b"Too large.", opaque=OPAQUE)


def test_a_get_of_several_items_is_refused_as_a_reply_has_one() -> None:
    text = b"a reply has one item; /n= asks for more"
    assert expect_refused(ask(p.GETQ, b"q/peek/n=2")) == Packet(p.GETQ, p.INVALID, value=text)
    wrong = only(ask(p.GET, b"q/n=2"))
    assert wrong == Get((b"q/n=2",), with_cas=True)


def test_a_delete_with_a_cas_compares() -> None:
    assert only(ask(p.DELETE, b"q", cas=1)) == Delete(b"q", quiet=False, compares=True)


def test_headers_have_the_layout_of_the_protocol() -> None:
    assert ask(p.GET, b"Hello") == bytes.fromhex(
        "80000005 00000000 00000005 00000000 00000000 00000000 48656c6c6f"
    )
    assert struct.calcsize(">BBHBBHIIQ") == 24
