"""Segment headers and file names: only what this server wrote is taken for a segment."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal.errors import HeaderCutShortError, SegmentError
from starling_py.journal.format import segment
from starling_py.journal.format.record import PUSH_HEADER_SIZE
from starling_py.journal.format.segment import Header, Segment

UNSIGNED = st.integers(0, 2**64 - 1)
headers = st.builds(
    Header,
    queue=st.binary(min_size=1, max_size=250),
    number=UNSIGNED,
    first_id=UNSIGNED,
    oldest=UNSIGNED,
    salt=st.integers(0, 2**32 - 1),
    compacted=st.booleans(),
    version=st.integers(1, segment.VERSION),
)
HEADER = Header(b"jobs", 3, 17, 2, salt=5)
ENCODED = segment.encode(HEADER)


def with_right_checksum(data: bytes) -> bytes:
    """Return a header's bytes with the checksum made to fit the rest."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


@given(header=headers, behind=st.binary(max_size=50))
def test_a_header_is_read_back_as_it_was(header: Header, behind: bytes) -> None:
    data = segment.encode(header)
    assert segment.decode(memoryview(data + behind)) == (header, len(data))


@given(header=headers, where=st.floats(0, 1, exclude_max=True))
def test_a_header_that_is_cut_anywhere_is_known_for_that(header: Header, where: float) -> None:
    data = segment.encode(header)
    with pytest.raises(HeaderCutShortError):
        segment.decode(memoryview(data)[: int(len(data) * where)])


def test_the_layout_of_headers_is_the_one_that_is_documented() -> None:
    assert ENCODED[:8] == b"STARLING"
    assert ENCODED[8:10] == segment.VERSION.to_bytes(2, "little")
    assert ENCODED[10] == segment.CHECKSUM_CRC32 == 1
    assert ENCODED[11] == 0
    compacted = segment.encode(Header(b"jobs", 3, 17, 2, salt=5, compacted=True))
    assert compacted[11] == 1
    assert compacted[:11] + compacted[12:-4] == ENCODED[:11] + ENCODED[12:-4]
    assert ENCODED[12:16] == (4).to_bytes(4, "little")
    assert ENCODED[16:20] == (5).to_bytes(4, "little")
    assert ENCODED[20:28] == (3).to_bytes(8, "little")
    assert ENCODED[28:36] == (17).to_bytes(8, "little")
    assert ENCODED[36:44] == (2).to_bytes(8, "little")
    assert ENCODED[44:48] == b"jobs"
    assert ENCODED[48:] == zlib.crc32(ENCODED[:48]).to_bytes(4, "little")


def test_every_single_wrong_bit_of_a_header_is_noticed() -> None:
    for bit in range(len(ENCODED) * 8):
        wrong = bytearray(ENCODED)
        wrong[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SegmentError):
            segment.decode(memoryview(wrong + bytes(200)))


@given(st.binary(max_size=120))
def test_arbitrary_bytes_are_no_header(data: bytes) -> None:
    with pytest.raises(SegmentError):
        segment.decode(memoryview(data))


def test_a_newer_version_is_refused_with_both_versions_named() -> None:
    newer = with_right_checksum(ENCODED[:8] + (6).to_bytes(2, "little") + ENCODED[10:])
    with pytest.raises(SegmentError, match=r"version 6 is newer than this server's 5"):
        segment.decode(memoryview(newer))


@pytest.mark.parametrize("where", [8, 10], ids=["version 0", "unknown checksum"])
def test_a_version_or_checksum_that_never_existed_is_damage(where: int) -> None:
    wrong = bytearray(ENCODED)
    wrong[where] = 0
    with pytest.raises(SegmentError, match="damaged"):
        segment.decode(memoryview(with_right_checksum(bytes(wrong))))


@given(st.lists(st.integers(0, 10**16 - 1), max_size=10))
def test_file_names_sort_as_their_numbers_do(numbers: list[int]) -> None:
    names = sorted(segment.file_name(number) for number in numbers)
    assert [segment.number_of(name) for name in names] == sorted(numbers)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1.segment",
        "0000000000000001.segment.new",
        "0000000000000001.segment.compacting",
        "0000000000000001.segment.damaged",
        "0000000000000001.segment.torn-40",
        "0000000000000001.segment\n",
        "x0000000000000001.segment",
        "00000000000000001.segment",
        "0000000000000001.SEGMENT",
        "-000000000000001.segment",
        "\u0660" * 15 + "\u0661.segment",
    ],
)
def test_any_other_name_is_not_that_of_a_segment(name: str) -> None:
    assert segment.number_of(name) is None


@given(st.integers(0, 10**16 - 1))
def test_an_unfinished_segment_is_known_by_its_name_and_is_no_segment(number: int) -> None:
    name = segment.file_name(number) + segment.UNFINISHED_SUFFIX
    assert segment.unfinished_number_of(name) == number
    assert segment.number_of(name) is None
    assert segment.unfinished_number_of(segment.file_name(number)) is None
    assert segment.unfinished_number_of(f"{name}.torn-0") is None


@given(header=headers)
def test_no_header_is_longer_than_the_longest(header: Header) -> None:
    assert len(segment.encode(header)) <= segment.MAX_HEADER
    assert len(segment.encode(Header(b"n" * 250, 1, 1, 1))) == segment.MAX_HEADER


def test_what_is_not_of_live_items_is_waste() -> None:
    assert Segment(1, "", 1, 1000, items=2, bytes=30).waste == 1000 - 30 - 2 * PUSH_HEADER_SIZE
    assert Segment(1, "", 1, 60).waste == 60
