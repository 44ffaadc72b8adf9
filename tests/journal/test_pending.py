"""What waits for a commit does to the ledger what its records do when they are replayed."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal.disk.background import Chores, Hold
from starling_py.journal.disk.no_files import NoFiles, NoReserve
from starling_py.journal.format import record
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.format.segment import Segment
from starling_py.journal.ledger import Facts, Ledger
from starling_py.journal.pending import Pending
from starling_py.journal.reader import Reader
from starling_py.journal.recorder import Recorder
from starling_py.journal.recovery.replay import Replay, open_segment
from starling_py.journal.syncing import Place
from starling_py.server.core import InlineBackground
from tests.journal.parts import item, ledger_facts, place_on
from tests.journal.simulated_disk import SALT, SimulatedDisk

PATH = "/spool/jobs/0000000000000001.segment"
BEGINNING = place_on(SimulatedDisk()).beginning(1, Ledger(deleted=True), 0)

operations = st.one_of(
    st.tuples(st.just("push"), st.integers(0, 40)),
    st.tuples(st.just("push marked"), st.integers(0, 40)),
    st.tuples(st.sampled_from(["remove", "open", "delay"]), st.integers(0, 20)),
    st.tuples(st.just("flush"), st.integers(0, 63)),
    st.tuples(st.sampled_from(["flush", "delete"]), st.just(0)),
)
commits = st.lists(st.lists(operations, min_size=1, max_size=8), max_size=6)


def push(pending: Pending, what: Item) -> None:
    """Add a put, as a queue does."""
    recorder(pending).push(what)


def remove(pending: Pending, what: Item) -> None:
    """Add a removal, as a queue does."""
    recorder(pending).remove(what)


def recorder(pending: Pending) -> Recorder:
    """Return the recorder of a journal without files that has these records to be written."""
    place = Place(NoFiles(), "/spool/jobs", b"jobs", SALT, syncs=False)
    chores = Chores(InlineBackground(), place.files, nothing, nothing, Hold())
    made = Recorder(NoReserve(), Reader(place, chores), SALT, Ledger(), nothing)
    made.pending = pending
    return made


def nothing() -> None:
    """Take no notice."""


@attrs.define
class Asking:
    """Asks for operations as a queue does: by what is live, written or not."""

    live: dict[int, int] = attrs.field(factory=dict)
    """The sizes of the live items."""

    def ask(self, pending: Pending, do: str, number: int) -> None:
        """Ask for one operation."""
        next_id = pending.pushed_id + 1
        if do == "push":
            push(pending, item(next_id, bytes(number)))
            self.live[next_id] = number
        elif do == "push marked":
            pending.push_marked(
                MarkedItem(next_id, 0, 0, 0, bytes(number), number & 4, number & 2, number & 1 > 0)
            )
            self.live[next_id] = number
        elif do == "flush":
            kept = [(each, size) for each, size in self.live.items() if number >> each % 6 & 1]
            pending.flush(kept, delete=False)
            self.live = dict(kept)
        elif do == "delete":
            pending.flush((), delete=True)
            self.live = {}
        elif self.live:
            item_id = sorted(self.live)[number % len(self.live)]
            if do == "open":
                pending.open(item_id)
            elif do == "delay":
                pending.delay(item_id, number)
            else:
                remove(pending, item(item_id, bytes(self.live.pop(item_id))))


def replayed(data: bytes) -> Ledger:
    """Return the ledger that a segment gives."""
    view = memoryview(data)
    opened = open_segment(PATH, view, 1, None)
    assert opened is not None
    replay = Replay()
    start = replay.begin_segment(opened, view)
    assert start is not None
    assert replay.run(opened, view, start) == len(data)
    return replay.ledger


@given(commits=commits)
def test_the_ledger_is_told_what_a_start_would_read(commits: list[list[tuple[str, int]]]) -> None:
    ledger = Ledger(deleted=True, segments=[Segment(1, PATH, 1, len(BEGINNING))])
    asking = Asking()
    data = BEGINNING
    for commit in commits:
        pending = Pending(SALT, ledger.next_id - 1)
        for do, number in commit:
            asking.ask(pending, do, number)
        data += b"".join(pending.records)
        pending.apply(ledger)
        assert ledger_facts(ledger) == ledger_facts(replayed(data))
        assert ledger.items == len(asking.live)
        assert ledger.bytes == sum(asking.live.values())
        assert {each for each in range(ledger.next_id + 1) if ledger.is_live(each)} == set(
            asking.live
        )


def test_what_is_kept_keeps_what_was_told_of_it_in_the_same_commit() -> None:
    ledger = Ledger(deleted=True, segments=[Segment(1, PATH, 1, 100)])
    pending = Pending(SALT, 0)
    for number in (1, 2, 3):
        push(pending, item(number))
    pending.open(2)
    remove(pending, item(1))
    pending.flush([(2, 4)], delete=False)
    pending.open(2)
    push(pending, item(4))
    pending.apply(ledger)
    assert (ledger.items, ledger.bytes, ledger.next_id, ledger.head) == (2, 8, 5, 2)
    assert list(ledger.removed_ids) == [(3, 4)]
    assert ledger.facts == {2: Facts(2)}


@pytest.mark.parametrize(
    ("todo", "costs"),
    [
        ([], False),
        (["remove"], False),
        (["push"], True),
        (["push", "flush"], False),
        (["push", "delete"], False),
        (["remove", "open"], True),
        (["remove", "delay"], True),
        (["open", "flush"], False),
        (["open", "flush but 1"], True),
        (["flush but 1"], False),
        (["flush but 1 that costs"], True),
        (["give up"], False),
    ],
)
def test_it_is_known_whether_it_takes_more_than_the_room_of_removals(
    todo: list[str], costs: bool
) -> None:
    pending = Pending(SALT, 5)
    for do in todo:
        if do == "push":
            push(pending, item(6))
        elif do == "open":
            pending.open(1)
        elif do == "delay":
            pending.delay(1, 5)
        elif do == "give up":
            pending.give_up(1, 2, 2, 8)
        elif do == "remove":
            remove(pending, item(2))
        elif do.startswith("flush but 1"):
            pending.flush([(1, 4)], delete=False, costs=do.endswith("costs"))
        else:
            pending.flush((), delete=do == "delete")
    assert pending.costs == costs


def test_a_flush_needs_no_more_room_than_removals_unless_it_leaves_most() -> None:
    assert record.flush_size(0) <= record.REMOVE_SIZE
    assert record.flush_size(100) <= 60 * record.REMOVE_SIZE
