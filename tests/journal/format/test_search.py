"""The search for sound records: the first one is found, whatever is in front of it, and quickly."""

import struct
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starling_py.journal.format import record
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.format.search import ANY_ID, Search, find_sound_record
from tests.journal.format.test_record import REMOVED, anything

SALT = 0x5EED


def found_by_trying(data: bytes, offset: int, salt: int, highest_id: int) -> int | None:
    """Return where the first sound record starts, by a look at each byte, however long it takes."""
    view = memoryview(data)
    for start in range(offset, len(data)):
        found = next(record.walk(view, start, salt), None)
        if found is not None and found[1] <= highest_id:
            return start
    return None


def sound(kind: int, item_id: int, data: bytes, salt: int) -> bytes:
    """Return a record of one of all types; those with items have ``data`` in them."""
    return (
        b"".join(record.push(Item(item_id, 1, 0, 0, data), salt)),
        b"".join(record.push_marked(MarkedItem(item_id, 1, 0, 0, data, 5, 6, True), salt)),
        record.remove(item_id, len(data), salt),
        record.bare(record.REMOVE, item_id, salt),
        record.bare(record.CHECKPOINT, item_id, salt, data),
        record.flush(item_id, [(1, 5)] * (len(data) % 5), salt),
        record.discard(item_id, item_id + 1, 2, 9, salt),
        record.delay(item_id, 17, salt),
        record.bare(record.OPEN, item_id, salt),
        record.bare(record.DELETE, item_id, salt),
        record.bare(record.RECLAIM, item_id, salt),
    )[kind]


IDS = st.one_of(st.integers(1, 300), st.integers(0, ANY_ID - 1))
heads = st.builds(
    lambda length, kind, item_id: struct.pack("<IIBQ", 0, length, kind, item_id),
    st.one_of(st.integers(0, 3000), st.integers(0, 2**32 - 1)),
    st.integers(0, 12),
    IDS,
)
"""Heads of records that are none, as a client can write them."""
fillings = st.builds(bytes.__mul__, st.binary(max_size=20), st.integers(0, 60))


def records(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return records with others inside; few have the right salt."""
    salts = st.sampled_from([SALT + 1, SALT + 1, 0, SALT])
    whole = st.builds(sound, st.integers(0, 10), IDS, inner, salts)
    cut = st.builds(lambda data, by: data[: len(data) - by], whole, st.integers(1, 5))
    return st.one_of(whole, cut)


pieces = st.recursive(
    st.one_of(st.binary(max_size=40), heads, fillings),
    lambda inner: st.one_of(records(inner), st.lists(inner, max_size=6).map(b"".join)),
    max_leaves=12,
)


@settings(max_examples=400)
@given(
    data=st.lists(pieces, max_size=6).map(b"".join),
    offset=st.integers(0, 40),
    highest_id=st.one_of(st.just(ANY_ID), st.integers(1, 2**20)),
    block=st.sampled_from([1, 7, 50, 1 << 20]),
)
def test_the_search_finds_what_a_look_at_every_byte_finds(
    data: bytes, offset: int, highest_id: int, block: int
) -> None:
    search = Search(memoryview(data), len(data), SALT, highest_id, block)
    expected = found_by_trying(data, offset, SALT, highest_id)
    assert search.first(offset) == expected
    if expected is not None:  # and so does the next search of the same bytes
        behind = found_by_trying(data, expected + 1, SALT, highest_id)
        assert search.first(expected + 1) == behind


@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"\x01", b"\x02"])
def test_a_stretch_of_equal_bytes_holds_no_record(filling: bytes) -> None:
    assert find_sound_record(memoryview(filling * 4096), 0) is None


@given(before=st.binary(max_size=50), data=anything, behind=st.binary(max_size=50))
def test_a_sound_record_is_found_among_other_bytes(
    before: bytes, data: bytes, behind: bytes
) -> None:
    found = find_sound_record(memoryview(before + data + behind), 0)
    assert found is not None
    assert found <= len(before)


def test_a_sound_record_with_an_impossibly_high_id_is_not_looked_for() -> None:
    data = memoryview(b"junk" + REMOVED)
    assert find_sound_record(data, 0, 0, 7) == 4
    assert find_sound_record(data, 0, 0, 6) is None


class Counted:
    """Bytes that count how many of them were asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.asked = 0

    def __getitem__(self, part: "slice[int, int, None]") -> memoryview:
        found = self._data[part]
        self.asked += len(found)
        return found


def asked_for(data: bytes, highest_id: int = 1 << 20) -> int:
    """Return how many bytes a search that finds nothing looks at."""
    counted = Counted(data)
    assert Search(counted, len(data), SALT, highest_id).first(0) is None
    return counted.asked


def head(kind: int, length: int, item_id: int = 1) -> bytes:
    """Return the head of a record with a wrong checksum."""
    return struct.pack("<IIBQ", 0, length, kind, item_id)


def crafted(name: str, size: int) -> bytes:
    """Return ``size`` bytes that a client may put to keep a search busy."""
    half = size // 2
    if name == "one length":
        return head(record.PUSH, half) * (size // 17)
    if name == "up to the end":
        # Each claims all that is left.
        return b"".join(head(record.PUSH, size - at - 8) for at in range(0, size - 17, 17))
    if name == "all types":
        return b"".join(head(1 + n % 10, half + n % 12) for n in range(size // 17))
    if name == "close together":
        return (b"\1\0\1\0\1" + bytes(6) + b"\1\0") * (size // 13)
    if name == "any lengths":
        random = Random(1)
        return b"".join(head(record.PUSH, random.randrange(size)) for _ in range(size // 17))
    assert name == "records in records"
    data = b""
    while len(data) < size - 100:
        data = b"".join(record.push(Item(1, 1, 0, 0, data), SALT + 1))
    return data.ljust(size, b"\0")


CRAFTED = ["one length", "up to the end", "all types", "close together", "any lengths"]


@pytest.mark.parametrize("name", CRAFTED)
def test_whatever_a_client_wrote_the_search_is_linear(name: str) -> None:
    for size in (1 << 17, 1 << 19):
        data = crafted(name, size)
        assert asked_for(data) < 100 * len(data)  # read one by one, they have thousands of times


def test_records_in_records_are_looked_at_once_each() -> None:
    data = crafted("records in records", 1 << 15)
    assert asked_for(data) < 100 * len(data)


def test_the_end_of_such_bytes_is_still_found() -> None:
    for name in CRAFTED:
        data = crafted(name, 1 << 16)
        assert find_sound_record(memoryview(data + REMOVED), 0, 0, 1 << 20) == len(data)
