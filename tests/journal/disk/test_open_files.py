"""Open files: no more than there may be, closed when idle, and opened again by the next write."""

import attrs

from starling_py.journal.disk.open_files import OpenFiles
from starling_py.journal.journal import Journal
from starling_py.journal.ledger import Ledger
from starling_py.journal.syncing import Place
from tests.journal.parts import item, surroundings, sync
from tests.journal.simulated_disk import SALT, SimulatedDisk
from tests.journal.spool_harness import SPOOL, Harness


@attrs.define(eq=False)
class Holder:
    """Who has a file open."""

    files: OpenFiles
    idle: bool = True
    closed: int = 0
    syncing: bool = False

    def close(self) -> None:
        self.closed += 1
        self.files.closed(self)

    def evict(self) -> bool:
        if self.syncing:
            return False
        self.close()
        return True


def test_those_opened_first_are_closed_when_there_are_too_many() -> None:
    files = OpenFiles(3)
    holders = [Holder(files) for _ in range(5)]
    for each in holders:
        files.opened(each)
        assert len(files) <= 3
    assert [each.closed for each in holders] == [1, 1, 0, 0, 0]


def test_one_that_is_not_idle_is_closed_only_where_there_is_no_other() -> None:
    files = OpenFiles(2)
    busy, idle, new = Holder(files, idle=False), Holder(files), Holder(files)
    for each in (busy, idle, new):
        files.opened(each)
    assert (busy.closed, idle.closed, new.closed) == (0, 1, 0)
    new.idle = False
    newer = Holder(files, idle=False)
    files.opened(newer)
    files.trim()
    assert (busy.closed, new.closed, newer.closed) == (1, 0, 0)


def test_one_whose_sync_is_under_way_is_not_closed() -> None:
    files = OpenFiles(1)
    syncing, new = Holder(files, idle=False, syncing=True), Holder(files, idle=False)
    files.opened(syncing)
    files.opened(new)
    files.trim()
    assert (syncing.closed, new.closed) == (0, 1)
    assert len(files) == 1


def test_idle_ones_are_closed_a_few_at_a_time() -> None:
    files = OpenFiles(10)
    holders = [Holder(files, idle=number != 1) for number in range(5)]
    for each in holders:
        files.opened(each)
    files.close_idle(2)
    assert [each.closed for each in holders] == [1, 0, 1, 0, 0]
    files.close_idle(10)
    assert [each.closed for each in holders] == [1, 0, 1, 1, 1]
    assert len(files) == 1


def test_one_that_closed_its_file_is_forgotten() -> None:
    files = OpenFiles(10)
    holder = Holder(files)
    files.opened(holder)
    files.closed(holder)
    files.closed(holder)
    assert len(files) == 0


def test_many_journals_share_few_descriptors_and_lose_nothing(disk: SimulatedDisk) -> None:
    around = surroundings(disk, segment_size=300, open_files=3)
    journals = []
    for number in range(10):
        place = Place(disk, f"{SPOOL}/q{number}", b"q%d" % number, SALT, syncs=True)
        journals.append(Journal(around, place, Ledger(deleted=True)))
    for turn in range(1, 8):
        for journal in journals:
            journal.recorder.push(item(turn, b"x" * 60))
            journal.write()
            sync(journal)
            # One for the reserve.
            assert disk.open_descriptors <= 3 + 1
    harness = Harness(disk.after_power_cut())
    for number in range(10):
        assert harness.datas(b"q%d" % number) == [b"x" * 60] * 7


def test_a_file_that_is_closed_before_its_sync_was_synced_then(disk: SimulatedDisk) -> None:
    around = surroundings(disk, open_files=2)
    journals = []
    for number in range(5):
        place = Place(disk, f"{SPOOL}/q{number}", b"q%d" % number, SALT, syncs=True)
        journals.append(Journal(around, place, Ledger(deleted=True)))
        journals[-1].recorder.push(item(1))
        journals[-1].write()
        assert disk.open_descriptors <= 2 + 1
    for journal in journals:
        sync(journal)
    around.open_files.close_idle(10)
    assert disk.open_descriptors == 1
    harness = Harness(disk.after_power_cut())
    assert [harness.datas(b"q%d" % number) for number in range(5)] == [[b"data"]] * 5
