"""Statistics: their names, which clients and people read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.stats import one_token


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"jobs", b"jobs"),
        (b"a b", rb"a\x20b"),
        (b"\x1b[2J", rb"\x1b[2J"),
        (b"a\0b", rb"a\x00b"),
        ("aufträge".encode(), "aufträge".encode()),
        ("\x9b2J".encode(), rb"\xc2\x9b2J"),
        (b"\x9b2J", rb"\x9b2J"),
        (b"\xff\xc2\x80", rb"\xff\xc2\x80"),
    ],
)
def test_a_name_is_shown_without_what_a_terminal_obeys(name: bytes, shown: bytes) -> None:
    assert one_token(name) == shown


@given(st.binary(min_size=1, max_size=250))
def test_every_name_is_shown_as_printable_text_in_one_word(name: bytes) -> None:
    shown = one_token(name).decode()
    assert re.fullmatch(r"[^\x00-\x20\x7f-\x9f]+", shown)
    assert one_token(shown.encode()) == shown.encode()
