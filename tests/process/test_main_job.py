"""The main job: a real log file through a server that is killed with SIGKILL on the way.

Every line that was acknowledged arrives, byte for byte and in the order of its producer, and
exactly once. What may differ is what nobody can know: a line whose reply was lost may come twice,
and an item whose reply was under way at the kill may come not at all (I1 to I5).
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.main_job import Arrival, Received, Report, Sent, check, default_file, run

LINES = default_file().read_bytes().splitlines(keepends=True)


def first_arrivals(report: Report, book: Sent) -> list[bytes]:
    """Return a producer's lines as they arrived, without those that had arrived already."""
    seen: dict[int, bytes] = {}
    for arrival in report.received.arrivals:
        if arrival.producer == book.name:
            seen.setdefault(arrival.number, arrival.line)
    return list(seen.values())


def test_every_line_arrives_exactly_once_when_the_kills_meet_no_get(tmp_path: Path) -> None:
    """A line is repeated only if the reply to it was lost; nothing at all is missing."""
    assert len(LINES) > 2000
    report = run(LINES, tmp_path, kills=5, any_moment=False)
    assert report.problems == []
    assert not report.received.lost_replies
    assert report.lost_in_flight == 0
    for book in report.sent:
        assert first_arrivals(report, book) == book.lines
        arrivals = [each for each in report.received.arrivals if each.producer == book.name]
        times = Counter(each.number for each in arrivals)
        assert {number for number, count in times.items() if count > 1} <= book.unknown.keys()
    repeated = len(report.received.arrivals) - len(LINES)
    assert repeated == report.repeated <= sum(book.unknown.total() for book in report.sent)


def test_at_most_one_item_is_lost_in_flight_when_a_kill_meets_a_get(tmp_path: Path) -> None:
    """Such an item is known by its id, which is skipped just where the reply was lost."""
    report = run(LINES, tmp_path, kills=5, any_moment=True)
    assert report.problems == []
    assert report.lost_in_flight <= report.kills
    missing = 0
    for book in report.sent:
        arrived = first_arrivals(report, book)
        missing += len(book.lines) - len(arrived)
        remaining = iter(book.lines)
        assert all(line in remaining for line in arrived)
    assert missing <= report.lost_in_flight
    assert len(report.received.arrivals) + report.lost_in_flight == report.total_items


# The check itself must find what is wrong, or it would prove nothing.


def kept_books() -> Report:
    """Return books with one reply lost on each side, all in order."""
    sent = [Sent(b"odd", [b"a\n", b"c\n"], 2), Sent(b"even", [b"b\n", b"d"], 2)]
    sent[1].unknown[1] = 1
    arrivals = [
        Arrival(b"odd", 0, b"a\n", 1),
        Arrival(b"even", 0, b"b\n", 2),
        Arrival(b"even", 1, b"d", 4),
        Arrival(b"even", 1, b"d", 5),
    ]
    return Report(sent, Received(arrivals, Counter({2: 1})), kills=1, total_items=5, seconds=0)


def test_the_check_accepts_what_the_lost_replies_explain() -> None:
    report = kept_books()
    check(report)
    assert report.problems == []
    assert (report.repeated, report.lost_in_flight) == (1, 1)


def no_reply_was_lost(report: Report) -> None:
    report.received.lost_replies.clear()


def the_repeated_line_was_answered(report: Report) -> None:
    report.sent[1].unknown.clear()


def the_last_item_never_came(report: Report) -> None:
    report.received.arrivals.pop()


def an_item_was_not_stored_though_answered(report: Report) -> None:
    report.received.arrivals = report.received.arrivals[1:]
    for number, arrival in enumerate(report.received.arrivals, 1):
        arrival.id = number
    report.total_items = 3


def a_line_was_altered(report: Report) -> None:
    report.received.arrivals[0].line = b"A\n"


def a_line_was_invented(report: Report) -> None:
    report.received.arrivals[0].number = 2


def an_item_was_delivered_again(report: Report) -> None:
    report.received.arrivals[3].id = 4


def a_producers_lines_changed_places(report: Report) -> None:
    one, two = report.received.arrivals[1:3]
    one.number, one.line, two.number, two.line = two.number, two.line, one.number, one.line


@pytest.mark.parametrize(
    "wrong",
    [
        no_reply_was_lost,
        the_repeated_line_was_answered,
        the_last_item_never_came,
        an_item_was_not_stored_though_answered,
        a_line_was_altered,
        a_line_was_invented,
        an_item_was_delivered_again,
        a_producers_lines_changed_places,
    ],
)
def test_the_check_finds_that(wrong: Callable[[Report], None]) -> None:
    report = kept_books()
    wrong(report)
    check(report)
    assert report.problems
