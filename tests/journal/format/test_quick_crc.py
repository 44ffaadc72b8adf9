"""The checksum is zlib's, whichever library computes it."""

import sys
import zlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal.format import quick_crc


@given(st.binary(max_size=3000), st.integers(0, 2**32 - 1))
def test_the_checksum_is_that_of_zlib(data: bytes, before: int) -> None:
    expected = zlib.crc32(data, before)
    assert quick_crc.crc32(data, before) == quick_crc.crc32(memoryview(data), before) == expected


def test_the_checksums_of_isal_are_taken_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "isal", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", SimpleNamespace(crc32="quick"))
    found: object = quick_crc.find()
    assert found == "quick"


def test_without_isal_the_checksums_are_those_of_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    assert quick_crc.find() is zlib.crc32
