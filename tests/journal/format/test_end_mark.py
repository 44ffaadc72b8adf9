"""End marks: what they tell, and that nothing else passes for one."""

from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal.format import end_mark, record

SALTS = st.integers(0, 2**32 - 1)
NUMBERS = st.integers(1, 2**63)


@given(NUMBERS, SALTS)
def test_a_mark_tells_which_segment_is_in_force(following: int, salt: int) -> None:
    mark = end_mark.encode(following, salt)
    assert len(mark) == end_mark.SIZE
    assert end_mark.decode(mark, salt) == following
    assert end_mark.decode(memoryview(mark), salt) == following


@given(NUMBERS, SALTS, SALTS)
def test_a_mark_of_another_journal_is_none(following: int, salt: int, other: int) -> None:
    found = end_mark.decode(end_mark.encode(following, salt), other)
    assert found == (following if salt == other else None)


@given(st.binary(max_size=40), SALTS)
def test_other_bytes_are_no_mark(data: bytes, salt: int) -> None:
    assert end_mark.decode(data, salt) is None


@given(NUMBERS, SALTS)
def test_reading_records_ends_in_front_of_a_mark(following: int, salt: int) -> None:
    one = record.bare(record.DELETE, 1, salt)
    data = memoryview(one + end_mark.encode(following, salt))
    assert [found[3] for found in record.walk(data, 0, salt)] == [len(one)]
