"""The view, rendered to canvases: what it shows, its keys, and every size of window."""

from collections.abc import Iterator

import pytest
import urwid
from hypothesis import given
from hypothesis import strategies as st

from starling_py.top.model import COLUMNS, Snapshot, take_snapshot
from starling_py.top.view import TopView

SERVER = {b"pid": b"7", b"version": b"1.2.3", b"curr_connections": b"2"}
KEYS = [*"<>rR123456789xQ", "up", "down", "page up", "page down", "home", "end", "left", "enter"]


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


def screen(view: TopView, columns: int = 80, rows: int = 24) -> list[str]:
    canvas = view.widget.render((columns, rows), focus=True)
    return [line.decode() for line in canvas.text]


def view_of(queues: dict[bytes, int]) -> TopView:
    view = TopView("host:1")
    view.show(snapshot(0, 10, queues), "12:00:00")
    return view


def first_cells(view: TopView, rows: int = 24) -> list[str]:
    return [line.split()[0] for line in screen(view, 80, rows)[3:-2] if line.strip()]


def test_the_screen_holds_server_queues_total_and_keys() -> None:
    lines = screen(view_of({b"jobs": 5, b"mail": 3}))
    assert lines[0].split() == ["host:1", "up", "10s", "version", "1.2.3"]
    assert lines[2].split() == [
        "QUEUE",
        "▼ITEMS",
        "OPEN",
        "WAITERS",
        "PUT/S",
        "GET/S",
        "AGE",
        "BYTES",
        "DELAYED",
        "LOG",
    ]
    assert lines[3].split() == ["jobs", "5", *"--------"]
    assert lines[-2].split() == ["2", "queues", "8", *"--------"]
    assert "q quit" in lines[-1]


def test_the_second_snapshot_shows_rates() -> None:
    view = view_of({b"jobs": 5})
    view.show(snapshot(2, 12, {b"jobs": 5}), "12:00:02")
    assert screen(view)[3].split()[:6] == ["jobs", "5", "-", "-", "5.0", "5.0"]


def test_what_is_open_or_delayed_has_its_column() -> None:
    view = TopView("host:1")
    stats = {b"items": b"3", b"open_transactions": b"2", b"delayed": b"1", b"bytes": b"2048"}
    jobs = {b"queue_jobs_" + key: value for key, value in stats.items()}
    view.show(take_snapshot(SERVER | jobs, 0), "12:00:00")
    assert screen(view)[3].split() == ["jobs", "3", "2", "-", "-", "-", "-", "2.0K", "1", "-"]


def test_a_banner_says_what_is_wrong_as_long_as_it_is() -> None:
    view = TopView("host:1")
    view.show(ailing({b"disk_full": b"1", b"accepting_conns": b"0"}, b"mail"), "12:00:00")
    assert screen(view, 50, 10)[2].split("   ")[:3] == [
        " disk full",
        "draining",
        "journal broken: mail",
    ]
    view.show_error("timed out", "12:00:01")
    assert "DOWN" in screen(view)[2]
    view.show(ailing({b"accepting_conns": b"0"}, b""), "12:00:02")
    assert screen(view)[2].split() == ["draining"]
    view.show(ailing({b"accepting_conns": b"1"}, b""), "12:00:03")
    assert screen(view)[2].startswith("QUEUE")


def test_a_queue_whose_journal_is_broken_stands_out() -> None:
    view = TopView("host:1")
    view.show(ailing({}, b"mail"), "12:00:00")
    canvas = view.widget.render((80, 24), focus=True)
    attributes = [{attribute for attribute, _, _ in line} for line in canvas.content()]
    assert [line.split()[0] for line in screen(view)[4:6]] == ["jobs", "mail"]
    assert attributes[4:6] == [{None}, {"broken"}]


def test_a_server_that_is_down_gets_a_banner_that_says_since_when() -> None:
    view = view_of({b"jobs": 5})
    view.show_error("Connection refused", "12:00:01")
    view.show_error("timed out", "12:00:09")
    lines = screen(view, 40, 10)
    assert "DOWN since 12:00:01: timed out" in lines[2]
    assert lines[4].split()[0] == "jobs"
    view.show(snapshot(3, 13, {b"jobs": 5}), "12:00:10")
    assert not any("DOWN" in line for line in screen(view))


def test_a_restart_is_told_and_its_interval_has_no_rates() -> None:
    view = view_of({b"jobs": 5})
    view.show(snapshot(2, 1, {b"jobs": 5}), "12:00:02")
    lines = screen(view)
    assert "restarted at 12:00:02" in lines[0]
    assert lines[3].split()[:6] == ["jobs", "5", *"----"]


def test_keys_and_clicks_change_the_order() -> None:
    view = view_of({b"a": 1, b"b": 3, b"c": 2})
    assert first_cells(view) == ["b", "c", "a"]
    view.press("r")
    assert first_cells(view) == ["a", "c", "b"]
    view.press("<")
    assert (view.sort.key, first_cells(view)) == ("queue", ["a", "b", "c"])
    view.press("<")
    assert view.sort.key == COLUMNS[-1].key
    view.press(">")
    assert view.sort.key == "queue"
    view.press("2")
    assert first_cells(view) == ["b", "c", "a"]
    view.press("2")
    assert first_cells(view) == ["a", "c", "b"]
    view.widget.mouse_event((80, 24), "mouse press", 1, 3, 2, True)
    assert (view.sort.key, first_cells(view)) == ("queue", ["a", "b", "c"])
    assert screen(view)[2].startswith("QUEUE ▲")


def test_a_key_without_a_meaning_is_not_taken() -> None:
    assert not any(view_of({}).press(key) for key in ["x", "0", "f1", "²"])


def test_the_place_scrolled_to_survives_polls_and_exists_when_queues_go() -> None:
    queues = {b"q%02d" % number: 99 - number for number in range(50)}
    view = view_of(queues)
    assert first_cells(view, 15)[0] == "q00"
    view.widget.keypress((80, 15), "page down")
    scrolled = first_cells(view, 15)
    assert scrolled[0] > "q05"
    view.show(snapshot(1, 11, queues), "12:00:01")
    assert first_cells(view, 15) == scrolled
    view.show(snapshot(2, 12, {b"one": 1}), "12:00:02")
    assert first_cells(view, 15) == ["one"]
    view.show(snapshot(3, 13, {}), "12:00:03")
    assert first_cells(view, 15) == []


def test_a_name_too_long_is_cut_and_marked_whatever_its_characters_are() -> None:
    view = view_of({b"x" * 250: 1, "日".encode() * 80: 1, b"\xff\x1b[2J": 1})
    cut = [line.partition("~") for line in screen(view, 80)[3:6]]
    assert sorted(name for name, mark, _ in cut if mark) == ["x" * 17, "日" * 8 + " "]
    assert [name[:12] for name, mark, _ in cut if not mark] == [r"\xff\x1b[2J "]


def test_a_terminal_without_unicode_gets_marks_in_ascii() -> None:
    urwid.set_encoding("ascii")
    view = view_of({b"a": 1})
    assert "vITEMS" in screen(view)[2]


def test_before_the_first_snapshot_there_is_a_screen_too() -> None:
    view = TopView("host:1", COLUMNS[6], reverse=True)
    assert "▲AGE" in screen(view)[2]


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
    view = TopView("host:1")
    size = (80, 24)
    for time, step in enumerate(steps):
        if isinstance(step, str):
            key = view.widget.keypress(size, step)
            if key is not None:
                view.press(key)
        elif isinstance(step, tuple):
            size = step
        elif step is None:
            view.show_error("timed out", "12:00:00")
        else:
            view.show(snapshot(time, time, step), "12:00:00")
        canvas = view.widget.render(size, focus=True)
        assert (canvas.cols(), canvas.rows()) == size
