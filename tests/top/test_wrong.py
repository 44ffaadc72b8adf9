"""What is wrong with a queue or the server."""

from starling_py.top.course import History
from starling_py.top.snapshot import take_snapshot
from starling_py.top.wrong import alerts, marks, membership
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


def marked(history: History, taken: float, uptime: int = 3600, **counters: int) -> tuple[str, ...]:
    found = snapshot(taken, {"uptime": uptime}, q={"total_items": 0, **counters})
    history.note({}, found.queues, taken)
    return marks(b"q", found, history)


def test_a_queue_is_stuck_whose_items_nobody_takes_for_a_minute() -> None:
    old = {"items": 1, "age": 60_000}
    assert marked(History(), 0, **old, last_get=60_000) == ("stuck",)
    assert marked(History(), 0, **old, last_get=59_999) == ()
    assert marked(History(), 0, **old, last_get=60_000, delayed=1) == ()
    assert marked(History(), 0, items=1, age=59_999, last_get=60_000) == ()
    assert marked(History(), 0, **old) == (), "an older server does not tell"


def test_a_queue_is_not_stuck_because_the_server_has_just_started() -> None:
    stats = {b"queue_q_items": b"1", b"queue_q_age": b"90000", b"queue_q_last_get": b"-1"}
    for uptime, expected in ((b"59", ()), (b"60", ("stuck",))):
        found = take_snapshot({**stats, b"uptime": uptime}, 0)
        assert marks(b"q", found, History()) == expected


def test_a_queue_grows_and_its_items_die_within_the_last_minute() -> None:
    history = History()
    assert marked(history, 0, items=100) == ()
    assert marked(history, 30, items=109) == ()
    assert marked(history, 59, items=110, dead_lettered=1) == ("dying", "growing")
    assert marked(history, 180, items=110, dead_lettered=1) == ()


def test_marks_come_with_the_worst_first() -> None:
    wrong = {"items": 1, "journal_broken": 1, "paused": 1, "full": 1}
    assert marked(History(), 0, **wrong) == ("broken", "full", "paused")


def test_an_owner_tells_its_place_and_whether_another_server_is_ready() -> None:
    told = {
        b"replica_role": b"owner",
        b"replica_last_takeover": b"940",
        b"replica_lag": b"3",
        b"replica_standbys": b"10.0.0.2:22122,10.0.0.3:22122",
        b"time": b"1000",
    }
    found = take_snapshot(told, 0.0)
    assert alerts(found) == []
    assert membership(found) == ["owner for 1m 0s, 2 ready to take over, lag 3"]
    for nobody in (b"", b"-"):
        found = take_snapshot(told | {b"replica_standbys": nobody}, 0.0)
        assert alerts(found) == ["no other server is ready to take over"]
        assert membership(found) == ["owner for 1m 0s, 0 ready to take over, lag 3"]
    assert membership(take_snapshot({b"version": b"1"}, 0.0)) == []
