"""The live screen: what it shows, its keys and clicks, and every size of window."""

from collections.abc import Iterator

import pytest
import urwid
from hypothesis import given
from hypothesis import strategies as st

from starling_py.top import cells
from starling_py.top.detail import Detail, Holder, Item
from starling_py.top.monitor import Monitor
from starling_py.top.rows import COLUMNS
from starling_py.top.snapshot import Snapshot, take_snapshot
from starling_py.top.terminal import canvas
from tests.top.parts import changed

SERVER = {
    b"pid": b"7",
    b"version": b"1.2.3",
    b"curr_connections": b"2",
    b"max_connections": b"4096",
    b"curr_items": b"28738",
    b"bytes": b"3145728",
}
KEYS = [
    *"<>rR123456789xQ?/pmboFDdqyn",
    *["up", "down", "page up", "page down", "home", "end", "left", "enter", "esc", "backspace"],
]


@pytest.fixture(autouse=True)
def utf8() -> Iterator[None]:
    before = urwid.util.get_encoding()
    urwid.set_encoding("utf-8")
    yield
    urwid.set_encoding(before)


def snapshot(taken: float, uptime: int, queues: dict[bytes, int]) -> Snapshot:
    stats = {**SERVER, b"uptime": b"%d" % uptime}
    for name, items in queues.items():
        stats[b"queue_" + name + b"_items"] = b"%d" % items
        stats[b"queue_" + name + b"_total_items"] = b"%d" % (items * uptime)
    return take_snapshot(stats, taken)


def ailing(server: dict[bytes, bytes], broken: bytes) -> Snapshot:
    stats = {**SERVER, **server}
    for name in (b"jobs", b"mail"):
        stats[b"queue_" + name + b"_items"] = b"1"
        stats[b"queue_" + name + b"_journal_broken"] = b"%d" % (name == broken)
    return take_snapshot(stats, 0)


def screen(monitor: Monitor, width: int = 80, height: int = 24) -> list[str]:
    return ["".join(text for _, text in line) for line in monitor.lines(width, height)]


def monitor_of(queues: dict[bytes, int]) -> Monitor:
    monitor = Monitor("host:1")
    monitor.show(snapshot(0, 10, queues), "12:00:00")
    return monitor


def first_cells(monitor: Monitor, height: int = 24) -> list[str]:
    return [line.split()[0] for line in screen(monitor, 80, height)[3:-2] if line.strip()]


def press(monitor: Monitor, *keys: str) -> None:
    for key in keys:
        assert monitor.press(key), key


def test_the_screen_holds_server_queues_total_and_keys() -> None:
    lines = screen(monitor_of({b"jobs": 5, b"mail": 3}))
    assert lines[0].split() == ["host:1", "up", "10s", "version", "1.2.3"]
    assert lines[2].split() == [
        *["QUEUE", "STATE", "▼ITEMS", "OPEN", "PUT/S", "GET/S", "AGE", "WAITERS", "BYTES"]
    ]
    assert lines[3].split() == ["jobs", "5", *"------"]
    assert lines[-2].split() == ["2", "queues", "8", *"------"]
    assert "q quit" in lines[-1]


def test_the_second_snapshot_shows_rates() -> None:
    monitor = monitor_of({b"jobs": 5})
    monitor.show(snapshot(2, 12, {b"jobs": 5}), "12:00:02")
    assert screen(monitor)[3].split()[:5] == ["jobs", "5", "-", "5.0", "5.0"]


@given(st.integers(1, 200))
def test_each_field_of_the_header_is_whole_or_not_there(width: int) -> None:
    monitor = monitor_of({b"jobs": 28738})
    whole = [screen(monitor, 300)[place].strip().split("   ") for place in (0, 1)]
    for place, line in enumerate(screen(monitor, width)[:2]):
        fields = line.strip().split("   ") if line.strip() else []
        if width > 8:
            assert fields == whole[place][: len(fields)]
    for line in screen(monitor, width)[-2:-1]:
        assert set(line.split()) <= {"1", "queue", "28738", "-"}


@given(st.integers(1, 200), st.integers(0, 10**12))
def test_each_number_of_a_row_is_whole_or_not_there(width: int, items: int) -> None:
    monitor = monitor_of({b"jobs": items})
    row = screen(monitor, width)[3].removeprefix("jobs").split()
    shown = screen(monitor, 200)[3].split()
    assert set(row) <= {*shown, *"jobs", "jo", "job", "ob", "j…s"}


def test_a_banner_says_what_is_wrong_as_long_as_it_is() -> None:
    monitor = Monitor("host:1")
    monitor.show(ailing({b"disk_full": b"1", b"accepting_conns": b"0"}, b"mail"), "12:00:00")
    assert screen(monitor, 75, 10)[2].strip().split("   ") == [
        "disk full",
        "draining: no puts are accepted",
        "journal broken: mail",
    ]
    monitor.show_error("timed out", "12:00:01")
    assert "DOWN" in screen(monitor)[2]
    monitor.show(ailing({b"accepting_conns": b"0"}, b""), "12:00:02")
    assert screen(monitor)[2].split()[0] == "draining:"
    monitor.show(ailing({b"accepting_conns": b"1"}, b""), "12:00:03")
    assert screen(monitor)[2].startswith("QUEUE")


def test_a_queue_whose_journal_is_broken_stands_out() -> None:
    monitor = Monitor("host:1", COLUMNS[0])
    monitor.show(ailing({}, b"mail"), "12:00:00")
    lines = monitor.lines(80, 24)
    assert [{look for look, _ in line} for line in lines[4:6]] == [{"cursor"}, {"broken"}]
    assert screen(monitor)[5].split()[:2] == ["mail", "broken"]


def test_a_server_that_is_down_gets_a_banner_that_says_since_when() -> None:
    monitor = monitor_of({b"jobs": 5})
    monitor.show_error("Connection refused", "12:00:01")
    monitor.show_error("timed out: at last", "12:00:09")
    monitor.show_error("timed out", "12:00:12")
    lines = screen(monitor, 40, 10)
    assert "DOWN since 12:00:01: timed out" in lines[2]
    assert lines[4].split()[0] == "jobs"
    monitor.show(snapshot(3, 13, {b"jobs": 5}), "12:00:10")
    assert not any("DOWN" in line for line in screen(monitor))


def test_a_restart_is_told_and_its_interval_has_no_rates() -> None:
    monitor = monitor_of({b"jobs": 5})
    monitor.show(snapshot(2, 1, {b"jobs": 5}), "12:00:02")
    lines = screen(monitor)
    assert "restarted at 12:00:02" in lines[0]
    assert lines[3].split()[:5] == ["jobs", "5", *"---"]


def test_keys_and_clicks_change_the_order() -> None:
    monitor = monitor_of({b"a": 1, b"b": 3, b"c": 2})
    assert first_cells(monitor) == ["b", "c", "a"]
    press(monitor, "r")
    assert first_cells(monitor) == ["a", "c", "b"]
    press(monitor, "<", "<")
    assert (monitor.sort.key, first_cells(monitor)) == ("queue", ["a", "b", "c"])
    press(monitor, "<")
    assert monitor.sort.key == COLUMNS[-1].key
    press(monitor, ">")
    assert monitor.sort.key == "queue"
    press(monitor, "3")
    assert first_cells(monitor) == ["b", "c", "a"]
    press(monitor, "3")
    assert first_cells(monitor) == ["a", "c", "b"]
    monitor.click(3, 2)
    assert (monitor.sort.key, first_cells(monitor)) == ("queue", ["a", "b", "c"])
    assert screen(monitor)[2].startswith("QUEUE ▲")


def test_a_key_without_a_meaning_is_not_taken() -> None:
    assert not any(monitor_of({}).press(key) for key in ["x", "0", "f1", "²"])


def at_cursor(monitor: Monitor, height: int = 24) -> str:
    lines = monitor.lines(80, height)
    (line,) = ["".join(text for _, text in line) for line in lines if line[0][0] == "cursor"]
    return line.split()[0]


def test_the_cursor_stays_on_its_queue_however_the_table_is_sorted() -> None:
    queues = {b"q%02d" % number: 99 - number for number in range(50)}
    monitor = monitor_of(queues)
    assert at_cursor(monitor) == "q00"
    press(monitor, "down", "down", "page down")
    chosen = at_cursor(monitor)
    assert chosen > "q10"
    press(monitor, "r")
    assert at_cursor(monitor) == chosen
    monitor.show(snapshot(1, 11, {**queues, chosen.encode(): 1000}), "12:00:01")
    press(monitor, "r")
    assert at_cursor(monitor) == chosen == first_cells(monitor)[0]
    monitor.show(snapshot(2, 12, {b"one": 1}), "12:00:02")
    assert at_cursor(monitor) == "one"
    monitor.show(snapshot(3, 13, {}), "12:00:03")
    assert first_cells(monitor, 15) == []


def test_a_click_on_a_row_chooses_it() -> None:
    monitor = monitor_of({b"a": 1, b"b": 3, b"c": 2})
    screen(monitor)
    monitor.click(0, 5)
    assert at_cursor(monitor) == "a"


def test_a_filter_leaves_the_queues_with_that_text_or_mark() -> None:
    monitor = monitor_of({b"jobs.in": 1, b"JOBS.out": 3, b"mail": 2})
    press(monitor, "/", *"jobs")
    assert screen(monitor)[2].split() == ["/jobs_", "2", "of", "3", "queues"]
    assert [line.split()[0] for line in screen(monitor)[4:6]] == ["JOBS.out", "jobs.in"]
    press(monitor, "backspace", "enter")
    assert screen(monitor)[-2].split()[:3] == ["2", "queues", "4"]
    press(monitor, "esc")
    assert first_cells(monitor) == ["JOBS.out", "mail", "jobs.in"]
    press(monitor, "/", *"nothing")
    assert screen(monitor)[-2].split()[:2] == ["0", "queues"]


def test_a_name_too_long_loses_its_middle_whatever_its_characters_are() -> None:
    monitor = monitor_of({b"x" * 249 + b"1": 1, "日".encode() * 80: 1, b"\xff\x1b[2J": 1})
    names = [cells.begin(line, 19).rstrip() for line in screen(monitor, 80)[3:6]]
    assert sorted(names) == [r"\xff\x1b[2J", "xxxxxxxxx…xxxxxxxx1", "日日日日 … 日日日日"]
    assert all(cells.width(line) == 80 for line in screen(monitor, 80))


def test_a_terminal_without_unicode_gets_marks_in_ascii() -> None:
    urwid.set_encoding("ascii")
    monitor = monitor_of({b"a" * 40: 1})
    assert "vITEMS" in screen(monitor)[2]
    assert "~" in screen(monitor)[3]


def test_before_the_first_snapshot_there_is_a_screen_too() -> None:
    monitor = Monitor("host:1", COLUMNS[6], reverse=True)
    assert "▲AGE" in screen(monitor)[2]


def test_nothing_is_done_to_a_queue_before_it_was_agreed_to() -> None:
    monitor = monitor_of({b"jobs": 5})
    for key in "pmoFD":
        press(monitor, key, "x")
        monitor.press("esc")
        assert monitor.command is None
    press(monitor, "p")
    assert "Pause jobs?" in screen(monitor)[-1]
    press(monitor, "y")
    assert monitor.command == b"pause jobs"
    monitor.show_message("pause jobs: OK")
    assert screen(monitor)[-1].strip() == "pause jobs: OK"
    press(monitor, "down")
    assert "q quit" in screen(monitor)[-1]


@pytest.mark.parametrize(("key", "command"), [("F", b"flush jobs"), ("D", b"delete jobs")])
def test_what_cannot_be_undone_needs_the_name_typed(key: str, command: bytes) -> None:
    monitor = monitor_of({b"jobs": 5})
    press(monitor, key, *"job", "enter")
    assert monitor.command is None
    press(monitor, key, *"jobsx", "backspace", "enter")
    assert monitor.command == command


def test_a_name_that_nobody_can_type_is_agreed_to_with_a_word() -> None:
    monitor = monitor_of({"日本".encode(): 5})
    press(monitor, "F")
    assert "Type yes" in screen(monitor)[-1]
    press(monitor, *"yes", "enter")
    assert monitor.command == b"flush " + "日本".encode()


@pytest.mark.parametrize(
    ("typed", "command"),
    [("other", b"move jobs other"), ("other 5", b"move jobs other 5"), ("a b", None), ("", None)],
)
def test_a_move_asks_where_to_and_then_whether(typed: str, command: bytes | None) -> None:
    monitor = monitor_of({b"jobs": 5})
    press(monitor, "m", *typed, "enter")
    assert monitor.command is None
    if command is not None:
        press(monitor, "y")
    assert monitor.command == command


def item(number: int, state: str = "waiting") -> Item:
    return Item(number, 5, 0, 1000, state, 0, 0, 1, "-", "-")


DETAIL = Detail(
    b"jobs",
    items=(item(1, "open"), item(2, "open"), item(3), item(4)),
    holders={1: Holder("h", "-", 5.0), 2: Holder("h", "-", None)},
    dead_letter=b"dead",
    data={3: b"\x1b[31mred\xff", 4: "日本".encode()},
)


def looked_into(detail: Detail) -> Monitor:
    monitor = monitor_of({b"jobs": 5})
    press(monitor, "enter")
    monitor.show_detail(detail)
    screen(monitor)
    return monitor


def choose(monitor: Monitor, start: str) -> None:
    for _ in range(30):
        line = [each for each in monitor.lines(80, 24) if each[0][0] == "cursor"]
        if line and line[0][0][1].startswith(start):
            return
        press(monitor, "down")
    raise AssertionError(f"{start} cannot be chosen")


def test_one_queue_is_shown_in_depth_with_its_data_made_harmless() -> None:
    text = "\n".join(screen(looked_into(DETAIL)))
    assert "lease 5.0s" in text
    assert "no lease" in text
    assert "0x 1b 5b" in text
    assert "日本" in text
    assert "DEAD LETTERS in dead" in text


def test_only_what_can_be_dropped_or_buried_begins_a_question() -> None:
    monitor = looked_into(DETAIL)
    choose(monitor, " 1 ")
    press(monitor, "d")
    assert "only what waits" in screen(monitor)[-1]
    press(monitor, "b", "y")
    assert monitor.command == b"get jobs/bury=1"
    choose(monitor, " 2 ")
    press(monitor, "b")
    assert "without a lease" in screen(monitor)[-1]
    choose(monitor, " 3 ")
    press(monitor, "b", "y")
    assert monitor.command == b"move jobs dead 1"
    choose(monitor, " 4 ")
    press(monitor, "b")
    assert "only the oldest" in screen(monitor)[-1]
    press(monitor, "d", "y")
    assert monitor.command == b"drop jobs 4"
    press(monitor, "esc")
    assert monitor.looked_at is None


def test_the_answer_about_another_queue_is_not_shown() -> None:
    monitor = looked_into(DETAIL)
    press(monitor, "esc")
    monitor.show_detail(DETAIL)
    assert monitor.detail is None


def test_a_queue_that_goes_while_it_is_looked_at_is_told() -> None:
    monitor = looked_into(DETAIL)
    monitor.show(snapshot(1, 11, {}), "12:00:01")
    assert "does not exist any more" in screen(monitor)[2]


def test_what_was_told_of_changes_shows_with_its_rates_and_age() -> None:
    first = changed(None, 0, jobs={"items": 5, "total_items": 5, "get_hits": 0, "age": 1000})
    second = changed(first, 2, jobs={"items": 7, "total_items": 9, "get_hits": 2, "age": 3000})
    third = changed(second, 4)
    monitor = Monitor("host:1")
    monitor.show(first, "12:00:00")
    monitor.show(second, "12:00:02")
    assert screen(monitor)[3].split()[3:6] == ["2.0", "1.0", "3.0s"]
    monitor.show(third, "12:00:04")
    assert screen(monitor)[3].split()[3:6] == ["0", "0", "5.0s"]


@given(
    st.lists(
        st.one_of(
            st.sampled_from(KEYS),
            st.tuples(st.integers(1, 250), st.integers(1, 60)),
            st.dictionaries(st.binary(min_size=1, max_size=250), st.integers(0, 10**19)),
            st.just(None),
        ),
        max_size=30,
    )
)
def test_no_window_size_key_or_reply_breaks_the_screen(
    steps: list[str | tuple[int, int] | dict[bytes, int] | None],
) -> None:
    monitor = Monitor("host:1")
    size = (80, 24)
    for time, step in enumerate(steps):
        if isinstance(step, str):
            monitor.press(step)
            if monitor.looked_at is not None:
                monitor.show_detail(Detail(monitor.looked_at, items=DETAIL.items))
        elif isinstance(step, tuple):
            size = step
        elif step is None:
            monitor.show_error("timed out", "12:00:00")
        else:
            monitor.show(snapshot(time, time, step), "12:00:00")
        drawn = canvas(monitor.lines(*size), size[0])
        assert (drawn.cols(), drawn.rows()) == size
        assert all(cells.width(line) == size[0] for line in screen(monitor, *size))
