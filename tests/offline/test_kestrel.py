"""Kestrel's spool: what it would have served after a start is what is read."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.offline.old_spool import OldItem
from tests.offline.kestrel_writer import (
    ADDED_MS,
    OPEN_NEXT,
    REMOVE,
    abort,
    add,
    add_open,
    confirm,
    data_of,
    go_on,
    number,
    old_add,
    only_queue,
    open_read,
    read,
    save_counter,
)
from tests.offline.old_files import NOW_MS, check_unread, lengths, queues_in, whole


def test_an_item_is_read_with_its_times(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, add(b"a", 5, 7) + add(b"\0\r\n", -1, 0) + add(b""))
    assert list(queue.items) == [
        OldItem(b"a", added_ms=5, expiry_ms=7, flags=0),
        OldItem(b"\0\r\n", added_ms=-1, expiry_ms=0),
        OldItem(b"", added_ms=ADDED_MS, expiry_ms=0),
    ]
    assert queue.problems == []


def test_an_old_item_counts_as_put_now_and_its_expiry_is_in_seconds(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, old_add(b"a", 1_290_000_000) + old_add(b"b") + old_add(b"c", -1))
    assert list(queue.items) == [
        OldItem(b"a", NOW_MS, 1_290_000_000_000),
        OldItem(b"b", NOW_MS, 0),
        OldItem(b"c", NOW_MS, -1000),
    ]


@pytest.mark.parametrize(
    ("records", "left"),
    [
        ([REMOVE], [b"b", b"c"]),
        ([REMOVE, REMOVE, REMOVE], []),
        ([open_read(7)], [b"a", b"b", b"c"]),
        ([open_read(7), confirm(7)], [b"b", b"c"]),
        ([open_read(7), abort(7)], [b"a", b"b", b"c"]),
        ([open_read(7), abort(7), REMOVE], [b"b", b"c"]),
        ([open_read(7), REMOVE], [b"a", b"c"]),
        ([open_read(7), open_read(8), confirm(7)], [b"b", b"c"]),
        ([open_read(7), open_read(8), confirm(8)], [b"a", b"c"]),
        ([open_read(7), open_read(8), REMOVE], [b"a", b"b"]),
        ([open_read(7), open_read(8), abort(7), REMOVE], [b"b", b"c"]),
        ([open_read(7), go_on(7, b"d")], [b"b", b"c", b"d"]),
        ([OPEN_NEXT, OPEN_NEXT, confirm(2)], [b"a", b"c"]),
        ([save_counter(40), OPEN_NEXT, OPEN_NEXT, confirm(41)], [b"b", b"c"]),
        ([open_read(1), save_counter(0), OPEN_NEXT, confirm(2)], [b"a", b"c"]),
        ([save_counter(2**31 - 1), OPEN_NEXT, confirm(-(2**31))], [b"b", b"c"]),
        ([save_counter(-1), OPEN_NEXT, confirm(1)], [b"b", b"c"]),
    ],
)
def test_removals_and_open_reads_leave_what_kestrel_would_serve(
    records: list[bytes], left: list[bytes], tmp_path: Path
) -> None:
    queue = only_queue(tmp_path, add(b"a") + add(b"b") + add(b"c") + b"".join(records))
    assert data_of(queue) == left
    assert queue.problems == []


def test_an_item_carried_over_while_open_is_confirmed_by_its_own_number(
    tmp_path: Path,
) -> None:
    rewritten = add_open(7, b"a") + OPEN_NEXT + add_open(3, b"b") + OPEN_NEXT + save_counter(7)
    queue = only_queue(tmp_path, rewritten + add(b"c") + OPEN_NEXT + confirm(7) + confirm(8))
    assert data_of(queue) == [b"b"]
    assert queue.problems == []


def test_open_reads_of_a_rewritten_file_come_back_oldest_first(tmp_path: Path) -> None:
    # A rewrite lists them from the newest to the oldest.
    rewritten = add(b"b") + open_read(8) + add(b"a") + open_read(7) + add(b"c")
    assert data_of(only_queue(tmp_path, rewritten)) == [b"a", b"b", b"c"]


def test_an_item_whose_number_is_used_again_is_not_lost(tmp_path: Path) -> None:
    records = add(b"a") + add(b"b") + add(b"c") + open_read(7) + open_read(7)
    assert data_of(only_queue(tmp_path, records)) == [b"a", b"b", b"c"]


def test_records_about_missing_items_are_ignored_and_reported_together(
    tmp_path: Path,
) -> None:
    records = [REMOVE, OPEN_NEXT, open_read(7), confirm(7), abort(8), go_on(9, b"a")]
    queue = only_queue(tmp_path, add(b"x") + REMOVE + b"".join(records))
    assert data_of(queue) == [b"a"]
    (problem,) = queue.problems
    assert problem.offset == len(add(b"x") + REMOVE)
    assert problem.what.startswith(f"{len(records)} removals")


@attrs.define
class Model:
    """Kestrel's queue in memory, and the journal it writes."""

    queue: deque[bytes] = attrs.field(factory=deque)
    open: dict[int, bytes] = attrs.field(factory=dict)
    last: int = 0
    put: int = 0
    journal: list[bytes] = attrs.field(factory=list)

    def add(self, _: int) -> None:
        self.put += 1
        self.queue.append(b"%d" % self.put)
        self.journal.append(add(self.queue[-1]))

    def remove(self, _: int) -> None:
        if self.queue:
            self.queue.popleft()
            self.journal.append(REMOVE)

    def open_next(self, _: int) -> None:
        if self.queue:
            self.last += 1
            self.open[self.last] = self.queue.popleft()
            self.journal.append(open_read(self.last))

    def confirm(self, which: int) -> None:
        if self.open:
            xid = list(self.open)[which % len(self.open)]
            del self.open[xid]
            self.journal.append(confirm(xid))

    def abort(self, which: int) -> None:
        if self.open:
            xid = list(self.open)[which % len(self.open)]
            self.queue.appendleft(self.open.pop(xid))
            self.journal.append(abort(xid))

    def go_on(self, which: int) -> None:
        if self.open:
            xid = list(self.open)[which % len(self.open)]
            del self.open[xid]
            self.put += 1
            self.queue.append(b"%d" % self.put)
            self.journal.append(go_on(xid, self.queue[-1]))

    def rewrite(self, _: int) -> None:
        """Write a new journal from what is there, the newest open read first."""
        self.journal.clear()
        for xid in sorted(self.open, reverse=True):
            self.journal += [add(self.open[xid]), open_read(xid)]
        self.journal += [add(each) for each in self.queue]

    def after_a_start(self) -> list[bytes]:
        return [self.open[xid] for xid in sorted(self.open)] + list(self.queue)


STEPS: list[Callable[[Model, int], None]] = [
    Model.add,
    Model.add,
    Model.open_next,
    Model.remove,
    Model.confirm,
    Model.abort,
    Model.go_on,
    Model.rewrite,
]


@given(
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=3),
)
def test_any_operations_in_any_files_leave_what_the_model_holds(
    steps: list[tuple[Callable[[Model, int], None], int]],
    cuts: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    model = Model()
    for step, which in steps:
        step(model, which)
    bounds = [0, *sorted(min(cut, len(model.journal)) for cut in cuts), len(model.journal)]
    files = [b"".join(model.journal[bounds[i] : bounds[i + 1]]) for i in range(len(bounds) - 1)]
    archives = {f"_{90 + 10 * i}": content for i, content in enumerate(files[:-1])}
    queue = only_queue(tmp_path_factory.mktemp("spool"), files[-1], **archives)
    assert data_of(queue) == model.after_a_start()
    assert queue.problems == []
    assert data_of(queue) == model.after_a_start()


JOURNAL = [
    old_add(b"one", 5),
    add(b"two"),
    open_read(7),
    add_open(9, b"three"),
    REMOVE,
    abort(7),
    save_counter(8),
    OPEN_NEXT,
    go_on(9, b"\x01\0" * 9),
    open_read(10),
    confirm(10),
]


@pytest.mark.parametrize("length", lengths(JOURNAL))
def test_a_cut_kestrel_journal_is_read_up_to_its_last_whole_record(
    length: int, tmp_path: Path
) -> None:
    left = b"".join(whole(JOURNAL, length))
    end = len(left)
    expected = only_queue(tmp_path / "whole", left)
    queue = only_queue(tmp_path / "cut", b"".join(JOURNAL)[:length])
    assert list(queue.items) == list(expected.items)
    torn = [each for each in queue.problems if "cut short" in each.what]
    assert len(queue.problems) - len(torn) == len(expected.problems)
    assert [each.offset for each in torn] == ([end] if end < length else [])
    assert all(f"{length - end} bytes" in each.done for each in torn)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (b"\x0a", "byte 0x0a begins no record"),
        (bytes(50), "size that cannot be: 0"),
        (b"\x02" + number(15) + bytes(40), "size that cannot be: 15"),
        (b"\x02" + number(-1) + bytes(40), "size that cannot be: -1"),
        (b"\x02" + number(2**31 - 1) + bytes(40), "size that cannot be: 2147483647"),
        (b"\x08" + number(7) + number(3) + bytes(40), "size that cannot be: 3"),
        (b"\x02" + number(10**9) + bytes(40), "cut short"),
    ],
)
def test_damage_ends_a_kestrel_journal_and_is_told_with_what_was_unread(
    damage: bytes, what: str, tmp_path: Path
) -> None:
    sound = add(b"a") + add(b"b") + REMOVE
    unread = damage + add(b"behind") + REMOVE
    queue = only_queue(tmp_path, sound + unread)
    assert data_of(queue) == [b"b"]
    check_unread(queue, tmp_path / "jobs", len(sound), len(unread), what)


def test_damage_in_an_older_file_does_not_keep_the_others_from_being_read(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, add(b"c"), _5=add(b"a") + b"\xff", _6=add(b"b"))
    assert data_of(queue) == [b"a", b"b", b"c"]
    (problem,) = queue.problems
    assert (problem.path, problem.offset) == (tmp_path / "jobs.5", len(add(b"a")))
    assert "may come twice or be missing" in problem.done


@given(content=st.binary(max_size=300), archive=st.binary(max_size=300))
def test_garbage_is_read_as_a_kestrel_journal_without_an_error(
    content: bytes, archive: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    queue = only_queue(tmp_path_factory.mktemp("spool"), content, _5=archive)
    data_of(queue)


def test_a_file_that_goes_is_reported_and_the_others_are_read(
    tmp_path: Path,
) -> None:
    spool = read(tmp_path, {"jobs": add(b"b"), "jobs.5": add(b"a")})
    (tmp_path / "jobs.5").unlink()
    (queue,) = queues_in(spool)
    assert data_of(queue) == [b"b"]
    (problem,) = queue.problems
    assert ("cannot be opened" in problem.what, problem.done) == (True, "nothing of it was read")


@pytest.mark.parametrize("records", [b"", open_read(1)], ids=["waiting", "open"])
def test_a_kestrel_file_that_shrinks_between_two_readings_is_reported(
    records: bytes, tmp_path: Path
) -> None:
    queue = only_queue(tmp_path, add(b"a") + add(b"b") + records)
    (tmp_path / "jobs").write_bytes(add(b"a"))
    assert [each.data for each in queue.items] in ([b"a"], [])
    assert queue.problems


def test_kestrels_files_are_left_as_they_were(tmp_path: Path) -> None:
    files = {"jobs": add(b"a") + b"\xff", "jobs.5": add(b"b"), "jobs.5.pack": b"", "jobs~~4": b""}
    for queue in queues_in(read(tmp_path, files)):
        list(queue.items)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == files
