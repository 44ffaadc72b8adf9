"""The journal of a queue that is in memory only: the same rules, and nothing on disk."""

from collections.abc import Iterator

import pytest

from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.journal import Journal
from tests.journal.parts import item
from tests.journal.simulated_disk import SimulatedDisk
from tests.journal.spool_harness import NOW_MS, Harness


class Owner:
    """Notes what it is told."""

    deleted = True

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_committed(self) -> None:
        self.told.append("committed")

    def on_safe(self) -> None:
        self.told.append("safe")

    def on_all_safe(self) -> None:
        self.told.append("all safe")

    def on_rolled_back(self) -> None:
        raise AssertionError("nothing can fail")

    def on_broken(self) -> None:
        raise AssertionError("nothing can fail")

    def on_never_safe(self) -> None:
        raise AssertionError("all is safe at once")

    def items_in_memory(self) -> list[Item]:
        raise AssertionError("there are no files")

    def on_items_lost(self, items: int) -> None:
        raise AssertionError("there are no files")

    def on_compacted(self, *_: object) -> None:
        raise AssertionError("there are no files")


@pytest.fixture(params=[0, 3600, None], ids=["always", "interval", "never"])
def harness(disk: SimulatedDisk, request: pytest.FixtureRequest) -> Iterator[Harness]:
    """Return a server under any policy; the disk must not be touched for the queue."""
    harness = Harness(disk, interval=request.param, segment_size=100)
    before, calls = disk.contents(), list(disk.calls)
    yield harness
    assert disk.contents() == before
    assert disk.calls == calls


def journal_in_memory(harness: Harness) -> tuple[Journal, Owner]:
    """Return a journal without files, and its owner."""
    journal = harness.spool.journal_in_memory(b"jobs", 0)
    owner = Owner()
    journal.owner = owner
    return journal, owner


def test_what_is_written_counts_and_is_as_safe_as_it_will_ever_be(harness: Harness) -> None:
    journal, owner = journal_in_memory(harness)
    journal.recorder.push(item(1))
    journal.recorder.push(item(2, b"larger than a segment" * 99))
    committed = harness.commits.commit()
    assert (committed.failed, committed.ticket) == (frozenset(), 0)
    assert owner.told == ["committed", "safe", "all safe"]
    assert journal.in_memory
    assert not journal.syncs
    assert (journal.ledger.items, journal.next_id, journal.size) == (2, 3, 0)
    assert journal.written == journal.safe == 1
    assert harness.commits.sync_due is None
    assert not harness.commits.touched


def test_it_takes_every_kind_of_record(harness: Harness) -> None:
    journal, _ = journal_in_memory(harness)
    journal.recorder.push(item(1))
    journal.recorder.push_marked(MarkedItem(2, NOW_MS, 0, 0, b"x", 0, 3, front=True))
    journal.recorder.push(item(3))
    journal.recorder.open(item(1))
    journal.recorder.delay(item(3), 5)
    harness.commits.commit()
    ledger = journal.ledger
    assert {each: mark.deliveries for each, mark in ledger.facts.items()} == {1: 1, 2: 3, 3: 0}
    journal.recorder.flush([(1, 4)])
    harness.commits.commit()
    assert (ledger.items, set(ledger.facts)) == (1, {1})
    journal.recorder.remove(item(1))
    harness.commits.commit()
    assert ledger.items == 0
    journal.recorder.delete()
    harness.commits.commit()
    assert ledger.deleted


def test_it_goes_on_whatever_the_disk_does(harness: Harness) -> None:
    journal, _ = journal_in_memory(harness)
    harness.spool.reserve.short = True
    needed = harness.spool.reserve.needed
    journal.recorder.check()
    journal.recorder.push(item(1))
    journal.recorder.open(item(1))
    assert not harness.commits.commit().failed
    assert harness.spool.reserve.short
    assert harness.spool.reserve.needed == needed, "nothing has to be reserved for it"


def test_it_keeps_no_other_file_from_being_open_and_can_be_removed(harness: Harness) -> None:
    journals = [journal_in_memory(harness)[0] for _ in range(20)]
    for journal in journals:
        journal.recorder.push(item(1))
    harness.commits.commit()
    assert len(harness.spool.open_files) == 0
    for journal in journals:
        assert harness.spool.remove(journal)
        journal.close()
    assert not harness.background.waiting


def test_it_is_sealed_and_closed_at_the_end_like_any_other(harness: Harness) -> None:
    journal, _ = journal_in_memory(harness)
    journal.recorder.push(item(1))
    harness.commits.commit()
    journal.seal(0)
    harness.commits.commit()
    journal.close()
    assert journal.ledger.items == 1
