"""What is asked of a server comes back as it is there."""

import pytest

from starling_py.ctl.connection import Connection
from starling_py.ctl.errors import NotFoundError, UnreachableError
from starling_py.ctl.remote import HowPut, Remote
from starling_py.ctl.reports import plain
from tests.core import CoreHarness
from tests.ctl.test_connection import ScriptWire


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (
            b"ERROR\r\nVERSION 1.6.18\r\nSTAT pid 1\r\nEND\r\n",
            "memcached or its like, version 1.6.18",
        ),
        (b"ERROR\r\nVERSION 0.9.8\r\nSTAT curr_queues 1\r\nEND\r\n", "0.9.8 is older than this"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no starling-py: it answered 'HTTP/1.1 400"),
        (b"-ERR unknown command\r\n", "no starling-py: it answered '-ERR unknown command'"),
        (b"CLIENT_ERROR unauthenticated\r\n", "there:1: CLIENT_ERROR unauthenticated"),
        (b"", "the server closed the connection"),
    ],
)
def test_what_is_none_of_ours_is_told_by_what_it_says(told: bytes, text: str) -> None:
    with pytest.raises(UnreachableError) as problem:
        Remote.over(ScriptWire(told), "there:1")
    assert text in str(problem.value)


def test_the_connection_says_who_asks(core: CoreHarness, remote: Remote) -> None:
    assert remote.where == "here"
    wire = ScriptWire(b"OK\r\n")
    assert Remote(Connection(wire, "there")).where == "there"
    assert wire.sent == b"hello starling-ctl\r\n"


def test_a_queue_is_never_taken_for_another_with_a_longer_name(remote: Remote) -> None:
    for name, times in ((b"jobs", 1), (b"jobs_total", 2), (b"jobs' {", 3)):
        for _ in range(times):
            remote.send_put(name.replace(b" ", b"_"), b"x", HowPut())
            remote.read_put()
    told = {queue.name: queue.number("items") for queue in remote.queues()}
    assert told == {b"jobs": 1, b"jobs_total": 2, b"jobs'_{": 3}


def test_many_names_are_asked_for_in_several_lines(remote: Remote) -> None:
    wanted = [f"{'q' * 200}{number}" for number in range(30)]
    for name in wanted:
        remote.send_put(name.encode(), b"x", HowPut())
        remote.read_put()
    assert sorted(queue.shown for queue in remote.queues(wanted)) == sorted(wanted)


def test_a_name_and_a_pattern_that_nothing_has_are_told_of(remote: Remote) -> None:
    with pytest.raises(NotFoundError, match="there is no queue nosuch"):
        remote.queues(["nosuch"])
    with pytest.raises(NotFoundError, match=r"no queue matches mail\.\*"):
        remote.queues(["mail.*"])


def test_a_name_with_a_blank_is_put_into_and_found_taken_and_deleted(remote: Remote) -> None:
    name = b"my queue\r\n\xff"
    remote.send_put(name, b"data", HowPut(flags=7))
    assert remote.read_put() == 1
    assert [each.shown for each in remote.queues()] == [r"my\x20queue\x0d\x0a\xff"]
    assert remote.queue(name) is not None
    assert [(each.flags, each.data) for each in remote.peek(name, 5)] == [(7, b"data")]
    assert remote.delete(name)
    assert not remote.delete(name)


def test_items_come_out_of_a_peek_as_they_were_put(remote: Remote) -> None:
    items = [b"", b"END\r\n", b"\xff\x00", b"VALUE jobs 0 1 1\r\nx\r\n"]
    for data in items:
        remote.send_put(b"jobs", data, HowPut())
        remote.read_put()
    assert [item.data for item in remote.peek(b"jobs", 1000)] == items
    assert [item.id for item in remote.browse(b"jobs")] == [1, 2, 3, 4]


def test_a_long_list_is_asked_for_in_pages(remote: Remote) -> None:
    for _ in range(2100):
        remote.send_put(b"jobs", b"x", HowPut())
        remote.read_put()
    assert [item.id for item in remote.browse(b"jobs")] == list(range(1, 2101))
    assert [item.id for item in remote.browse(b"jobs", 1500, 3)] == [1500, 1501, 1502]
    with pytest.raises(NotFoundError, match="there is no queue nosuch"):
        list(remote.browse(b"nosuch"))
    assert remote.listed(b"jobs", 2101) is None


def test_a_value_is_a_number_only_where_it_is_one() -> None:
    assert [plain(value) for value in (b"12", b"-1", b"1.0.0", b"-", b"none")] == [
        12,
        -1,
        "1.0.0",
        "-",
        "none",
    ]
