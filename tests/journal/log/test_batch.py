"""The log's bytes: what was encoded is read back, and nothing else is taken for it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.log import batch
from starling_py.journal.log.batch import Written

GOLDEN = Path(__file__).parent / "golden"
SALT = 0x5EED5EED
PATH = "/spool/.log.1"
WORDS = st.integers(0, (1 << 32) - 1)
LONGS = st.integers(0, (1 << 64) - 1)
WRITES = st.builds(
    lambda directory, salt, number, offset, pieces: Written(
        directory, salt, number, offset, tuple(pieces), sum(map(len, pieces))
    ),
    st.text("abz09_-.%=", min_size=1, max_size=200),
    WORDS,
    LONGS,
    LONGS,
    st.lists(st.binary(max_size=40), max_size=3),
)
BATCHES = st.lists(st.lists(WRITES, min_size=1, max_size=4), max_size=4)


def file_of(batches: list[list[Written]], first: int = 7, salt: int = SALT) -> bytes:
    """Return a file of the log with these batches, the first of which has this number."""
    told = (batch.encode(first + index, salt, each) for index, each in enumerate(batches))
    return batch.header(salt) + b"".join(told)


def told_in(data: bytes, salt: int = SALT) -> list[list[tuple[str, int, int, int, bytes]]]:
    """Return what the batches of a file tell."""
    return [
        [plain(each) for each in batch.decode(PATH, data, begin, end)]
        for _, begin, end in batch.walk(data, salt)
    ]


def plain(each: Written) -> tuple[str, int, int, int, bytes]:
    """Return what an operation says."""
    return each.directory, each.salt, each.number, each.offset, b"".join(each.pieces)


@given(BATCHES)
def test_what_was_told_to_the_log_is_read_back(batches: list[list[Written]]) -> None:
    data = file_of(batches)
    assert batch.read_header(PATH, data) == SALT
    assert told_in(data + bytes(50)) == [[plain(each) for each in some] for some in batches]
    sizes = [batch.size_of(each) for each in batches]
    assert len(data) == batch.HEADER_SIZE + sum(sizes)


@given(BATCHES.filter(bool), st.data())
def test_a_cut_at_any_byte_leaves_the_batches_before_it(
    batches: list[list[Written]], data: st.DataObject
) -> None:
    whole = file_of(batches)
    cut = data.draw(st.integers(batch.HEADER_SIZE, len(whole)))
    ends = [end for _, _, end in batch.walk(whole, SALT)]
    kept = sum(end <= cut for end in ends)
    for left in (whole[:cut], whole[:cut].ljust(len(whole), b"\0")):
        # Zeros may be what stood there.
        assert len(told_in(left)) >= kept
        assert told_in(left) == told_in(whole)[: len(told_in(left))]


@given(BATCHES.filter(bool), st.data())
def test_no_batch_with_a_wrong_bit_is_taken(
    batches: list[list[Written]], data: st.DataObject
) -> None:
    whole = file_of(batches)
    bit = data.draw(st.integers(8 * batch.HEADER_SIZE, 8 * len(whole) - 1))
    wrong = bytearray(whole)
    wrong[bit // 8] ^= 1 << bit % 8
    before = sum(end <= bit // 8 for _, _, end in batch.walk(whole, SALT))
    assert told_in(bytes(wrong)) == told_in(whole)[:before]


@given(BATCHES.filter(bool), BATCHES.filter(bool))
def test_what_an_earlier_use_of_the_file_left_is_not_taken(
    earlier: list[list[Written]], later: list[list[Written]]
) -> None:
    left, new = file_of(earlier, first=1), file_of(later, first=100)
    assert told_in(new + left[len(new) :]) == told_in(new)
    assert told_in(new, salt=SALT + 1) == []


@given(BATCHES.filter(lambda batches: len(batches) > 1))
def test_a_sound_batch_behind_damage_is_found(batches: list[list[Written]]) -> None:
    whole = file_of(batches)
    (_, begin, _), (_, second, _), *_ = batch.walk(whole, SALT)
    wrong = bytearray(whole)
    wrong[begin] ^= 1
    assert batch.later_than(bytes(wrong), SALT, 0) == second
    assert batch.later_than(whole, SALT, 6 + len(batches)) is None


def test_a_header_that_is_not_sound_is_damage_if_anything_follows() -> None:
    data = file_of([[Written("jobs", 1, 1, 60, (b"x",), 1)]])
    for spoiled in (b"?" + data[1:], data[:12] + b"?" + data[13:]):
        with pytest.raises(JournalDamagedError, match="the header of the log is not sound"):
            batch.read_header(PATH, spoiled)
    for torn in (b"", bytes(100), batch.header(SALT)[:15]):
        assert batch.read_header(PATH, torn) is None


def test_a_newer_log_and_unknown_operations_are_refused() -> None:
    data = file_of([[Written("jobs", 1, 1, 60, (b"x",), 1)]])
    with pytest.raises(JournalDamagedError, match="version 2 of the log is newer"):
        batch.read_header(PATH, data[:8] + b"\2" + data[9:])
    begin = batch.HEADER_SIZE
    other = data[: begin + batch.BATCH_SIZE] + b"\2" + data[begin + batch.BATCH_SIZE + 1 :]
    with pytest.raises(JournalDamagedError, match="no operation that this server knows"):
        list(batch.decode(PATH, other, begin, len(other)))


def test_the_log_of_version_1_stays_as_it_is() -> None:
    batches = [
        [
            Written("jobs", 0xC0FFEE, 3, 18211, (b"one ", b"two"), 7),
            Written("%4aobs", 17, 1, 60, (b"\0\xff",), 2),
        ],
        [Written("jobs", 0xC0FFEE, 3, 18218, (b"three",), 5)],
    ]
    assert (GOLDEN / "v1.log").read_bytes() == file_of(batches)
