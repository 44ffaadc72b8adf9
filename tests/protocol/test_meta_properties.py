"""Streams of meta commands and classic text: cut anywhere, full of mistakes, never out of step."""

import base64
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from starling_py.protocol.commands import Command, Phrased, PhrasedAnew, Refusal
from starling_py.protocol.text import TextDialect
from tests.core import Client, CoreHarness

LIMIT = 40

KEYS = st.sampled_from(
    [b"q", b"r", b"cQ==", b"q/open", b"q/close", b"q/abort", b"q/peek", b"q/oepn", b"k" * 251]
)
LONG_OPAQUE = b"O" * 34
FLAGS = st.sampled_from(
    [*b"v f k s t c b q l h I O12 T0 T5 F7 C1 MS ME MP MX z Tx v1 \xff".split(), LONG_OPAQUE]
)
BODIES = st.sampled_from([b"", b"a", b"md q", b"flush_all\r\n", b"\r\n", b"x" * 41, b"\xff" * 40])


def meta_line(word: bytes, key: bytes, flags: Iterable[bytes]) -> bytes:
    return b" ".join([word, key, *flags]) + b"\r\n"


@st.composite
def stores(draw: st.DrawFn) -> bytes:
    """Draw an ``ms`` whose length can be read."""
    body = draw(BODIES)
    flags = draw(st.lists(FLAGS, max_size=4))
    return meta_line(b"ms", draw(KEYS), [b"%d" % len(body), *flags]) + body + b"\r\n"


@st.composite
def reads(draw: st.DrawFn) -> bytes:
    word = draw(st.sampled_from([b"mg", b"mg", b"md", b"ma", b"me", b"MG"]))
    return meta_line(word, draw(KEYS), draw(st.lists(FLAGS, max_size=4)))


TEXT = st.sampled_from(
    [
        b"mn\r\n",
        b"version\n",
        b"get q\r\n",
        b"gets q r\r\n",
        b"set q 0 0 1\r\na\r\n",
        b"\r\n",
        b"mg\r\n",
        b"nonsense\r\n",
        b"delete q\r\n",
        b"set q x 0 4\r\nmd q\r\n",
    ]
)
STREAMS = st.lists(st.one_of(stores(), reads(), TEXT), max_size=12)


def commands_of(pieces: Iterable[bytes]) -> list[tuple[Command, object]]:
    """Return the commands up to the first that closes, with the forms of their replies."""
    dialect = TextDialect(LIMIT)
    found: list[tuple[Command, object]] = []
    for piece in pieces:
        dialect.feed(piece)
        while (command := dialect.next_command()) is not None:
            if isinstance(command, Phrased):
                found.append((command.command, getattr(command.writer, "form", None)))
            elif isinstance(command, PhrasedAnew):
                found.append((command.command, command.form))
            else:
                found.append((command, None))
            if isinstance(command, Refusal) and command.close:
                return found
    return found


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut the data at some places, which are taken modulo its length."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(STREAMS, st.lists(st.integers(0, 1000)))
def test_how_a_stream_is_cut_changes_nothing(stream: list[bytes], places: list[int]) -> None:
    data = b"".join(stream)
    whole = commands_of([data])
    assert commands_of(cut(data, places)) == whole
    assert commands_of(data[position : position + 1] for position in range(len(data))) == whole
    assert len(whole) == len(stream)


NOISE = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([b"mg ", b"ms ", b"md ", b"q ", b"v ", b"b ", b"2 ", b"\r\n", b"T", b"O"]),
)


@given(st.lists(NOISE, max_size=20).map(b"".join), st.lists(st.integers(0, 400)))
@example(b"ms q 2 C\r\nhi\r\n", [])
@example(b"mg =\xff b\r\n", [])
@example(b"mg q \x00\r\n", [])
def test_garbage_raises_nothing_wherever_it_is_cut(data: bytes, places: list[int]) -> None:
    assert commands_of(cut(data, places)) == commands_of([data])


@given(st.binary(max_size=200).filter(bool))
def test_any_bytes_are_a_key_in_base64(key: bytes) -> None:
    sent = base64.b64encode(key)
    ((command, _),) = commands_of([b"md %b b\r\n" % sent])
    assert getattr(command, "key", None) == key


# Replies, from real queues.


@pytest.fixture
def connect(tmp_path: Path) -> Callable[[], Client]:
    """Return what gives a client of queues that are as at the first time."""
    core = CoreHarness(tmp_path / "spool")

    def connect() -> Client:
        for name in (b"q", b"r", b"cQ=="):
            core.client().ask(b"md %b\r\n" % name)
        return core.client()

    return connect


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(stores(), stores())
def test_a_store_with_a_readable_length_has_one_reply_and_shifts_nothing(
    connect: Callable[[], Client], first: bytes, second: bytes
) -> None:
    client = connect()
    told = client.ask(first + b"mn\r\n" + second + b"mn\r\n")
    replies = re.split(rb"MN\r\n", told)
    assert len(replies) == 3
    assert replies[2] == b""
    for reply, command in zip(replies, (first, second), strict=False):
        flags = command.partition(b"\r\n")[0].split()[3:]
        if reply:
            assert reply.count(b"\r\n") == 1
            assert re.match(rb"HD|NS|NF|CLIENT_ERROR |SERVER_ERROR ", reply)
            assert not (reply.startswith(b"HD") and b"q" in flags)
        else:
            assert b"q" in flags


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(STREAMS, st.lists(st.integers(0, 1000)))
def test_the_replies_do_not_depend_on_how_the_stream_was_cut(
    connect: Callable[[], Client], stream: list[bytes], places: list[int]
) -> None:
    data = b"".join(stream) + b"mn\r\n"
    whole = without_ids(connect().ask(data))
    client = connect()
    told = b"".join(client.ask(piece) for piece in cut(data, places) if piece)
    assert without_ids(told) == whole
    assert whole.endswith(b"MN\r\n")


def without_ids(told: bytes) -> bytes:
    """Leave out what differs from time to time: ids go on after a queue was deleted."""
    told = re.sub(rb" c\d+", b" c", told)
    return re.sub(rb"(VALUE [^ ]* \d+ \d+) \d+", rb"\1", told)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(FLAGS.filter(lambda flag: flag != b"v"), max_size=5), KEYS)
def test_a_get_without_v_takes_nothing(
    connect: Callable[[], Client], flags: list[bytes], key: bytes
) -> None:
    client = connect()
    client.ask(b"ms q 1 F3\r\na\r\n")
    client.ask(meta_line(b"mg", key, flags))
    assert client.ask(b"me q\r\n").startswith(b"ME q items=1 bytes=1 open=0")
    assert client.ask(b"mg q v f\r\n") == b"VA 1 f3\r\na\r\n"
