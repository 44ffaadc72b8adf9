"""Defects on purpose: each of them breaks a promise, and the simulation must notice it."""

import contextlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

import pytest

from starling_py.guard import Guard
from starling_py.journal import (
    checkpoint,
    compaction,
    healing,
    journal,
    lost_names,
    segment_writer,
    syncing,
)
from starling_py.journal.blocks import Reading
from starling_py.journal.commit import GroupCommit, Together
from starling_py.journal.compaction import Compaction
from starling_py.journal.disk.background import Hold
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.id_floor import IdFloor
from starling_py.journal.disk.reserve import Reserve
from starling_py.journal.errors import SpoolError, unforeseen
from starling_py.journal.format import record
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.healing import Healing
from starling_py.journal.journal import Journal
from starling_py.journal.ledger import Ledger
from starling_py.journal.log import batch
from starling_py.journal.log.log import Entry, Log
from starling_py.journal.log.replay import LogFound, Patch
from starling_py.journal.lost_names import Look, LostNames
from starling_py.journal.recorder import Recorder
from starling_py.journal.recovery import repair
from starling_py.journal.recovery.examination import Recovered
from starling_py.journal.restoring import Restoring
from starling_py.journal.segment_writer import SegmentWriter
from starling_py.journal.snapshots import Taking
from starling_py.journal.spool import Spool
from starling_py.journal.syncing import Syncing
from starling_py.keys import Request, RequestError, StoreRequest
from starling_py.protocol import commands
from starling_py.queues import delivery, limits, set_aside, waiting_items
from starling_py.queues.deadlines import Deadlines
from starling_py.queues.delivery import Delivery, MoveDelivery
from starling_py.queues.errors import NotLoaded
from starling_py.queues.fan_out import FanOut
from starling_py.queues.listing import Listing
from starling_py.queues.moves import Moves
from starling_py.queues.once import Once
from starling_py.queues.open_reads import OpenRead, OpenReads, ReadHolder
from starling_py.queues.pause import Pause
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_collection import QueueCollection
from starling_py.queues.queue_directory import QueueDirectory
from starling_py.queues.set_aside import SetAside
from starling_py.queues.slices import Steps
from starling_py.queues.sync_waits import SyncWaits
from starling_py.queues.traffic import Move
from starling_py.queues.waiters import Waiter, Waiters
from starling_py.queues.waiting_items import WaitingItems
from starling_py.server.budget import Budget
from starling_py.session import get, permission, put, reliable, session
from starling_py.session.client import Client, Parked
from starling_py.session.replies import Replies
from starling_py.session.takes import Takes
from starling_py.settings.users import User
from tests.journal.simulated_disk import SimulatedDisk

Plant = Callable[[pytest.MonkeyPatch], None]


def replies_before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the replies stand when the commit fails."""
    monkeypatch.setattr(Replies, "revoke", lambda self, failed: None)


def replies_before_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no reply wait for the sync under ``always``."""
    original = GroupCommit.commit

    def commit(self: GroupCommit) -> object:
        committed = original(self)
        return type(committed)(committed.failed, 0)

    monkeypatch.setattr(GroupCommit, "commit", commit)


def forgets_a_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out every fifth record of a removal."""
    original = Recorder.remove
    count = 0

    def remove(self: Recorder, item: Item) -> None:
        nonlocal count
        original(self, item)
        count += 1
        if count % 5 == 0:
            self.pending.records.pop()

    monkeypatch.setattr(Recorder, "remove", remove)


def syncs_no_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make no name safe while the server runs."""

    def run_it(self: Syncing) -> None:
        files = self.place.files
        for descriptor in self.descriptors:
            files.sync(descriptor)
        if self.unfinished is not None:
            files.rename(self.unfinished, self.unfinished.removesuffix(".new"))

    monkeypatch.setattr(Syncing, "run", run_it)


def syncs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make nothing but names safe."""
    monkeypatch.setattr(SimulatedDisk, "sync", lambda self, descriptor: None)


def heals_without_what_was_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on as of the last sync when a file went bad, whatever was told since."""
    original = Healing.run

    def run_it(self: Healing) -> None:
        self._acknowledged = []
        original(self)

    monkeypatch.setattr(Healing, "run", run_it)


def goes_on_after_a_failed_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a sync that failed for one that succeeded."""
    original = Journal.end_sync

    def end_sync(self: Journal, work: Syncing | Healing, error: OSError | None) -> None:
        original(self, work, None)

    monkeypatch.setattr(Journal, "end_sync", end_sync)


def leaves_half_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not cut off what was written of a record before the error."""
    monkeypatch.setattr(SegmentWriter, "_cut_back", lambda self, descriptor, size: None)


def names_a_segment_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a segment before it or the one before it is safe."""
    monkeypatch.setattr(segment_writer, "UNFINISHED_SUFFIX", "")
    monkeypatch.setattr(healing, "UNFINISHED_SUFFIX", "")


def reads_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand out what is read back in the wrong order."""
    original = Reading.run

    def run_it(self: Reading) -> None:
        original(self)
        self.items.reverse()

    monkeypatch.setattr(Reading, "run", run_it)


def skips_the_roll_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the queue in memory as it is after a commit that failed."""
    monkeypatch.setattr(PersistentQueue, "on_rolled_back", lambda self: None)


def copies_too_little_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out live items when segments are replaced."""
    monkeypatch.setattr(Compaction, "_is_live", lambda self, item_id: item_id % 3 == 0)


def keeps_dead_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let segments take up room for ever: neither remove the dead ones nor copy anything."""
    monkeypatch.setattr(Ledger, "take_dead", lambda self, but=(): [])
    monkeypatch.setattr(compaction, "choose", lambda ledger, segment_size: [])


def lends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse removals on a full disk."""
    monkeypatch.setattr(Reserve, "lend", lambda self, size, removals_only: False)


def serves_nobody_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everybody wait until the time is over."""
    monkeypatch.setattr(QueueCollection, "_serve", lambda self, queue: None)


def never_heals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse a queue for ever once its file went bad."""
    monkeypatch.setattr(Healing, "run", lambda self: setattr(self, "error", OSError()))


def gives_expired_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take nothing for dead."""
    original = PersistentQueue.peek
    monkeypatch.setattr(PersistentQueue, "peek", lambda self, now_ms: original(self, 0))


def waits_for_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never sync under an interval."""
    monkeypatch.setattr(GroupCommit, "sync_if_due", lambda self: None)


def writes_no_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a delivery in memory, and leave it out of the journal."""
    original = record.bare

    def bare(record_type: int, record_id: int, salt: int = 0, payload: bytes = b"") -> bytes:
        whole = original(record_type, record_id, salt, payload)
        return b"" if record_type == record.OPEN else whole

    monkeypatch.setattr(record, "bare", bare)


def writes_no_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Confirm a read in memory alone."""

    def confirm(self: PersistentQueue, read: OpenRead) -> None:
        self.items -= 1
        self.bytes -= len(read.item.data)
        self.open_reads.confirm(read, self.journal.written + 1)

    monkeypatch.setattr(PersistentQueue, "confirm", confirm)


def writes_no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep an aborted item back in memory, and leave that out of the journal."""
    monkeypatch.setattr(record, "delay", lambda item_id, due_ms, salt=0: b"")


def forgets_delays_in_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what comes back with a delay for due when it is read from the journal."""
    original = WaitingItems._put_aside

    def put_aside(self: WaitingItems, item: Item) -> bool:
        if isinstance(item, MarkedItem) and not item.front:
            return False
        return original(self, item)

    monkeypatch.setattr(WaitingItems, "_put_aside", put_aside)


def hands_out_before_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep nothing back."""
    monkeypatch.setattr(WaitingItems, "delay", lambda self, item, due_ms: self.insert(item))


def notices_no_jump_of_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every delay last as long as it was reckoned to last when it began."""
    monkeypatch.setattr(Deadlines, "run_passed", lambda self, wall_ms, now: None)


def puts_what_comes_back_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give aborted items the last place."""
    original = WaitingItems.insert

    def insert(self: WaitingItems, item: Item) -> None:
        if self.window.behind or isinstance(item, MarkedItem):
            original(self, item)
        else:
            self.window.items.append(item)

    monkeypatch.setattr(WaitingItems, "insert", insert)


def reverses_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first one that was put in front stay in front."""

    def place(item: Item) -> int:
        front = isinstance(item, MarkedItem) and item.front
        return item.id - (1 << 40) if front else item.id

    monkeypatch.setattr(set_aside, "place", place)
    monkeypatch.setattr(waiting_items, "place", place)


def never_ends_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leases last for ever."""
    monkeypatch.setattr(QueueCollection, "lease_end", lambda self, queue, lease: 1e9)


def keeps_what_a_client_had_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give nothing back when a client goes away."""
    monkeypatch.setattr(ReadHolder, "reads", lambda self, name=None: [])


def ends_a_read_though_its_confirmation_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open nothing again when a confirmation could not be written."""
    monkeypatch.setattr(OpenReads, "_reopen", lambda self, read: None)


def confirms_what_another_client_has_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everybody end everything by its id, with a lease or without."""

    def named(client: Client, name: bytes, item_id: int) -> OpenRead:
        queue = client.queues.directory.find(name)
        read = None if queue is None else queue.open_reads.get(item_id)
        if read is None:
            raise RequestError(f"item {item_id} is not open")
        return read

    monkeypatch.setattr(reliable, "named", named)


def delivers_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take nothing out, however often it came back."""
    monkeypatch.setattr(PersistentQueue, "exhausts", lambda self, item: False)


def removes_before_the_move_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what is moved as soon as it is put, not when that is safe."""
    original = Moves._try_to_put

    def try_to_put(self: Moves, move: Move) -> Steps:
        yield from original(self, move)
        if move.reached:
            self.finish(move)

    monkeypatch.setattr(Moves, "_try_to_put", try_to_put)


def flushes_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a flush keep nothing."""
    original = Recorder.flush
    monkeypatch.setattr(Recorder, "flush", lambda self, kept=(): original(self, ()))


def leaves_a_child_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a put to the first child alone."""
    original = FanOut.children
    monkeypatch.setattr(FanOut, "children", lambda self, name: original(self, name)[1:])


def fills_queues_beyond_their_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take no queue for full."""
    monkeypatch.setattr(limits, "is_full", lambda queue, size: False)


def serves_who_came_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let those who wait be served in the wrong order."""

    def first(self: Waiters, name: bytes) -> Waiter | None:
        waiting = self._by_name.get(name)
        return next(reversed(waiting)) if waiting else None

    monkeypatch.setattr(Waiters, "first", first)


def writes_no_marks_into_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget deliveries, delays and what is in front when a segment is begun."""
    original = checkpoint.encode

    def encode(ledger: Ledger, previous_end: int) -> bytes:
        return original(replace(ledger, facts={}), previous_end)

    monkeypatch.setattr(checkpoint, "encode", encode)


def copies_no_marked_items_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what is due later, or in front, when segments are replaced."""
    monkeypatch.setattr(record, "PUTS", frozenset({record.PUSH}))


def tells_of_a_sync_that_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer a put that asks for a sync at once."""
    monkeypatch.setattr(SyncWaits, "add", lambda self, tell: tell(None))


def takes_before_all_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take from one queue while another of the same get is on disk, and do without that one."""
    original = get._Reading._read

    def read(self: get._Reading, request: Request) -> NotLoaded | None:
        missing = original(self, request)
        return missing if self._answer.empty else None

    monkeypatch.setattr(QueueCollection, "require_first", lambda self, name: None)
    monkeypatch.setattr(get._Reading, "_read", read)


def takes_items_while_draining(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse nothing."""
    monkeypatch.setattr(limits.ServerLimits, "check", lambda self: None)


def removes_when_one_copy_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what is moved as soon as one of the queues that get it has it safely."""
    monkeypatch.setattr(Move, "arrived", property(lambda self: self.unsafe < len(self.reached)))


def moves_to_the_target_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give what is moved to no child, and send it along no route."""
    original = MoveDelivery.concerned

    def concerned(self: MoveDelivery) -> list[PersistentQueue]:
        return [queue for queue in original(self) if queue.name == self.what.name]

    monkeypatch.setattr(MoveDelivery, "concerned", concerned)


def begins_ids_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget how far the ids of a queue had come that was deleted."""
    monkeypatch.setattr(IdFloor, "raise_to", lambda self, next_id: None)


def notes_no_ids_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget in a restart how far the ids of deleted queues had come."""
    monkeypatch.setattr(IdFloor, "_write", lambda self, noted: None)


def begins_ids_in_memory_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ids of a queue that is in memory only begin anew in every restart."""
    original = Spool.journal_in_memory
    monkeypatch.setattr(Spool, "journal_in_memory", lambda self, name, _: original(self, name, 0))


def marks_an_end_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell that a segment is in force when it is begun."""
    original = SegmentWriter.begin_segment

    def begin_segment(self: SegmentWriter, ledger: Ledger, previous_end: int) -> None:
        before = ledger.segments[-1].path if ledger.segments else None
        original(self, ledger, previous_end)
        if before is not None:
            self._place.mark_end(before, ledger.segments[-1].number)

    monkeypatch.setattr(SegmentWriter, "begin_segment", begin_segment)


def refuses_all_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no server start where one queue cannot be read."""

    def refuse(self: Spool, entry: str, path: str, problem: Exception) -> None:
        raise SpoolError(f"{path}: {problem}")

    monkeypatch.setattr(Spool, "_refuse", refuse)


def shows_refused_queues_as_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve a queue that could not be read as if nothing were in it."""
    monkeypatch.setattr(Journal, "refuse", lambda self, why: None)


def reads_no_refused_queue_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a queue refused though the disk works again."""
    monkeypatch.setattr(QueueDirectory, "recover_refused", lambda self: None)


def forgets_the_rest_of_a_long_put(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer a put with many copies after the first slice."""
    original = Delivery._deliver

    def deliver(self: Delivery) -> Steps:
        for step in original(self):
            yield step
            if self.reached and self.directory.slices.spent:
                return

    monkeypatch.setattr(Delivery, "_deliver", deliver)


def gives_back_one_item_of_who_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give back no more of what a client had open than the first slice does."""
    original = session._given_back

    def given_back(holder: ReadHolder, guard: Guard) -> Steps:
        yield next(original(holder, guard), None)

    monkeypatch.setattr(session, "_given_back", given_back)


def answers_for_the_last_slice_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell that a long command was done though the commit of an earlier slice failed."""
    original = Replies.revoke

    def revoke(self: Replies, failed: Collection[Journal]) -> None:
        original(self, failed)
        self.spoiled = None

    monkeypatch.setattr(Replies, "revoke", revoke)


def frees_the_log_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a file of the log anew though segments lack what it tells."""
    monkeypatch.setattr(Log, "hold", lambda self, entry, who: None)


def removes_the_log_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop without syncing the segments of which the log alone has the end."""
    original = Log.close

    def close(self: Log) -> None:
        original(self)
        self._files.sync_directory(self._directory)

    monkeypatch.setattr(Log, "everybody", lambda self: [])
    monkeypatch.setattr(Log, "close", close)


def starts_without_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write nothing that the log tells into the segments."""
    monkeypatch.setattr(LogFound, "apply", lambda self, files, spool, directory: None)


def removes_the_log_before_the_segments_are_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write what the log tells into the segments without syncing them."""

    def apply(self: Patch, files: Files, path: str, *, is_last: bool) -> None:
        with files.closing(files.open_placed(path, new=False)) as descriptor:
            for offset, pieces in self.writes:
                files.write_at(descriptor, offset, b"".join(pieces))

    monkeypatch.setattr(Patch, "apply", apply)
    monkeypatch.setattr(repair, "prepare", _prepare_without_syncs)


def _prepare_without_syncs(files: Files, directory: str, state: Recovered, *, syncs: bool) -> None:
    last = state.ledger.segments[-1]
    if state.unfinished:
        finished = last.path.removesuffix(".new")
        files.rename(last.path, finished)
        last.path = finished


def writes_into_a_later_queue_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write what the log tells of a deleted queue into the one that was made anew."""
    monkeypatch.setattr(Patch, "fits", lambda self, files, path: _is_file(files, path))


def _is_file(files: Files, path: str) -> bool:
    try:
        return files.size(path) > 0
    except FileNotFoundError:
        return False


def syncs_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take for safe what is written to the log and not synced."""

    def run_it(self: Entry) -> None:
        data = batch.encode(self._number, self.part.salt, self._writes)
        try:
            self._files.write_at(self.part.descriptor, self._offset, data)
        except (OSError, MemoryError) as error:
            self.error = unforeseen(error)

    monkeypatch.setattr(Entry, "run", run_it)


def heals_without_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heal a journal without what the log alone has made safe."""
    original = Healing.run

    def run_it(self: Healing) -> None:
        self._logged = None
        original(self)

    monkeypatch.setattr(Healing, "run", run_it)


def goes_on_with_a_log_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write behind what could not be written or synced, as if it were there."""
    monkeypatch.setattr(Log, "fail", lambda self, error: None)


def lets_a_directory_go_by_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the directory of a queue whose deletion the log alone has made safe."""
    original = Journal._written

    def written(self: Journal) -> object:
        owner, self.owner = self.owner, None
        try:
            return original(self)
        finally:
            self.owner = owner

    monkeypatch.setattr(Journal, "_written", written)


def removes_what_is_being_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the directory of a queue away though its first sync is under way."""

    def ever_existed(self: PersistentQueue) -> bool:
        journal = self.journal
        return self._existed or not self.deleted or journal.has_pending or journal.busy

    monkeypatch.setattr(SegmentWriter, "being_synced", property(lambda _: False))
    monkeypatch.setattr(PersistentQueue, "ever_existed", property(ever_existed))


def misses_what_left_by_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up segments that were removed as the log had made it safe that all of them had left."""
    original = Restoring.give_up_lost

    def give_up_lost(self: Restoring, ledger: Ledger, _: object) -> None:
        original(self, ledger, range(1 << 62))

    monkeypatch.setattr(Restoring, "give_up_lost", give_up_lost)


def takes_dead_segments_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on after a healing with segments that are about to be removed."""
    original = Journal._end_healing

    def end_healing(self: Journal, work: Healing) -> None:
        before, work.ledger.has_dead = work.ledger.has_dead, False
        original(self, work)
        work.ledger.has_dead = before

    monkeypatch.setattr(Journal, "_end_healing", end_healing)


def writes_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause a queue in memory alone."""
    original = Recorder.pause

    def pause(self: Recorder, until_ms: int) -> None:
        original(self, until_ms)
        self.pending.records.pop()

    monkeypatch.setattr(Recorder, "pause", pause)


def writes_no_pause_into_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget a pause when the next segment is begun."""
    original = checkpoint.encode

    def encode(ledger: Ledger, previous_end: int) -> bytes:
        return original(replace(ledger, paused_ms=0), previous_end)

    monkeypatch.setattr(checkpoint, "encode", encode)


def keeps_a_pause_that_was_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on as if the commit of a pause, or of its end, had not failed."""
    monkeypatch.setattr(Pause, "go_by_ledger", lambda self: None)


def gives_while_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pause have no effect."""
    monkeypatch.setattr(
        Pause, "holds", property(lambda self: False, lambda self, value: None), raising=False
    )


def lists_only_what_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out of a list what has to be read from disk."""

    def list_disk(self: Listing) -> Steps:
        self._after = self._last
        yield None

    monkeypatch.setattr(Listing, "_list_disk", list_disk)


def drops_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop an item that somebody works on."""
    monkeypatch.setattr(PersistentQueue, "is_elsewhere", lambda self, item_id: False)


def leaves_a_dropped_item_where_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove an item from the journal alone."""
    monkeypatch.setattr(WaitingItems, "take_out", lambda self, item_id: None)


def forgets_where_items_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write what is moved as if it had been put here first."""
    original = record.push_marked

    def push_marked(item: MarkedItem, salt: int = 0) -> tuple[bytes, bytes]:
        here = MarkedItem(
            item.id,
            item.added_ms,
            item.expiry_ms,
            item.flags,
            item.data,
            item.due_ms,
            item.deliveries,
            item.front,
        )
        return original(here, salt)

    monkeypatch.setattr(record, "push_marked", push_marked)


def tells_of_moves_that_are_not_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take an item for moved as soon as it is to be removed."""
    original = Moves.finish

    def finish(self: Moves, move: Move) -> None:
        original(self, move)
        move.settled = True
        move.source.traffic.tell()

    monkeypatch.setattr(Moves, "finish", finish)


def lets_what_is_moved_live_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget when an item dies that is moved by hand."""
    original = delivery._put_of
    monkeypatch.setattr(delivery, "_put_of", lambda move: replace(original(move), dies_ms=0))


def loses_what_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget an item that somebody wanted to move, and that stays."""

    def give_up(self: Moves, move: Move, reason: str) -> None:
        move.refused = reason
        move.delivering = False
        move.source.traffic.leaving.pop(move.item.id, None)
        move.source.traffic.tell()

    monkeypatch.setattr(Moves, "_return", give_up)


def removes_what_is_buried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bury an item for good."""

    def bury(self: PersistentQueue, read: OpenRead, target: bytes) -> Move:
        self.remove(read.item)
        self.open_reads.confirm(read, self.journal.written + 1)
        return Move(self, read.item, target, 1, 3)

    monkeypatch.setattr(PersistentQueue, "bury", bury)


def takes_from_the_last_queue_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn round the order in which queues are asked for one item in all."""
    original = get._Reading._take_first

    def take_first(self: get._Reading) -> Steps:
        self._requests.reverse()
        yield from original(self)

    monkeypatch.setattr(get._Reading, "_take_first", take_first)


def forgets_tokens_in_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the tokens of puts when the next segment is begun."""
    original = checkpoint.encode

    def encode(ledger: Ledger, previous_end: int) -> bytes:
        return original(replace(ledger, tokens=None), previous_end)

    monkeypatch.setattr(checkpoint, "encode", encode)


def keeps_tokens_of_puts_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on knowing a token though its item was taken back."""
    monkeypatch.setattr(Once, "forget", lambda self, first_id: None)
    monkeypatch.setattr(Once, "_has_unwritten", lambda self: bool(self._unwritten))


def repeats_what_is_not_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell of a second put with a token before the first one is synced."""
    original = put._repeated

    def repeated(
        client: Client, command: commands.Store, request: StoreRequest, item_id: int
    ) -> None:
        queue = client.queues.directory.find(request.name)
        assert queue is not None
        before, queue.journal.waits = queue.journal.waits, False
        original(client, command, request, item_id)
        queue.journal.waits = before

    monkeypatch.setattr(put, "_repeated", repeated)


def forgets_what_clients_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer a client that says its name, and remember none."""
    monkeypatch.setattr(
        Client, "name", property(lambda self: "", lambda self, value: None), raising=False
    )


def counts_no_takes_of_who_has_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count what clients take at once, and nothing that they are served, or take among others."""
    monkeypatch.setattr(Takes, "took", lambda self, name, now: None)


def takes_who_waits_for_no_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell of those who take alone, and not of those who wait."""
    original = Parked.__init__

    def init(self: Parked, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as it has them
        original(self, *args, **{**options, "takes": False})

    monkeypatch.setattr(Parked, "__init__", init)


def shows_another_item_than_the_one_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show the next item where the one with an id is gone."""

    def find(queue: PersistentQueue, item_id: int, found: list[Item]) -> Steps:
        yield from Listing(queue, item_id - 1, 1, found.append).steps()

    monkeypatch.setattr(get, "find", find)


def removes_while_a_snapshot_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove and replace segments though a snapshot is being taken of them."""
    monkeypatch.setattr(Hold, "begin", lambda self: None)


def takes_what_came_after_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy all that there is of the last segment when its turn comes."""
    original = Taking._copy

    def copy(self: Taking, path: str, target: str, size: int) -> Iterator[int]:
        with contextlib.suppress(FileNotFoundError):
            size = self._files.size(path)
        return original(self, path, target, size)

    monkeypatch.setattr(Taking, "_copy", copy)


def names_a_snapshot_before_it_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a snapshot its name without syncing what is in it."""
    monkeypatch.setattr(Taking, "_sync", lambda self: iter(()))


def syncs_nothing_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call the files of many queues safe that were to be synced with one call."""
    monkeypatch.setattr(Together, "sync", lambda self: True)


def tells_the_age_of_the_first_item(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the item that goes first for the one that has waited longest."""
    monkeypatch.setattr(SetAside, "oldest", lambda self: self.ready[0][1] if self.ready else None)


def tells_no_age_of_what_is_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load nothing to tell how old it is."""
    monkeypatch.setattr(WaitingItems, "oldest_to_come", lambda self: None)


def forgets_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not note what changes without a record, so that a monitor is not told."""
    monkeypatch.setattr(PersistentQueue, "note_change", lambda _: None)


def permits_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold no command against what its user may do."""
    monkeypatch.setattr(permission, "lacks", lambda user, command: None)


def tells_users_of_every_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show whoever asks all queues."""
    monkeypatch.setattr(User, "sees", lambda self, name: True)


def notices_no_lost_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every file for one that is still found under its name."""
    for module in (syncing, lost_names, journal):
        monkeypatch.setattr(module, "is_there", lambda files, expected: True)


def never_looks_for_lost_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at no file but those that are synced."""

    def looked(self: LostNames, work: Look) -> None:
        self._looking = False

    monkeypatch.setattr(LostNames, "_looked", looked)


def restores_no_lost_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heal a queue without what was in the files that lost their names."""

    def run_it(self: Restoring) -> None:
        self._there = set(self._place.files.list_directory(self._place.directory))

    monkeypatch.setattr(Restoring, "run", run_it)


def counts_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count what clients that are gone have made the server hold."""
    monkeypatch.setattr(Budget, "forget", lambda self, client, now: None)


PLANTS: tuple[Plant, ...] = (
    counts_what_is_gone,
    notices_no_lost_names,
    never_looks_for_lost_names,
    restores_no_lost_file,
    permits_everything,
    tells_users_of_every_queue,
    forgets_a_change,
    tells_the_age_of_the_first_item,
    tells_no_age_of_what_is_on_disk,
    shows_another_item_than_the_one_named,
    forgets_what_clients_are_called,
    counts_no_takes_of_who_has_waited,
    takes_who_waits_for_no_consumer,
    syncs_nothing_together,
    removes_while_a_snapshot_is_taken,
    takes_what_came_after_the_moment,
    names_a_snapshot_before_it_is_safe,
    frees_the_log_too_early,
    removes_the_log_too_early,
    starts_without_the_log,
    removes_the_log_before_the_segments_are_safe,
    writes_into_a_later_queue_of_that_name,
    syncs_no_log,
    heals_without_the_log,
    goes_on_with_a_log_that_failed,
    lets_a_directory_go_by_the_log,
    removes_what_is_being_synced,
    misses_what_left_by_the_log,
    takes_dead_segments_up_again,
    forgets_tokens_in_checkpoints,
    keeps_tokens_of_puts_that_failed,
    repeats_what_is_not_synced,
    takes_from_the_last_queue_first,
    forgets_where_items_came_from,
    tells_of_moves_that_are_not_safe,
    lets_what_is_moved_live_for_ever,
    loses_what_was_refused,
    removes_what_is_buried,
    lists_only_what_is_in_memory,
    drops_what_is_open,
    leaves_a_dropped_item_where_it_waits,
    writes_no_pause,
    writes_no_pause_into_checkpoints,
    keeps_a_pause_that_was_not_written,
    gives_while_paused,
    forgets_the_rest_of_a_long_put,
    gives_back_one_item_of_who_is_gone,
    answers_for_the_last_slice_alone,
    replies_before_the_commit,
    replies_before_the_sync,
    forgets_a_removal,
    syncs_no_directory,
    syncs_no_file,
    heals_without_what_was_acknowledged,
    goes_on_after_a_failed_sync,
    leaves_half_a_record,
    names_a_segment_too_early,
    reads_out_of_order,
    skips_the_roll_back,
    copies_too_little_forward,
    keeps_dead_segments,
    lends_nothing,
    serves_nobody_who_waits,
    never_heals,
    gives_expired_items,
    waits_for_no_interval,
    writes_no_opening,
    writes_no_confirmation,
    writes_no_delay,
    forgets_delays_in_a_restart,
    hands_out_before_it_is_due,
    notices_no_jump_of_the_wall_clock,
    puts_what_comes_back_at_the_end,
    reverses_the_front,
    never_ends_a_lease,
    keeps_what_a_client_had_open,
    ends_a_read_though_its_confirmation_failed,
    confirms_what_another_client_has_open,
    delivers_without_end,
    removes_before_the_move_is_safe,
    flushes_what_is_open,
    leaves_a_child_out,
    fills_queues_beyond_their_limits,
    serves_who_came_last,
    writes_no_marks_into_checkpoints,
    copies_no_marked_items_forward,
    tells_of_a_sync_that_was_not,
    takes_before_all_is_in_memory,
    takes_items_while_draining,
    removes_when_one_copy_is_safe,
    moves_to_the_target_alone,
    begins_ids_anew,
    notes_no_ids_on_disk,
    begins_ids_in_memory_with_1,
    marks_an_end_too_early,
    refuses_all_for_one,
    shows_refused_queues_as_empty,
    reads_no_refused_queue_again,
)
