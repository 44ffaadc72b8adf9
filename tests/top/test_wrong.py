"""What is wrong with a queue or the server."""

from starling_py.top.snapshot import take_snapshot
from starling_py.top.wrong import alerts
from tests.top.parts import BY_KEY, only_row, snapshot


def test_what_an_older_server_does_not_tell_is_unknown_and_no_alert() -> None:
    current = snapshot(0, {"curr_items": 1}, q={"items": 1, "total_items": 1, "age": 7})
    row = only_row(None, current)
    assert (row.age, row.open, row.delayed, row.is_broken) == (7, None, None, False)
    assert [BY_KEY[key].text(row) for key in ("open", "delayed", "bytes", "expired")] == ["-"] * 4
    assert alerts(current) == []


def test_alerts_say_what_is_wrong_and_which_queues_are_broken() -> None:
    sound, broken = {"items": 1, "journal_broken": 0}, {"items": 1, "journal_broken": 1}
    well = {"disk_full": 0, "accepting_conns": 1}
    assert alerts(snapshot(0, well, a=sound, b=sound)) == []
    assert alerts(snapshot(0, well, a=sound, b=broken)) == ["journal broken: b"]
    assert alerts(snapshot(0, {"disk_full": 1, "accepting_conns": 0}, b=broken, a=broken)) == [
        "disk full",
        "draining: no puts are accepted",
        "2 journals broken: a, b",
    ]


def test_an_alert_names_a_queue_in_printable_characters() -> None:
    stats = {b"queue_\x1b_items": b"1", b"queue_\x1b_journal_broken": b"1"}
    assert alerts(take_snapshot(stats, 0)) == [r"journal broken: \x1b"]


def test_a_server_of_a_group_tells_what_it_is() -> None:
    told = {b"replica_role": b"follower", b"replica_owner": b"a:1", b"replica_lag": b"3"}
    follower = take_snapshot({**told, b"accepting_conns": b"0"}, 0)
    assert alerts(follower) == ["follows a:1, 3 messages behind"]
    assert alerts(snapshot(0, {"replica_silent_ms": 2500})) == ["the cluster is silent for 2 s"]
