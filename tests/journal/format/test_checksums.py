"""Checksums of stretches: the same as those of zlib, whatever the stretch."""

import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal.format import checksums
from starling_py.journal.format.checksums import STEP, Checksums

LARGE = Random(1).randbytes(3 * STEP * 256 + 77)
"""So large that stretches of it are moved over two powers of 256 steps."""
OF_LARGE = Checksums(memoryview(LARGE), len(LARGE), 0x5EED)


@given(st.integers(0, len(LARGE)), st.integers(0, len(LARGE)))
def test_the_checksum_of_any_stretch_is_that_of_zlib(one: int, other: int) -> None:
    start, end = sorted((one, other))
    assert OF_LARGE.of(start, end) == zlib.crc32(LARGE[start:end], 0x5EED)


@pytest.mark.parametrize("salt", [0, 1, 0x80000000, 0xFFFFFFFF])
def test_stretches_whose_ends_lie_about_a_step_are_right(salt: int) -> None:
    data = LARGE[: 4 * STEP]
    of_data = Checksums(data, len(data), salt)
    edges = [n * STEP + by for n in range(5) for by in (-1, 0, 1) if 0 <= n * STEP + by <= 4 * STEP]
    for start in edges:
        for end in edges:
            if start <= end:
                assert of_data.of(start, end) == zlib.crc32(data[start:end], salt)


@pytest.mark.patches
def test_bytes_that_are_read_piece_by_piece_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "READ_SIZE", 4 * STEP)
    of_large = Checksums(LARGE, len(LARGE))
    for start, end in ((5, len(LARGE)), (0, 5 * STEP), (STEP, 9 * STEP + 3)):
        assert of_large.of(start, end) == zlib.crc32(LARGE[start:end])


class Far:
    """As many zeros as there can be in a record, none of them in memory."""

    size = 1 << 30

    def __getitem__(self, part: "slice[int, int, None]") -> bytes:
        return bytes(part.stop - part.start)


def test_the_largest_record_has_its_checksum_too() -> None:
    step = 1 << 20
    expected = 0x5EED
    for _ in range(0, Far.size - step, step):
        expected = zlib.crc32(bytes(step), expected)
    assert Checksums(Far(), Far.size, 0x5EED).of(step, Far.size) == expected
