"""The binary protocol, writing: the bytes of every reply."""

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.protocol.binary import BinaryDialect
from starling_py.protocol.binary_replies import BinaryReplies
from starling_py.protocol.dialect import Dialect
from starling_py.protocol.writer import Outcome, Writer
from tests.protocol import packets as p
from tests.protocol.packets import Packet, hit, miss, unpack

OPAQUE = 0xFEEDF00D


def writer(opcode: int, *, quiet: bool = False, names_key: bool = False) -> BinaryReplies:
    return BinaryReplies(opcode, OPAQUE, b"q", quiet, names_key)


def packet(reply: bytes) -> Packet:
    (only,) = unpack(reply)
    assert only.opaque == OPAQUE
    return attrs.evolve(only, opaque=0)


SUCCESSES = (
    *(Outcome.STORED, Outcome.TOUCHED, Outcome.DELETED, Outcome.OK, Outcome.RESET, Outcome.END),
)


def test_a_dialect_of_this_kind_is_one() -> None:
    dialect: Dialect = BinaryDialect(1)
    replies: Writer = writer(p.SET)
    assert not dialect.detailed
    assert replies.tells_id


@pytest.mark.parametrize("outcome", SUCCESSES)
def test_a_success_is_an_empty_packet_and_a_quiet_one_is_silent(outcome: Outcome) -> None:
    assert packet(writer(p.DELETE).outcome(outcome)) == Packet(p.DELETE)
    assert writer(p.DELETEQ, quiet=True).outcome(outcome) == b""


@pytest.mark.parametrize(
    ("opcode", "outcome", "status", "text"),
    [
        (p.SET, Outcome.NOT_STORED, p.NOT_STORED, b"Not stored."),
        (p.APPENDQ, Outcome.NOT_STORED, p.NOT_STORED, b"Not stored."),
        (p.ADD, Outcome.NOT_STORED, p.EXISTS, b"Data exists for key."),
        (p.ADDQ, Outcome.NOT_STORED, p.EXISTS, b"Data exists for key."),
        (p.REPLACE, Outcome.NOT_STORED, p.NOT_FOUND, b"Not found"),
        (p.REPLACEQ, Outcome.NOT_STORED, p.NOT_FOUND, b"Not found"),
        (p.SET, Outcome.EXISTS, p.EXISTS, b"Data exists for key."),
        (p.SET, Outcome.NOT_FOUND, p.NOT_FOUND, b"Not found"),
        (p.STAT, Outcome.UNKNOWN, p.NOT_FOUND, b"Not found"),
        (p.STAT, Outcome.ERROR, p.NOT_FOUND, b"Not found"),
    ],
)
def test_a_failure_is_told_in_memcacheds_words_also_of_a_quiet_request(
    opcode: int, outcome: Outcome, status: int, text: bytes
) -> None:
    for quiet in (False, True):
        told = packet(writer(opcode, quiet=quiet).outcome(outcome))
        assert told == Packet(opcode, status, value=text)


def test_every_outcome_is_told() -> None:
    assert all(packet(writer(p.NOOP).outcome(outcome)) for outcome in Outcome)


def test_a_store_tells_the_items_id() -> None:
    replies = writer(p.SET)
    replies.stored_as(2**64 - 1)
    assert packet(replies.outcome(Outcome.STORED)) == Packet(p.SET, cas=2**64 - 1)


@given(st.binary(max_size=30), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_a_hit_has_flags_data_and_id(data: bytes, flags: int, item_id: int) -> None:
    for opcode, key in ((p.GET, b""), (p.GETQ, b""), (p.GETK, b"q"), (p.GETKQ, b"q")):
        replies = writer(opcode, quiet=opcode in (p.GETQ, p.GETKQ), names_key=bool(key))
        pieces = replies.hit(b"q", flags, data, item_id)
        assert pieces[-1] is data
        assert packet(b"".join(pieces)) == hit(data, item_id, flags, opcode, key)
        assert replies.end_of_hits() == b""


def test_a_hit_in_detail_is_a_hit() -> None:
    @attrs.frozen
    class Item:
        id: int = 7
        flags: int = 5
        data: bytes = b"data"
        added_ms: int = 1
        expiry_ms: int = 2

    told = b"".join(writer(p.GET).hit_in_detail(b"q", Item(), 3, 4, b"-"))
    assert packet(told) == hit(b"data", 7, 5)


def test_a_miss_is_told_unless_it_is_quiet() -> None:
    assert packet(writer(p.GET).end_of_hits()) == miss()
    assert writer(p.GETQ, quiet=True).end_of_hits() == b""
    told = packet(writer(p.GETK, names_key=True).end_of_hits())
    assert told == Packet(p.GETK, p.NOT_FOUND, key=b"q")
    assert writer(p.GETKQ, quiet=True, names_key=True).end_of_hits() == b""


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (writer(p.GET).client_error("no\u00e9"), Packet(p.GET, p.INVALID, value=b"no\\xc3\\xa9")),
        (writer(p.GET).server_error("disk"), Packet(p.GET, p.TEMPORARY, value=b"disk")),
        (writer(p.GET).disabled("it"), Packet(p.GET, 0x83, value=b"it not enabled")),
        (writer(p.GET).number(258), Packet(p.GET, value=b"\0\0\0\0\0\0\1\2")),
        (writer(p.GET).word("UP"), Packet(p.GET, value=b"UP")),
        (writer(p.VERSION).version("1.0.0"), Packet(p.VERSION, value=b"1.0.0")),
    ],
)
def test_other_replies(reply: bytes, told: Packet) -> None:
    assert packet(reply) == told


@pytest.mark.parametrize("pairs", [[], [(b"pid", b"1")], [(b"a", b"1"), (b"b", b"2")]])
def test_statistics_are_a_packet_each_and_an_empty_one(
    pairs: Sequence[tuple[bytes, bytes]],
) -> None:
    expected = [Packet(p.STAT, key=name, value=value, opaque=OPAQUE) for name, value in pairs]
    expected.append(Packet(p.STAT, opaque=OPAQUE))
    replies = writer(p.STAT)
    assert unpack(replies.stats_part(pairs) + replies.end_of_stats()) == expected
    assert unpack(replies.dump_part(b"q", pairs) + replies.end_of_dump()) == expected
