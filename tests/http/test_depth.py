"""One queue in depth, as the page is told of it."""

import json

import pytest

from starling_py.http import depth
from starling_py.http.talk import NameRefused, Replies


def replies_of(stream: bytes, count: int) -> Replies:
    replies = Replies(count)
    replies.feed(stream)
    return replies


def test_numbers_open_items_consumers_and_items_are_told() -> None:
    assert depth.commands(b"jobs", 5) == [
        b"stats queue jobs\r\n",
        b"stats consumers jobs\r\n",
        b"browse jobs 5 20\r\n",
    ]
    stream = (
        b"STAT queue_jobs_items 3\r\nSTAT queue_jobs_age 70\r\nSTAT open_7_holder 127.0.0.1:1\r\n"
        b"STAT open_7_deliveries 2\r\nEND\r\n"
        b"STAT 12:addr tcp:127.0.0.1:1\r\nSTAT 12:name worker\r\nEND\r\n"
        b"ITEM 8 2 0 3000 waiting 0 0 1 old buried\r\nEND\r\n"
    )
    answer = depth.told(b"jobs", replies_of(stream, 3).found)
    assert json.loads(answer.body) == {
        "name": "jobs",
        "numbers": {"items": "3", "age": "70"},
        "open": [{"id": "7", "holder": "127.0.0.1:1", "deliveries": "2"}],
        "consumers": [{"id": "12", "addr": "tcp:127.0.0.1:1", "name": "worker"}],
        "items": [
            {
                "id": "8", "size": "2", "flags": "0", "age": "3000", "state": "waiting",
                "due": "0", "expires": "0", "deliveries": "1", "origin": "old", "reason": "buried",
            }
        ],
        "refused": "",
    }  # fmt: skip


def test_that_items_may_not_be_listed_is_told() -> None:
    stream = b"STAT queue_jobs_items 3\r\nEND\r\nEND\r\nERROR: browse not enabled\r\n"
    answer = depth.told(b"jobs", replies_of(stream, 3).found)
    assert json.loads(answer.body)["refused"] == "ERROR: browse not enabled"


NONE = b"STAT queue_jobs_exists 0\r\nEND\r\nEND\r\nNOT_FOUND\r\n"


def test_a_queue_that_is_not_there_is_told() -> None:
    assert depth.told(b"jobs", replies_of(NONE, 3).found).status == 404
    assert depth.item_told(replies_of(b"END\r\n", 1).found).status == 404


def test_that_it_may_not_be_looked_at_is_told_and_not_that_it_is_not_there() -> None:
    refusal = b"CLIENT_ERROR unauthenticated\r\n"
    for answer in (
        depth.told(b"jobs", replies_of(refusal * 3, 3).found),
        depth.item_told(replies_of(refusal, 1).found),
    ):
        assert (answer.status, answer.body) == (403, b'{"error": "CLIENT_ERROR unauthenticated"}')


def test_a_name_that_cannot_be_said_is_refused() -> None:
    with pytest.raises(NameRefused):
        depth.commands(b"a b", 1)
    with pytest.raises(NameRefused):
        depth.item_commands(b"a\r\nflush_all", 1)


@pytest.mark.parametrize(
    ("data", "text", "is_text"),
    [
        (b"", "", True),
        (b'{"a": 1}\n', '{"a": 1}\n', True),
        ("\u00fc".encode() * 3000, "\u00fc" * 2048, True),
        (b"a" + "\u00fc".encode() * 3000, "a" + "\u00fc" * 2047, True),
        (b"\xff\x00a", "ff 00 61", False),
        (b"\x1b[31m", "1b 5b 33 31 6d", False),
    ],
)
def test_data_is_shown_as_text_only_where_it_is_text(data: bytes, text: str, is_text: bool) -> None:
    stream = b"VALUE jobs 0 %d\r\n%b\r\nEND\r\n" % (len(data), data)
    told = json.loads(depth.item_told(replies_of(stream, 1).found).body)
    assert (told["text"], told["is_text"], told["size"]) == (text, is_text, len(data))
