"""Records: what is written is read back, and nothing else is ever taken for a record."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal import record
from starling_py.journal.record import Item, Record

BARE_TYPES = (record.REMOVE, record.FLUSH, record.DELETE, record.RECLAIM)
SIGNED = st.integers(-(2**63), 2**63 - 1)
UNSIGNED = st.integers(0, 2**64 - 1)

items = st.builds(
    Item,
    id=UNSIGNED,
    added_ms=SIGNED,
    expiry_ms=SIGNED,
    flags=st.integers(0, 2**32 - 1),
    data=st.binary(max_size=200),
)
anything = st.one_of(
    items.map(lambda item: b"".join(record.push(item))),
    st.builds(record.bare, st.sampled_from(BARE_TYPES), UNSIGNED),
)

PUSHED = b"".join(record.push(Item(7, 1_700_000_000_123, 0, 0xDEADBEEF, b"hello\r\n\0")))
REMOVED = record.bare(record.REMOVE, 7)


def read_all(data: bytes) -> tuple[list[Record], int]:
    """Return the sound records at the start of some bytes, and where they end."""
    *records, end = record.scan(memoryview(data), 0)
    assert isinstance(end, int)
    return [each for each in records if isinstance(each, Record)], end


def bit_flips(data: bytes) -> list[bytes]:
    """Return the data once for each of its bits, with that bit wrong."""
    flipped = []
    for bit in range(len(data) * 8):
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        flipped.append(bytes(wrong))
    return flipped


@given(item=items, before=st.binary(max_size=40), behind=st.binary(max_size=40))
def test_a_put_is_read_back_as_it_was_wherever_it_stands(
    item: Item, before: bytes, behind: bytes
) -> None:
    data = b"".join(record.push(item))
    found = record.read(memoryview(before + data + behind), len(before))
    assert found == (Record(record.PUSH, item.id, item, len(before)), len(before) + len(data))


@given(record_type=st.sampled_from(BARE_TYPES), record_id=UNSIGNED)
def test_every_other_record_is_read_back_as_it_was(record_type: int, record_id: int) -> None:
    data = record.bare(record_type, record_id)
    assert record.read(memoryview(data), 0) == (Record(record_type, record_id, None, 0), len(data))


@given(st.lists(anything, max_size=8))
def test_records_in_a_row_are_read_back_in_that_order(datas: list[bytes]) -> None:
    records, end = read_all(b"".join(datas))
    assert end == sum(map(len, datas))
    assert [each.offset for each in records] == [
        sum(map(len, datas[:index])) for index in range(len(datas))
    ]


def test_the_layout_is_the_one_that_is_documented() -> None:
    assert record.HEADER_SIZE == 17
    assert record.PUSH_HEADER_SIZE == 37
    assert REMOVED[4:] == (9).to_bytes(4, "little") + b"\x02" + (7).to_bytes(8, "little")
    assert PUSHED[4:17] == (29 + 8).to_bytes(4, "little") + b"\x01" + (7).to_bytes(8, "little")
    assert PUSHED[17:25] == (1_700_000_000_123).to_bytes(8, "little")
    assert PUSHED[25:33] == bytes(8)
    assert PUSHED[33:37] == (0xDEADBEEF).to_bytes(4, "little")
    assert PUSHED[37:] == b"hello\r\n\0"


@pytest.mark.parametrize("data", [PUSHED, REMOVED], ids=["put", "removal"])
def test_every_single_wrong_bit_of_a_record_is_noticed(data: bytes) -> None:
    for wrong in bit_flips(data):
        assert record.read(memoryview(wrong), 0) is None
        assert record.read(memoryview(wrong + bytes(1000)), 0) is None
        assert record.read(memoryview(wrong + data * 20), 0) is None


@given(data=anything, where=st.floats(0, 1, exclude_max=True))
def test_a_record_that_is_cut_short_is_no_record(data: bytes, where: float) -> None:
    cut = data[: int(len(data) * where)]
    assert record.read(memoryview(cut), 0) is None
    assert read_all(data + cut)[1] == len(data)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_read_without_an_error(data: bytes) -> None:
    records, end = read_all(data)
    assert end <= len(data)
    assert (record.find_sound_record(memoryview(data), 0) == 0) == bool(records)


@given(st.binary(min_size=17, max_size=300))
def test_bytes_are_a_record_only_when_the_checksum_in_front_is_theirs(data: bytes) -> None:
    found = record.read(memoryview(data), 0)
    if found is not None:
        assert zlib.crc32(data[4 : found[1]]) == int.from_bytes(data[:4], "little")


@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"\x01", b"\x02"])
def test_a_stretch_of_equal_bytes_holds_no_record(filling: bytes) -> None:
    assert record.find_sound_record(memoryview(filling * 4096), 0) is None


@pytest.mark.parametrize("record_type", [0, 6, 255])
def test_a_type_that_does_not_exist_is_no_record_even_with_the_right_checksum(
    record_type: int,
) -> None:
    assert record.read(memoryview(record.bare(record_type, 1)), 0) is None


@pytest.mark.parametrize(
    ("record_type", "length"),
    [(record.REMOVE, 8), (record.REMOVE, 10), (record.REMOVE, 0), (record.PUSH, 28)],
)
def test_a_length_that_does_not_fit_the_type_is_no_record_even_with_the_right_checksum(
    record_type: int, length: int
) -> None:
    body = length.to_bytes(4, "little") + bytes([record_type]) + bytes(60)
    checksum = zlib.crc32(body[: 4 + length]).to_bytes(4, "little")
    assert record.read(memoryview(checksum + body), 0) is None


@given(before=st.binary(max_size=50), data=anything, behind=st.binary(max_size=50))
def test_a_sound_record_is_found_among_other_bytes(
    before: bytes, data: bytes, behind: bytes
) -> None:
    found = record.find_sound_record(memoryview(before + data + behind), 0)
    assert found is not None
    assert found <= len(before)
