"""What each protocol's requests and right replies are, and which wrong ones are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import VoidRunError
from bench.dialects import Beanstalk, Dialect, Nats, Redis, Text, Way
from bench.works import Gets, Puts

if TYPE_CHECKING:
    from bench.fleet import Lane

ITEM = b"00000000abcd\r\n"
ACK = b"$JS.ACK.q.c.1.1.1.17.0"
NEXT = b'PUB $JS.API.CONSUMER.MSG.NEXT.q.c _I.0000 33\r\n{"batch":1,"expires":20000000000}\r\n'


def put(dialect: Dialect, depth: int = 1, count: int = 1) -> Lane:
    return Puts(lambda at: [dialect.put(b"q", 12, at)], range(count), depth).lanes(range(1))[0]


def get(dialect: Dialect, way: Way = Way.POP, depth: int = 1, count: int = 1) -> Lane:
    work = Gets(lambda at: [dialect.get(b"q", 12, at, way)], range(count), depth)
    return work.lanes(range(1))[0]


PUTS = [
    (Text(), b"set q 0 0 12\r\n" + ITEM, b"STORED\r\n"),
    (Redis(), b"*3\r\n$5\r\nRPUSH\r\n$1\r\nq\r\n$12\r\n" + ITEM, b":17\r\n"),
    (Beanstalk(), b"put 0 0 3600 12\r\n" + ITEM, b"INSERTED 17\r\n"),
    (
        Nats(),
        b"PUB q _I.0000 12\r\n" + ITEM,
        b'MSG _I.0000 1  23\r\n{"stream":"q", "seq":1}\r\n',
    ),
]
GETS = [
    (Text(), Way.POP, b"get q\r\n", b"VALUE q 0 12\r\n" + ITEM + b"END\r\n"),
    (Text(), Way.WAIT, b"get q/t=20000\r\n", b"VALUE q/t=20000 0 12\r\n" + ITEM + b"END\r\n"),
    (Redis(), Way.POP, b"*2\r\n$4\r\nLPOP\r\n$1\r\nq\r\n", b"$12\r\n" + ITEM),
    (
        Redis(),
        Way.WAIT,
        b"*3\r\n$5\r\nBLPOP\r\n$1\r\nq\r\n$2\r\n20\r\n",
        b"*2\r\n$1\r\nq\r\n$12\r\n" + ITEM,
    ),
]


@pytest.mark.parametrize(("dialect", "request_bytes", "right"), PUTS)
def test_a_put_and_its_right_reply(dialect: Dialect, request_bytes: bytes, right: bytes) -> None:
    lane = put(dialect)
    assert lane.ask() == request_bytes
    for place in range(len(right)):
        with pytest.raises(VoidRunError):
            lane.hear(right[:place] + b"#" + right[place + 1 :])
        lane.probe(right[:place])
    assert lane.hear(right)
    assert not lane.ask()


@pytest.mark.parametrize(("dialect", "request_bytes", "right"), PUTS[1:])
def test_a_batch_of_replies_of_any_length_has_as_many_as_were_asked_for(
    dialect: Dialect, request_bytes: bytes, right: bytes
) -> None:
    lane = put(dialect, depth=3, count=3)
    assert bytes(lane.ask()).count(request_bytes[:10]) == 3
    assert lane.due == 0
    assert lane.lines == 3 * right.count(b"\n")
    with pytest.raises(VoidRunError):
        lane.hear(right * 2)
    with pytest.raises(VoidRunError):
        lane.hear(right * 4)
    with pytest.raises(VoidRunError):
        lane.probe(right + b"-ERR full\r\n" * right.count(b"\n"))
    assert lane.hear(right * 3)


@pytest.mark.parametrize(("dialect", "way", "request_bytes", "right"), GETS)
def test_a_get_and_its_right_reply(
    dialect: Dialect, way: Way, request_bytes: bytes, right: bytes
) -> None:
    lane = get(dialect, way)
    assert lane.ask() == request_bytes
    assert lane.due == len(right)
    assert lane.hear(right)
    assert not lane.ask()


def test_beanstalkd_deletes_each_job_by_its_id() -> None:
    lane = get(Beanstalk(), depth=2, count=3)
    assert lane.ask() == b"reserve-with-timeout 20\r\n" * 2
    assert (lane.due, lane.lines) == (0, 4)
    lane.probe(b"RESERVED 7 12\r\n" + ITEM + b"RESE")
    with pytest.raises(VoidRunError):
        lane.probe(b"TIMED_OUT\r\n")
    with pytest.raises(VoidRunError):
        lane.probe(b"RESERVED 7 12\r\n" + ITEM + b"DEADLINE_SOON\r\n")
    second = ITEM.replace(b"00 ", b"01")
    assert not lane.hear(b"RESERVED 7 12\r\n" + ITEM + b"RESERVED 23 12\r\n" + second)
    assert lane.ask() == b"delete 7\r\ndelete 23\r\n"
    assert lane.due == len(b"DELETED\r\n" * 2)
    assert lane.hear(b"DELETED\r\n" * 2)
    assert lane.ask() == b"reserve-with-timeout 20\r\n"


def test_redis_keeps_what_is_taken_on_trial_until_it_is_trimmed() -> None:
    lane = get(Redis(), Way.TRIAL)
    assert bytes(lane.ask()).split(b"\r\n")[2::2] == [
        *(b"LMOVE", b"q", b"held-0000", b"LEFT", b"RIGHT"),
    ]
    assert not lane.hear(b"$12\r\n" + ITEM)
    assert bytes(lane.ask()).split(b"\r\n")[2::2] == [b"LTRIM", b"held-0000", b"1", b"-1"]
    assert lane.hear(b"+OK\r\n")


def test_nats_acknowledges_with_the_next_request_and_at_last_by_itself() -> None:
    lane = get(Nats(), count=2)
    assert lane.ask() == NEXT
    assert lane.hear(b"MSG q 1 " + ACK + b" 12\r\n" + ITEM)
    acknowledged = b"PUB " + ACK + b" 4\r\n+ACK\r\n"
    assert lane.ask() == acknowledged + NEXT
    assert lane.hear(b"MSG q 1 " + ACK + b" 12\r\n" + ITEM)
    assert lane.ask() == acknowledged + b"PING\r\n"
    assert (lane.due, lane.lines) == (0, 1)
    assert not lane.hear(b"PONG\r\n")
    assert not lane.ask()


def test_an_empty_message_of_nats_when_nothing_comes_is_a_wrong_reply() -> None:
    lane = get(Nats())
    lane.ask()
    with pytest.raises(VoidRunError):
        lane.hear(b"MSG _I.0000 1  0\r\n\r\n")
