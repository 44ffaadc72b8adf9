"""Checkpoints: a ledger that is written down is read back, and other bytes are none."""

from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal import checkpoint
from starling_py.journal.format.segment import Segment
from starling_py.journal.id_ranges import IdRanges
from starling_py.journal.ledger import Facts, Ledger
from tests.journal.parts import ledger_facts

UNSIGNED = st.integers(0, 2**64 - 1)

segments = st.builds(
    Segment,
    number=UNSIGNED,
    path=st.just(""),
    first_id=UNSIGNED,
    size=UNSIGNED,
    items=UNSIGNED,
    bytes=UNSIGNED,
    compacted=st.booleans(),
)


@st.composite
def id_ranges(draw: st.DrawFn) -> IdRanges:
    """Return a set of ids."""
    ids = IdRanges()
    for start, length in draw(
        st.lists(st.tuples(st.integers(0, 2**63), st.integers(1, 1000)), max_size=10)
    ):
        ids.add(start, start + length)
    return ids


facts = st.builds(Facts, st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1), st.booleans())
ledgers = st.builds(
    Ledger,
    segments=st.lists(segments, max_size=6),
    head=UNSIGNED,
    removed_ids=id_ranges(),
    next_id=UNSIGNED,
    items=UNSIGNED,
    bytes=UNSIGNED,
    deleted=st.booleans(),
    facts=st.dictionaries(UNSIGNED, facts, max_size=6),
    first_id=UNSIGNED,
)


@given(ledger=ledgers, end=UNSIGNED)
def test_a_ledger_is_read_back_as_it_was_without_its_empty_segments(
    ledger: Ledger, end: int
) -> None:
    read = checkpoint.decode(memoryview(checkpoint.encode(ledger, end)))
    assert read is not None
    assert read.previous_end == end
    assert ledger_facts(read.ledger) == ledger_facts(ledger)
    expected = [each for each in ledger.segments if each.items]
    assert [asdict(each) for each in read.ledger.segments] == [asdict(each) for each in expected]
    assert not read.ledger.has_dead


@given(ledger=ledgers, behind=st.binary(min_size=1, max_size=30))
def test_a_payload_of_another_length_is_no_checkpoint(ledger: Ledger, behind: bytes) -> None:
    data = checkpoint.encode(ledger, 0)
    for size in range(len(data)):
        assert checkpoint.decode(memoryview(data[:size])) is None
    assert checkpoint.decode(memoryview(data + behind), 4) is None
    if len(behind) != 8:  # else it tells of a pause
        assert checkpoint.decode(memoryview(data + behind)) is None


@given(ledger=ledgers, end=UNSIGNED)
def test_what_version_3_wrote_is_read_back_as_of_a_queue_that_began_with_1(
    ledger: Ledger, end: int
) -> None:
    data = checkpoint.encode(ledger, end)[:-8]
    ledger.first_id = 1
    read = checkpoint.decode(memoryview(data), 3)
    assert read is not None
    assert ledger_facts(read.ledger) == ledger_facts(ledger)
    assert checkpoint.decode(memoryview(data + bytes(8)), 3) is None
    assert checkpoint.decode(memoryview(data), 4) is None


@given(ledger=ledgers, end=UNSIGNED)
def test_what_version_2_wrote_is_read_back_without_facts(ledger: Ledger, end: int) -> None:
    ledger.facts, ledger.first_id = {}, 1
    data = checkpoint.encode(ledger, end)[:-8]
    assert data.endswith(bytes(4)), "no facts"
    read = checkpoint.decode(memoryview(data[:-4]), 2)
    assert read is not None
    assert ledger_facts(read.ledger) == ledger_facts(ledger)
    assert checkpoint.decode(memoryview(data), 2) is None
    assert checkpoint.decode(memoryview(data[:-4]), 3) is None


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_as_a_checkpoint_without_an_error(data: bytes) -> None:
    checkpoint.decode(memoryview(data))


def test_the_layout_of_checkpoints_is_the_one_that_is_documented() -> None:
    ledger = Ledger(
        [Segment(3, "/x", 5, 700, 2, 60, compacted=True), Segment(4, "/y", 9, 100)],
        head=5,
        removed_ids=IdRanges([(6, 8)]),
        next_id=9,
        items=2,
        bytes=60,
        deleted=False,
        facts={8: Facts(3, -1, front=True)},
        first_id=2,
    )
    data = checkpoint.encode(ledger, 123)
    numbers = [int.from_bytes(data[at : at + 8], "little") for at in range(0, 40, 8)]
    assert numbers == [123, 5, 9, 2, 60]
    assert data[40] == 0
    assert int.from_bytes(data[41:45], "little") == 1
    assert int.from_bytes(data[45:49], "little") == 1
    table = [int.from_bytes(data[at : at + 8], "little") for at in range(49, 89, 8)]
    assert table == [3, 5, 700, 2, 60]
    assert data[89] == 1
    assert [int.from_bytes(data[at : at + 8], "little") for at in (90, 98)] == [6, 8]
    assert data[106:110] == (1).to_bytes(4, "little")
    assert data[110:118] == (8).to_bytes(8, "little")
    assert data[118:126] == b"\xff" * 8
    assert data[126:131] == (3).to_bytes(4, "little") + b"\x01"
    assert data[131:] == (2).to_bytes(8, "little")


def test_a_checkpoint_grows_with_the_gaps_and_not_with_the_items() -> None:
    few = Ledger([Segment(1, "", 1, 100, 1, 1)], next_id=10, items=1)
    many = Ledger(
        [Segment(1, "", 1, 10**9, 10**6, 10**8)],
        removed_ids=IdRanges([(5, 10**6)]),
        next_id=2 * 10**6,
        items=10**6,
        bytes=10**8,
    )
    assert len(checkpoint.encode(many, 0)) == len(checkpoint.encode(few, 0)) + 16
