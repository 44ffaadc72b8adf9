"""The commands for single items: nothing is lost between the queue and the output."""

import base64
from pathlib import Path

import pytest

from starling_py.connecting.address import Address
from starling_py.ctl import cli
from starling_py.ctl.command import Context
from starling_py.ctl.output import Output
from starling_py.ctl.remote import Remote
from starling_py.queues.queue_directory import Rules
from starling_py.settings.queue_table import QueueTable
from tests.core import Client, CoreHarness
from tests.ctl.conftest import CoreWire, Ctl


def rules(**settings: object) -> Rules:
    return Rules(QueueTable({"jobs": settings}))


def test_data_is_put_from_words_input_lines_and_files(ctl: Ctl, tmp_path: Path) -> None:
    assert ctl("put", "jobs", "a", "b").lines() == [
        "jobs: item 1 put",
        "jobs: item 2 put",
        "2 items put",
    ]
    ctl("put", "jobs", given=b"x\ny\n")
    ctl("put", "jobs", "-", "--lines", given=b"p\nq\n\nr")
    (tmp_path / "data").write_bytes(b"\xff\x00")
    ctl("put", "jobs", "--file", tmp_path / "data")
    assert ctl("get", "jobs", "-n", 9).data == b"a\nb\nx\ny\n\np\nq\n\nr\n\xff\x00\n"
    done = ctl("put", "jobs", "--file", "/nowhere")
    assert (done.status, done.err) == (2, "starling-ctl: /nowhere: No such file or directory\n")
    assert ctl("put", "jobs", "a", "--lines").status == 2


def test_more_lines_than_are_sent_at_once_are_all_put_in_order(ctl: Ctl) -> None:
    lines = [b"%d" % number for number in range(300)]
    assert ctl("put", "jobs", "--lines", given=b"\n".join(lines)).lines()[-1] == "300 items put"
    assert ctl("get", "jobs", "-n", 300).lines() == [line.decode() for line in lines]


def test_an_item_is_put_as_the_options_say(client: Client, ctl: Ctl) -> None:
    ctl("put", "jobs", "last", "--flags", 7, "--expire", "1h")
    ctl("put", "jobs", "first", "--front", "--sync")
    ctl("put", "jobs", "later", "--delay", "1h")
    ctl("put", "jobs", "once", "--once", "t1")
    ctl("put", "jobs", "again", "--once", "t1")
    assert [
        (each["flags"], each["text"]) for each in ctl("peek", "jobs", 9, "--json").objects()
    ] == [
        (0, "first"),
        (7, "last"),
        (0, "once"),
    ]
    assert ctl("put", "jobs", "a", "--delay", "31d").status == 2
    assert ctl("put", "jobs", "a", "--once", "t" * 101).status == 2


def test_a_full_queue_is_told_and_how_much_was_put(core: CoreHarness, ctl: Ctl) -> None:
    core.queues.reload(rules(max_items=2))
    done = ctl("put", "jobs", "--lines", given=b"a\nb\nc\n")
    assert (done.status, done.out) == (1, "")
    assert "starling-ctl: 2 items put, and perhaps some of the 1 behind them\n" in done.err
    ctl("delete", "jobs", "--yes")
    done = ctl("put", "jobs", "a", "b", "c")
    assert done.status == 1
    assert len(done.lines()) == 2
    assert "not stored; the queue is full" in done.err


def test_a_get_confirms_what_was_written(client: Client, ctl: Ctl) -> None:
    ctl("put", "jobs", "a", "b", "c")
    assert ctl("get", "jobs", "-n", 2).lines() == ["a", "b"]
    assert client.ask(b"get jobs/peek\r\n") == b"VALUE jobs/peek 0 1\r\nc\r\nEND\r\n"
    assert ctl("get", "jobs", "--json").objects() == [
        {"queue": "jobs", "id": 3, "size": 1, "flags": 0, "text": "c"}
    ]
    done = ctl("get", "jobs")
    assert (done.status, done.out) == (3, "")
    assert done.err == "starling-ctl: jobs: nothing to take\n"


def test_a_wait_is_no_silence_of_the_server(
    core: CoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: list[float] = []

    def connect(_address: Address, timeout: float) -> Remote:
        timeouts.append(timeout)
        return Remote.over(CoreWire(core.client()), "here")

    options = cli.build_parser().parse_args(["--timeout", "5", "get", "jobs", "--wait", "1h"])
    core.client().ask(b"set jobs 0 0 1\r\na\r\n")
    assert cli.run(Context(options, Output(as_json=True), connect)) == 0
    assert timeouts == [3605]


def test_what_cannot_be_written_stays_in_the_queue(
    client: Client, ctl: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctl("put", "jobs", "a")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("starling_py.ctl.output.Output.flush", fail)
        assert ctl("get", "jobs").status == 130
    # It is open, and comes back when the connection ends.
    assert b"STAT queue_jobs_open_transactions 1" in client.ask(b"stats queue jobs\r\n")


def test_a_peek_shows_data_safely_and_raw_on_demand(client: Client, ctl: Ctl) -> None:
    client.ask(b"set jobs 5 0 4\r\n\x1b[2J\r\nset jobs 0 0 2\r\nok\r\n")
    told = ctl("peek", "jobs", 2).lines()
    assert told == [
        "item 1: 4B, flags 5, waiting, 0.0s old",
        r"\x1b[2J",
        "item 2: 2B, waiting, 0.0s old",
        "ok",
    ]
    assert ctl("peek", "jobs", "--raw").out == "\x1b[2J"
    assert ctl("peek", "jobs", "--id", 2).lines()[1] == "ok"
    assert ctl("peek", "jobs", "--id", 9).status == 3
    assert ctl("peek", "nosuch").status == 3


def test_data_that_is_no_text_is_base64_in_json(client: Client, ctl: Ctl) -> None:
    client.ask(b"set jobs 0 0 2\r\n\xff\xfe\r\n")
    (told,) = ctl("peek", "jobs", "--json").objects()
    assert base64.b64decode(told["data"]) == b"\xff\xfe"
    assert "text" not in told


def test_items_are_dropped_by_their_ids(ctl: Ctl) -> None:
    ctl("put", "jobs", "a", "b", "c")
    assert ctl("drop", "jobs", 2).status == 2
    done = ctl("drop", "jobs", 2, 9, "--yes")
    assert done.lines() == ["jobs: item 2 dropped", "jobs: no item 9 waits there"]
    assert done.status == 3
    assert ctl("get", "jobs", "-n", 3).lines() == ["a", "c"]


def test_the_head_and_an_open_item_can_be_buried(
    core: CoreHarness, client: Client, ctl: Ctl
) -> None:
    core.queues.reload(rules(dead_letter="dead", max_deliveries=9))
    ctl("put", "jobs", "a", "b", "c", "d")
    assert ctl("bury", "jobs").out == "jobs: item 1 buried\n"
    done = ctl("bury", "jobs", 2)
    assert (done.out, done.err) == ("jobs: item 2 buried\n", "")
    client.ask(b"gets jobs/open/lease=60\r\n")
    assert ctl("bury", "jobs", 3).status == 0
    ctl("put", "jobs", "e")
    assert "is waiting and not the next one" in ctl("bury", "jobs", 5).err
    assert ctl("bury", "jobs", 99).status == 3
    assert ctl("bury", "empty").status == 3
    assert ctl("get", "dead", "-n", 9).lines() == ["a", "b", "c"]


def test_an_item_that_cannot_be_buried_stays_where_it_is(ctl: Ctl) -> None:
    ctl("put", "jobs", "a")
    done = ctl("bury", "jobs")
    assert done.status == 1
    assert "no dead_letter" in done.err
    assert ctl("get", "jobs").lines() == ["a"]


def test_an_item_that_is_not_there_is_told_as_json_too(ctl: Ctl) -> None:
    ctl("put", "jobs", "a")
    done = ctl("drop", "jobs", 1, 2, "--yes", "--json")
    assert done.status == 3
    assert done.objects() == [
        {"queue": "jobs", "id": 1, "dropped": True},
        {"queue": "jobs", "id": 2, "dropped": False},
    ]
