"""What a client has taken, by queue."""

from pathlib import Path

from starling_py.session.takes import Takes
from tests.queues.parts import Queues
from tests.session.parts import check_put


def test_takes_are_counted_by_queue_and_the_latest_queues_remembered() -> None:
    takes = Takes()
    for number, name in enumerate((b"a", b"b", b"a", b"c", b"b")):
        takes.took(name, float(number))
    told = [takes.of(name) for name in (b"a", b"b", b"c", b"d")]
    assert told == [(2, 2.0), (2, 4.0), (1, 3.0), (0, 0.0)]
    for number in range(500):
        takes.took(b"%d" % number, 9.0)
    assert takes.of(b"a") == (0, 0.0)
    assert takes.of(b"450") == (1, 9.0)


def test_every_way_of_taking_counts_and_no_look_does(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    client = queues.client()
    other = queues.client()
    assert other.ask(b"get q/t=100000\r\n") == b""
    check_put(client, *(b"%d" % number for number in range(9)))
    other.told()
    assert other.state.takes.of(b"q")[0] == 1
    client.ask(b"get q\r\nget q/peek\r\nget q/peek/n=3\r\nget q/peek/id=5\r\n")
    client.ask(b"get q/t=5\r\nmg q v\r\nget q r\r\nget q/open\r\nget q/close\r\n")
    assert client.state.takes.of(b"q")[0] == 5
    client.ask(b"monitor q 0 2\r\n")
    assert client.state.takes.of(b"q")[0] == 7


def test_the_times_of_the_last_put_and_get_are_told(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool")
    client = queues.client()
    check_put(client, b"1", b"2")
    queues.clock.advance(2)
    client.ask(b"get q/peek\r\n")
    assert (queues.numbers(b"q").last_put, queues.numbers(b"q").last_get) == (2000, -1)
    client.ask(b"get q\r\nprepend q 0 0 1\r\n3\r\n")
    queues.clock.advance(1)
    assert (queues.numbers(b"q").last_put, queues.numbers(b"q").last_get) == (1000, 1000)
    client.ask(b"get q/open\r\n")
    assert queues.numbers(b"q").last_get == 0
