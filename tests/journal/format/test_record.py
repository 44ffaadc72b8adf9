"""Records: what is written is read back, and nothing else is ever taken for a record."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal.format import record, search
from starling_py.journal.format.origin import Origin
from starling_py.journal.format.record import Found, Item, MarkedItem

BARE_TYPES = (record.FLUSH, record.DELETE, record.RECLAIM, record.REMOVE, record.OPEN)
"""Among them the removals of version 1, which tell no size."""
SIGNED = st.integers(-(2**63), 2**63 - 1)
UNSIGNED = st.integers(0, 2**64 - 1)
SIZES = st.integers(0, 2**32 - 1)
SALTS = st.integers(0, 2**32 - 1)

items = st.builds(
    Item,
    id=UNSIGNED,
    added_ms=SIGNED,
    expiry_ms=SIGNED,
    flags=st.integers(0, 2**32 - 1),
    data=st.binary(max_size=200),
)
marked_items = st.builds(
    MarkedItem,
    id=UNSIGNED,
    added_ms=SIGNED,
    expiry_ms=SIGNED,
    flags=st.integers(0, 2**32 - 1),
    data=st.binary(max_size=200),
    due_ms=SIGNED,
    deliveries=SIZES,
    front=st.booleans(),
)
kept = st.lists(st.tuples(UNSIGNED, SIZES), max_size=8)
anything = st.one_of(
    marked_items.map(lambda item: b"".join(record.push_marked(item))),
    st.builds(record.delay, UNSIGNED, SIGNED),
    st.builds(record.flush, UNSIGNED, kept),
    items.map(lambda item: b"".join(record.push(item))),
    st.builds(record.bare, st.sampled_from(BARE_TYPES), UNSIGNED),
    st.builds(record.remove, UNSIGNED, SIZES),
    st.builds(record.discard, UNSIGNED, UNSIGNED, UNSIGNED, UNSIGNED),
    st.builds(
        lambda number, payload: record.bare(record.CHECKPOINT, number, 0, payload),
        UNSIGNED,
        st.binary(max_size=100),
    ),
)

PUSHED = b"".join(record.push(Item(7, 1_700_000_000_123, 0, 0xDEADBEEF, b"hello\r\n\0")))
REMOVED = record.remove(7, 8)
DISCARDED = record.discard(7, 12, 3, 500)
OPENED = record.bare(record.OPEN, 7)
DELAYED = record.delay(7, 1_700_000_000_123)
FLUSHED = record.flush(9, [(3, 70), (7, 8)])
MARKED = b"".join(record.push_marked(MarkedItem(7, -1, 5, 6, b"hello", 1_700_000_000_123, 9, True)))
CHECKPOINT = record.bare(record.CHECKPOINT, 7, 0, b"where the journal stood")


def check_first(data: bytes, offset: int = 0, salt: int = 0) -> Found | None:
    """Return the sound record at an offset, if there is one; both ways of reading agree on it."""
    found = next(record.walk(memoryview(data), offset, salt), None)
    item = record.push_at(data, offset, salt)
    if found is not None and found[0] == record.PUSH:
        assert item == record.item_at(memoryview(data), *found[2:])
    else:
        assert item is None
    return found


def read_all(data: bytes) -> tuple[list[Found], int]:
    """Return the sound records at the start of some bytes, and where they end."""
    records = list(record.walk(memoryview(data), 0))
    for start in (0, *(each[3] for each in records)):
        check_first(data, start)
    return records, records[-1][3] if records else 0


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
    whole = before + data + behind
    found = check_first(whole, len(before))
    assert found == (record.PUSH, item.id, len(before), len(before) + len(data))
    assert record.item_at(memoryview(whole), *found[2:]) == item


@given(item=marked_items, before=st.binary(max_size=40), behind=st.binary(max_size=40))
def test_a_put_of_a_marked_item_is_read_back_as_it_was_wherever_it_stands(
    item: MarkedItem, before: bytes, behind: bytes
) -> None:
    data = b"".join(record.push_marked(item))
    whole = before + data + behind
    found = check_first(whole, len(before))
    assert found == (record.PUSH_MARKED, item.id, len(before), len(before) + len(data))
    kind, _, start, end = found
    assert record.marked_item_at(memoryview(whole), start, end) == item
    assert record.any_item_at(kind, memoryview(whole), start, end) == item
    assert record.data_size(kind, memoryview(whole), start, end) == len(item.data)


@given(item_id=UNSIGNED, due_ms=SIGNED, before=st.binary(max_size=40))
def test_a_delay_tells_until_when(item_id: int, due_ms: int, before: bytes) -> None:
    data = before + record.delay(item_id, due_ms)
    assert check_first(data, len(before)) == (record.DELAY, item_id, len(before), len(data))
    assert record.due(memoryview(data), len(before)) == due_ms
    assert len(data) - len(before) == record.DELAY_SIZE


@given(last_id=UNSIGNED, kept=kept, before=st.binary(max_size=40))
def test_a_flush_tells_what_it_leaves(
    last_id: int, kept: list[tuple[int, int]], before: bytes
) -> None:
    data = before + record.flush(last_id, kept)
    found = check_first(data, len(before))
    assert found == (record.FLUSH, last_id, len(before), len(data))
    assert record.kept_items(memoryview(data), *found[2:]) == kept
    assert len(data) - len(before) == record.flush_size(len(kept))


def test_a_flush_that_leaves_nothing_is_as_it_was_in_version_2() -> None:
    assert record.flush(7, ()) == record.bare(record.FLUSH, 7)


@given(record_type=st.sampled_from(BARE_TYPES), record_id=UNSIGNED)
def test_every_other_record_is_read_back_as_it_was(record_type: int, record_id: int) -> None:
    data = record.bare(record_type, record_id)
    assert check_first(data) == (record_type, record_id, 0, len(data))


@given(item_id=UNSIGNED, size=SIZES, before=st.binary(max_size=40))
def test_a_removal_tells_the_size_of_what_is_removed(
    item_id: int, size: int, before: bytes
) -> None:
    data = before + record.remove(item_id, size)
    found = check_first(data, len(before))
    assert found == (record.REMOVE, item_id, len(before), len(data))
    assert record.removed_size(memoryview(data), *found[2:]) == size
    assert len(data) - len(before) == record.REMOVE_SIZE


def test_a_removal_of_version_1_is_read_and_tells_no_size() -> None:
    data = record.bare(record.REMOVE, 7)
    found = check_first(data)
    assert found == (record.REMOVE, 7, 0, 17)
    assert record.removed_size(memoryview(data), 0, 17) is None


@given(
    first_id=UNSIGNED, last_id=UNSIGNED, count=UNSIGNED, size=UNSIGNED, before=st.binary(max_size=9)
)
def test_what_is_given_up_is_read_back_as_it_was(
    first_id: int, last_id: int, count: int, size: int, before: bytes
) -> None:
    data = before + record.discard(first_id, last_id, count, size)
    found = check_first(data, len(before))
    assert found == (record.DISCARD, first_id, len(before), len(data))
    assert record.discarded(memoryview(data), len(before)) == (last_id, count, size)


@given(data=st.binary(max_size=40), salt=SALTS, other=SALTS)
def test_a_record_under_another_salt_is_no_record(data: bytes, salt: int, other: int) -> None:
    pushed = b"".join(record.push(Item(1, 2, 3, 4, data), salt))
    removed = record.remove(1, len(data), salt)
    given_up = record.discard(1, 2, 3, 4, salt)
    marked = b"".join(record.push_marked(MarkedItem(1, 2, 3, 4, data, 5, 6, True), salt))
    flushed = record.flush(9, [(1, 2)], salt)
    opened, delayed = record.bare(record.OPEN, 1, salt), record.delay(1, 2, salt)
    for each in (marked, flushed, opened, delayed):
        assert (check_first(each, 0, other) is not None) == (other == salt)
    for each in (pushed, removed, given_up, record.bare(record.CHECKPOINT, 1, salt, data)):
        assert (check_first(each, 0, other) is not None) == (other == salt)


@given(st.lists(anything, max_size=8))
def test_records_in_a_row_are_read_back_in_that_order(datas: list[bytes]) -> None:
    records, end = read_all(b"".join(datas))
    assert end == sum(map(len, datas))
    assert [each[2] for each in records] == [
        sum(map(len, datas[:index])) for index in range(len(datas))
    ]


def test_the_layout_of_records_is_the_one_that_is_documented() -> None:
    assert record.HEADER_SIZE == 17
    assert record.PUSH_HEADER_SIZE == 37
    assert record.REMOVE_SIZE == 21
    assert REMOVED[4:] == (13).to_bytes(4, "little") + b"\x02" + (7).to_bytes(8, "little") + (
        8
    ).to_bytes(4, "little")
    assert DISCARDED[4:17] == (33).to_bytes(4, "little") + b"\x07" + (7).to_bytes(8, "little")
    assert DISCARDED[17:] == b"".join(n.to_bytes(8, "little") for n in (12, 3, 500))
    assert CHECKPOINT[4:17] == (9 + 23).to_bytes(4, "little") + b"\x06" + (7).to_bytes(8, "little")
    assert PUSHED[4:17] == (29 + 8).to_bytes(4, "little") + b"\x01" + (7).to_bytes(8, "little")
    assert PUSHED[17:25] == (1_700_000_000_123).to_bytes(8, "little")
    assert PUSHED[25:33] == bytes(8)
    assert PUSHED[33:37] == (0xDEADBEEF).to_bytes(4, "little")
    assert PUSHED[37:] == b"hello\r\n\0"
    assert OPENED[4:] == (9).to_bytes(4, "little") + b"\x08" + (7).to_bytes(8, "little")
    assert DELAYED[4:17] == (17).to_bytes(4, "little") + b"\x09" + (7).to_bytes(8, "little")
    assert DELAYED[17:] == (1_700_000_000_123).to_bytes(8, "little")
    assert FLUSHED[4:17] == (33).to_bytes(4, "little") + b"\x03" + (9).to_bytes(8, "little")
    assert FLUSHED[17:] == b"".join(
        number.to_bytes(8, "little") + size.to_bytes(4, "little")
        for number, size in ((3, 70), (7, 8))
    )
    assert MARKED[4:17] == (42 + 5).to_bytes(4, "little") + b"\x0a" + (7).to_bytes(8, "little")
    assert MARKED[17:37] == b"\xff" * 8 + (5).to_bytes(8, "little") + (6).to_bytes(4, "little")
    assert MARKED[37:50] == DELAYED[17:] + (9).to_bytes(4, "little") + b"\x01"
    assert MARKED[50:] == b"hello"


@pytest.mark.parametrize(
    "data",
    [PUSHED, REMOVED, DISCARDED, CHECKPOINT, OPENED, DELAYED, FLUSHED, MARKED],
    ids=["put", "removal", "given up", "checkpoint", "opened", "delayed", "flush", "marked"],
)
def test_every_single_wrong_bit_of_a_record_is_noticed(data: bytes) -> None:
    for wrong in bit_flips(data):
        assert check_first(wrong) is None
        assert check_first(wrong + bytes(1000)) is None
        assert check_first(wrong + data * 20) is None


@given(data=anything, where=st.floats(0, 1, exclude_max=True))
def test_a_record_that_is_cut_short_is_no_record(data: bytes, where: float) -> None:
    cut = data[: int(len(data) * where)]
    assert check_first(cut) is None
    assert read_all(data + cut)[1] == len(data)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_read_as_records_without_an_error(data: bytes) -> None:
    records, end = read_all(data)
    assert end <= len(data)
    assert (search.find_sound_record(memoryview(data), 0) == 0) == bool(records)


@given(st.binary(min_size=17, max_size=300))
def test_bytes_are_a_record_only_when_the_checksum_in_front_is_theirs(data: bytes) -> None:
    found = check_first(data)
    if found is not None:
        assert zlib.crc32(data[4 : found[3]]) == int.from_bytes(data[:4], "little")


@pytest.mark.parametrize("record_type", [0, 11, 255])
def test_an_unknown_type_is_no_record_even_with_the_right_checksum(
    record_type: int,
) -> None:
    assert check_first(record.bare(record_type, 1)) is None


@pytest.mark.parametrize(
    ("record_type", "length"),
    [
        (record.REMOVE, 8),
        (record.REMOVE, 10),
        (record.REMOVE, 0),
        (record.REMOVE, 17),
        (record.FLUSH, 13),
        (record.DELETE, 13),
        (record.PUSH, 28),
        (record.CHECKPOINT, 8),
        (record.DISCARD, 9),
        (record.DISCARD, 32),
        (record.DISCARD, 34),
        (record.OPEN, 8),
        (record.OPEN, 10),
        (record.OPEN, 17),
        (record.DELAY, 9),
        (record.DELAY, 16),
        (record.DELAY, 18),
        (record.FLUSH, 8),
        (record.FLUSH, 20),
        (record.FLUSH, 22),
        (record.PUSH_MARKED, 29),
        (record.PUSH_MARKED, 41),
    ],
)
def test_a_wrong_length_for_the_type_is_no_record_whatever_the_checksum(
    record_type: int, length: int
) -> None:
    body = length.to_bytes(4, "little") + bytes([record_type]) + bytes(60)
    checksum = zlib.crc32(body[: 4 + length]).to_bytes(4, "little")
    assert check_first(checksum + body) is None


@given(data=anything, behind=st.binary(max_size=50))
def test_a_beginning_of_a_record_tells_how_many_bytes_the_whole_one_has(
    data: bytes, behind: bytes
) -> None:
    for size in range(len(data)):
        needed = record.needed(memoryview(data[:size]), 0)
        assert needed == (len(data) if size >= record.HEADER_SIZE else record.HEADER_SIZE)
    assert record.needed(memoryview(data + behind), 0) == len(data)


def test_what_can_be_no_record_needs_nothing() -> None:
    assert record.needed(memoryview(bytes(100)), 0) == 0
    assert record.needed(memoryview(b"\xff" * 100), 3) == 0


NAMES = st.binary(max_size=250)
TIMES = st.integers(-(2**63), 2**63 - 1)
ORIGINS = st.builds(Origin, NAMES, TIMES, NAMES, TIMES, st.integers(0, 255))


@given(
    origin=ORIGINS, data=st.binary(max_size=40), front=st.booleans(), salt=st.integers(0, 2**32 - 1)
)
def test_a_moved_item_is_read_back_with_where_it_came_from(
    origin: Origin, data: bytes, front: bool, salt: int
) -> None:
    item = MarkedItem(7, 1, 2, 3, data, 4, 5, front, origin)
    whole = b"".join(record.push_marked(item, salt))
    ((kind, item_id, start, end),) = record.walk(memoryview(whole), 0, salt)
    assert (kind, item_id, end) == (record.PUSH_MOVED, 7, len(whole))
    assert record.any_item_at(kind, memoryview(whole), start, end) == item
    assert record.data_size(kind, memoryview(whole), start, end) == len(data)


@given(token=st.binary(min_size=16, max_size=16), data=st.binary(max_size=40))
def test_an_item_with_a_token_is_read_back_with_it(token: bytes, data: bytes) -> None:
    item = MarkedItem(7, 1, 2, 3, data, 4, 5, True, None, token)
    whole = b"".join(record.push_marked(item, 9))
    ((kind, _, start, end),) = record.walk(memoryview(whole), 0, 9)
    assert (kind, end) == (record.PUSH_ONCE, len(whole))
    assert record.any_item_at(kind, memoryview(whole), start, end) == item
    assert record.data_size(kind, memoryview(whole), start, end) == len(data)
