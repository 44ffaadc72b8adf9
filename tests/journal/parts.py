"""A journal without a spool, and what tests do with one: for tests of the journal."""

from collections.abc import Callable
from dataclasses import fields

from starling_py.journal.disk.files import Files
from starling_py.journal.disk.open_files import OpenFiles
from starling_py.journal.disk.reserve import Reserve
from starling_py.journal.format.record import Item
from starling_py.journal.format.segment import Segment
from starling_py.journal.journal import Journal
from starling_py.journal.ledger import Ledger
from starling_py.journal.shared import Durability, Shared
from starling_py.journal.syncing import Place, Syncing
from tests.core import PatientBackground
from tests.journal.simulated_disk import SALT, SimulatedDisk
from tests.journal.spool_harness import DIRECTORY, NAME, NOW_MS, SPOOL, Harness


def item(item_id: int, data: bytes = b"data") -> Item:
    """Return an item."""
    return Item(item_id, NOW_MS, 0, 0, data)


def place_on(files: Files, *, syncs: bool = True) -> Place:
    """Return where the journal of the queue under test is."""
    return Place(files, DIRECTORY, NAME, SALT, syncs)


def surroundings(
    files: Files,
    *,
    syncs: bool = True,
    waits: bool = False,
    segment_size: int = 200,
    touch: Callable[[Journal], None] = lambda _: None,
    open_files: int = 10,
) -> Shared[Journal]:
    """Return what a spool's journals share."""
    reserve = Reserve(files, SPOOL)
    assert reserve.restore()
    durability = Durability(syncs, segment_size, waits)
    background = PatientBackground()
    return Shared(
        files,
        durability,
        touch,
        lambda _: None,
        lambda: None,
        lambda: None,
        background,
        reserve,
        OpenFiles(open_files),
    )


def new_journal(
    disk: SimulatedDisk,
    *,
    syncs: bool = True,
    waits: bool = False,
    segment_size: int = 200,
    touch: Callable[[Journal], None] = lambda _: None,
) -> Journal:
    """Return the journal of a queue that does not exist yet."""
    around = surroundings(disk, syncs=syncs, waits=waits, segment_size=segment_size, touch=touch)
    disk.calls.clear()
    return Journal(around, place_on(disk, syncs=syncs), Ledger(deleted=True))


def sync(journal: Journal) -> None:
    """Make everything safe that was written, and do what follows from that."""
    work = journal.begin_sync()
    assert work is None or isinstance(work, Syncing)
    if work is not None:
        work.run()
        journal.end_sync(work, None)
    background_of(journal).do_all()


def background_of(journal: Journal) -> PatientBackground:
    """Return where the journal has work done."""
    background = journal._shared.background
    assert isinstance(background, PatientBackground)
    return background


def journal_of(harness: Harness, name: bytes = NAME) -> Journal:
    """Return the journal of a queue that exists."""
    queue = harness.queues.directory.find(name)
    assert queue is not None
    return queue.journal


def is_broken(harness: Harness) -> bool:
    """Tell whether any journal is broken now."""
    return any(queue.journal.broken is not None for queue in harness.queues._by_name.values())


def sync_all(harness: Harness) -> set[Journal]:
    """Let all syncs that wait come; return the journals for which they failed."""
    failed: set[Journal] = set()
    while harness.deferred.waiting:
        batch = harness.deferred.waiting.popleft()
        batch.run()
        failed |= harness.commits.finish(batch)
    harness.background.do_all()
    return failed


def heal(harness: Harness) -> None:
    """Let the time come at which broken journals are healed, and let that happen."""
    harness.clock.monotonic += 5
    harness.commits.sync_if_due()
    failed = sync_all(harness)
    assert not failed, "nobody waits for a healing"


def ledger_facts(ledger: Ledger) -> dict[str, object]:
    """Return what two ledgers of one state have in common, whatever became of their files."""
    facts = {each.name: getattr(ledger, each.name) for each in fields(ledger)}
    del facts["has_dead"], facts["_older_size"]
    facts["removed_ids"] = list(ledger.removed_ids)
    facts["segments"] = [facts_of(each) for each in ledger.segments if each.items]
    return facts


def facts_of(segment: Segment) -> tuple[int, int, int]:
    """Return what a segment holds."""
    return segment.number, segment.items, segment.bytes
