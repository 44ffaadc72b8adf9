"""What is said to the server for the page, and its replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.http.talk import MOST_BYTES, NameRefused, Replies, TalkError, named, numbers

STREAM = (
    b"OK\r\n"
    b"STAT queue_jobs_items 3\r\nSTAT open_7_holder 127.0.0.1:1\r\nEND\r\n"
    b"ITEM 1 2 0 3 waiting 0 0 0 - -\r\nEND\r\n"
    b"VALUE jobs 0 9\r\nEND\r\nab\r\n\r\nEND\r\n"
    b"SERVER_ERROR out of order\r\n"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_replies_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    replies = Replies(5)
    cuts.sort()
    for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
        if start < end:
            assert not replies.are_whole
            replies.feed(STREAM[start:end])
    assert replies.are_whole
    assert [each.end for each in replies.found] == [
        "OK", "END", "END", "END", "SERVER_ERROR out of order",
    ]  # fmt: skip
    assert replies.found[3].data == [b"END\r\nab\r\n"]
    assert numbers(replies.found[1].lines, b"queue_jobs_") == {"items": "3"}


def test_what_never_ends_is_given_up() -> None:
    replies = Replies(1)
    with pytest.raises(TalkError, match="too long"):
        replies.feed(b"STAT a b\r\n" * (MOST_BYTES // 10 + 1))
    with pytest.raises(TalkError, match="ended"):
        Replies(1).feed(b"")


@given(st.binary(max_size=300))
def test_a_name_that_would_be_several_words_is_refused(name: bytes) -> None:
    try:
        assert named(name) == name
    except NameRefused:
        return
    assert 0 < len(name) <= 250
    assert len(name.split()) == 1
    assert not set(name) & set(b" \r\n\t/\0\x7f")
