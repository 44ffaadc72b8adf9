"""A body's pieces: every byte in order, however they are cut, and no work that grows with it."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.protocol.pieces import LEAST, Pieces
from starling_py.protocol.text import TextDialect

SIZE = 1 << 20


@given(st.lists(st.integers(0, 3 * LEAST), max_size=20))
def test_whatever_the_pieces_of_a_body_every_byte_comes_in_order(sizes: list[int]) -> None:
    pieces = Pieces()
    wanted = [bytes([number]) * size for number, size in enumerate(sizes)]
    for number, piece in enumerate(wanted, 1):
        pieces.add(piece)
        assert pieces.size == sum(sizes[:number])
    assert pieces.take() == b"".join(wanted)
    assert pieces.size == 0
    assert pieces.take() == b""


@pytest.mark.parametrize("size", [1, 7, 4096, LEAST, 1 << 16])
def test_a_body_takes_hardly_more_than_its_bytes_however_it_is_cut(size: int) -> None:
    pieces = Pieces()
    tracemalloc.start()
    for _ in range(0, SIZE, size):
        pieces.add(bytes(size))
    now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pieces.size >= SIZE
    assert now < SIZE * 1.05 + (1 << 16)
    assert most < SIZE * 1.2 + (1 << 16)


def test_a_large_piece_of_a_body_is_not_copied_when_it_comes() -> None:
    dialect = TextDialect(1 << 20)
    dialect.feed(b"set a 0 0 1000000\r\n" + b"x" * 50_000)
    assert dialect.next_command() is None
    piece = b"x" * (1 << 16)
    tracemalloc.start()
    for _ in range(10):
        dialect.feed(piece)
        assert dialect.next_command() is None
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < len(piece)
    assert dialect.weight == 50_000 + 10 * len(piece)
