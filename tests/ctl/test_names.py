"""Names of queues: shown on a terminal, and taken back in the same form."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.ctl import names
from starling_py.ctl.errors import UsageError

NAMES = st.binary(min_size=1, max_size=60).filter(lambda name: b"/" not in name)


@given(NAMES.filter(lambda name: b"\\x" not in name))
def test_a_name_that_was_shown_can_be_typed_again(name: bytes) -> None:
    assert names.typed(names.shown(name)) == name


@given(NAMES)
def test_a_name_is_shown_as_one_word_that_does_no_harm(name: bytes) -> None:
    shown = names.shown(name)
    assert " " not in shown
    assert not any(ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 for each in shown)


@pytest.mark.parametrize("text", ["", "jobs/peek", "a" * 251])
def test_what_can_be_no_queue_is_refused_before_it_is_sent(text: str) -> None:
    with pytest.raises(UsageError):
        names.typed(text)


def test_bytes_that_are_no_text_come_from_the_shell_as_they_are() -> None:
    assert names.typed(os.fsdecode(b"caf\xe9")) == b"caf\xe9"
    assert names.typed(r"caf\xe9") == b"caf\xe9"


def test_a_pattern_matches_names_as_in_the_shell() -> None:
    assert names.matches("mail.in", ["jobs", "mail.*"])
    assert names.matches("a[1]", ["a[1]"])
    assert not names.matches("Mail", ["mail"])
    assert names.is_pattern("mail.*")
    assert not names.is_pattern("mail")
