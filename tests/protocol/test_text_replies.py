"""Classic text, writing: the bytes of every reply, which no text and no value can break."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.protocol.dialect import Dialect
from starling_py.protocol.text import TextDialect
from starling_py.protocol.writer import Outcome
from starling_py.stats import encoded

replies: Dialect = TextDialect(1 << 20)

any_text = st.text(st.characters(), max_size=40)


@pytest.mark.parametrize(
    ("outcome", "reply"),
    [
        (Outcome.STORED, b"STORED\r\n"),
        (Outcome.NOT_STORED, b"NOT_STORED\r\n"),
        (Outcome.EXISTS, b"EXISTS\r\n"),
        (Outcome.TOUCHED, b"TOUCHED\r\n"),
        (Outcome.DELETED, b"DELETED\r\n"),
        (Outcome.NOT_FOUND, b"NOT_FOUND\r\n"),
        (Outcome.OK, b"OK\r\n"),
        (Outcome.RESET, b"RESET\r\n"),
        (Outcome.END, b"END\r\n"),
        (Outcome.UNKNOWN, b"ERROR\r\n"),
        (Outcome.ERROR, b"ERROR\r\n"),
    ],
)
def test_an_outcome_is_memcacheds_word_for_it(outcome: Outcome, reply: bytes) -> None:
    assert replies.outcome(outcome) == reply


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_one_line(outcome: Outcome) -> None:
    assert replies.outcome(outcome).splitlines(keepends=True) == [replies.outcome(outcome)]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (replies.end_of_hits(), b"END\r\n"),
        (replies.client_error("no such thing"), b"CLIENT_ERROR no such thing\r\n"),
        (replies.server_error("disk full"), b"SERVER_ERROR disk full\r\n"),
        (replies.disabled("shutdown"), b"ERROR: shutdown not enabled\r\n"),
        (replies.number(0), b"0\r\n"),
        (replies.number(1234), b"1234\r\n"),
        (replies.word("UP"), b"UP\r\n"),
        (replies.version("1.0.0"), b"VERSION 1.0.0\r\n"),
        (replies.stats_part([]), b""),
        (replies.stats_part([(b"pid", b"1"), (b"b", b"2")]), b"STAT pid 1\r\nSTAT b 2\r\n"),
        (replies.end_of_stats(), b"END\r\n"),
        (
            replies.dump_part(b"q", [(b"items", b"1"), (b"age", b"0")]),
            b"queue 'q' {\r\n  items=1\r\n  age=0\r\n}\r\n",
        ),
        (replies.dump_part(b"r", []), b"queue 'r' {\r\n}\r\n"),
        (replies.end_of_dump(), b"END\r\n"),
    ],
)
def test_replies_are_exactly_these_bytes(reply: bytes, expected: bytes) -> None:
    assert reply == expected


def test_an_item_is_its_line_its_data_and_a_line_end() -> None:
    hit = replies.hit(b"q", 3, b"hello", None)
    assert b"".join(hit) == b"VALUE q 3 5\r\nhello\r\n"


def test_an_item_can_have_its_id_as_fifth_field() -> None:
    hit = replies.hit(b"q", 4294967295, b"", 2**64 - 1)
    assert b"".join(hit) == b"VALUE q 4294967295 0 18446744073709551615\r\n\r\n"


def test_an_items_data_is_not_copied() -> None:
    data = bytes(range(256))
    assert any(piece is data for piece in replies.hit(b"q", 0, data, 1))


@given(
    st.binary(min_size=1, max_size=250),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=100),
    st.none() | st.integers(1, 2**64 - 1),
)
def test_an_item_repeats_key_and_data_byte_for_byte(
    key: bytes, flags: int, data: bytes, cas: int | None
) -> None:
    reply = b"".join(replies.hit(key, flags, data, cas))
    numbers = [flags, len(data)] if cas is None else [flags, len(data), cas]
    line = b"VALUE " + key + b"".join(b" %d" % number for number in numbers)
    assert reply == line + b"\r\n" + data + b"\r\n"


@given(any_text)
def test_no_text_breaks_a_line(text: str) -> None:
    for reply in (
        replies.client_error(text),
        replies.server_error(text),
        replies.disabled(text),
        replies.word(text),
        replies.version(text),
    ):
        assert reply.endswith(b"\r\n")
        assert reply.isascii()
        assert not set(reply[:-2]) & set(b"\r\n\v\f")


def test_a_text_of_several_lines_becomes_one() -> None:
    reply = replies.server_error("disk full\r\nSTORED\r\n")
    assert reply == b"SERVER_ERROR disk full STORED\r\n"


def test_a_text_beyond_ascii_is_escaped() -> None:
    assert replies.client_error("caf\u00e9") == b"CLIENT_ERROR caf\\xc3\\xa9\r\n"


values = any_text | st.integers() | st.booleans() | st.none() | st.floats()


@given(st.lists(values, max_size=5))
def test_every_value_of_the_statistics_is_one_token(several: list[object]) -> None:
    lines = replies.stats_part(encoded(("name", value) for value in several)).split(b"\r\n")
    assert lines.pop() == b""
    assert len(lines) == len(several)
    for line in lines:
        stat, name, value = line.split()
        assert line == b"%b %b %b" % (stat, name, value)
        assert (stat, name) == (b"STAT", b"name")


@pytest.mark.parametrize(
    ("value", "token"),
    [("", b"-"), (" \r\n", b"-"), ("a b\r\nEND", b"a_b_END"), (0, b"0"), ("1.5", b"1.5")],
)
def test_values_are_joined_and_never_empty(value: object, token: bytes) -> None:
    assert encoded([("name", value)]) == [(b"name", token)]
