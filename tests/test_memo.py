"""What is remembered is what the function says, and never more than may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.memo import Memo


@given(st.lists(st.binary(max_size=1), max_size=40), st.integers(1, 5))
def test_it_answers_as_the_function_does_and_never_keeps_too_much(
    keys: list[bytes], most: int
) -> None:
    known = Memo(lambda key: key * 2, most)
    for key in keys:
        assert known.get(key) == key * 2
        assert len(known) <= most


def test_the_function_is_asked_once_for_what_comes_again() -> None:
    asked: list[bytes] = []

    def find(key: bytes) -> int:
        asked.append(key)
        return 0

    known = Memo(find, 2)
    for key in (b"a", b"b", b"a", b"b", b"a"):
        known.get(key)
    assert asked == [b"a", b"b"]


def test_what_raises_is_asked_for_again() -> None:
    known = Memo(lambda key: int(key), 2)
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            known.get(b"x")
    assert len(known) == 0
