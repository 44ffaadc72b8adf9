"""Snapshots: the state of one moment, whole or not at all, whatever happens while one is made."""

import errno
from random import Random

import attrs
import pytest

from starling_py.journal.errors import JournalError
from starling_py.queues.errors import NotLoaded
from tests.journal.simulated_disk import CHANGES, Fault, ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import SPOOL, Harness, Items, empty_disk

PLACE = f"{SPOOL}/.snapshots"
NAMES = (b"jobs", b"Other", b"third")
Everything = dict[bytes, Items | None]


@attrs.define
class Taken:
    """A snapshot that was asked for."""

    outcome: list[JournalError | None] = attrs.field(factory=list)

    @property
    def made(self) -> bool:
        """Whether it was told that there is one."""
        return self.outcome == [None]


def begin(harness: Harness, name: str = "one") -> Taken:
    """Begin a snapshot."""
    taken = Taken()
    harness.queues.directory.take_snapshot(name).when_loaded(taken.outcome.append)
    return taken


def everything(harness: Harness) -> Everything:
    """Return what all queues hold."""
    return {name: harness.items(name) for name in NAMES}


def found_in(disk: SimulatedDisk, name: str = "one") -> Everything:
    """Return what a server finds that is started on a snapshot."""
    harness = Harness(disk, path=f"{PLACE}/{name}")
    found = everything(harness)
    harness.close()
    return found


def names_in(disk: SimulatedDisk) -> list[str]:
    """Return what there is where snapshots are."""
    return disk.list_directory(PLACE) if ".snapshots" in disk.list_directory(SPOOL) else []


def filled(disk: SimulatedDisk, *, interval: float | None = 0, log_size: int = 0) -> Harness:
    """Return a server with queues of several segments, some of them wasteful."""
    harness = Harness(disk, interval=interval, log_size=log_size)
    for number in range(6):
        for name in NAMES[:2]:
            harness.put(b"%d of " % number + name + b"x" * 60, name)
        harness.commit()
    harness.pop_all(2)
    harness.put_all([b"alone"], b"third")
    return harness


def change_much(harness: Harness) -> None:
    """Put and take so much that segments are begun, die and are copied, and a queue goes."""
    harness.queues.delete(b"third")
    for number in range(8):
        for name in NAMES[:2]:
            harness.put(b"new %d" % number + b"y" * 60, name)
        harness.pop()
        harness.pop(b"Other")
        harness.commits.commit()


def test_a_server_on_a_snapshot_finds_the_moment_it_was_asked_for() -> None:
    disk = empty_disk()
    harness = filled(disk)
    then = everything(harness)
    taken = begin(harness)
    change_much(harness)
    harness.commit()
    assert taken.made
    assert found_in(disk) == then
    assert found_in(disk) == then, "and once more"
    now = everything(harness)
    assert now != then
    harness.close()
    harness = Harness(disk.for_next_process())
    assert everything(harness) == now, "the server has lost nothing by it"


@pytest.mark.parametrize("interval", [0, 0.05, None])
@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_meanwhile_a_snapshot_is_of_one_moment(
    seed: int, interval: float | None
) -> None:
    random = Random(seed)
    disk = empty_disk()
    disk.next_salt = seed
    harness = Harness(disk, interval=interval, log_size=random.choice((0, 4000)), deferred=True)
    harness.spool.snapshots.piece = 1
    taken, then, steps = Taken(), dict.fromkeys(NAMES), 0
    while steps < 200 or not taken.outcome:
        steps += 1
        kind, name = random.randint(0, 9), random.choice(NAMES)
        queue = harness.queues.directory.find(name)
        if kind < 4:
            harness.put(b"%d" % steps + b"x" * random.randint(0, 60), name)
        elif kind == 4 and queue is not None:
            try:
                queue.pop(harness.clock.wall_ms)
            except NotLoaded:
                harness.background.do_all()
        elif kind < 7 and queue is not None and (items := list(queue.waiting.window.items)):
            queue.drop(random.choice(items))  # from the middle, so that segments are copied
        elif kind == 7 and random.random() < 0.1:
            harness.queues.delete(name)
        if random.random() < 0.7:
            harness.commits.commit()
        harness.commits.sync_if_due()
        if harness.background.waiting and random.random() < 0.5:
            harness.background.do_one()
        if harness.deferred.waiting and random.random() < 0.3:
            harness.deferred.sync_one()
        if steps == 100:
            harness.commits.commit()
            taken = begin(harness)
            then = {
                each: tuple((it.id, it.data, it.flags) for it in found.waiting.window.items)
                if (found := harness.queues.directory.find(each)) is not None
                else None
                for each in NAMES
            }
        assert steps < 2000
    assert taken.made
    assert found_in(disk.after_power_cut(random)) == then


def test_it_lacks_nothing_that_only_the_log_has_made_safe() -> None:
    disk = empty_disk()
    harness = filled(disk, log_size=4000)
    assert harness.spool.log is not None
    for number in range(3):
        for name in NAMES:
            harness.put(b"late %d" % number, name)
        harness.commit()
    assert harness.spool.log.entries > 0
    then = everything(harness)
    assert begin(harness) is not None
    harness.commit()
    assert found_in(disk.after_power_cut()) == then


def test_killed_at_any_call_there_is_a_whole_snapshot_or_none() -> None:
    check_every_end(power_cut=False)


def test_cut_off_from_power_at_any_call_it_is_whole_or_not_there() -> None:
    check_every_end(power_cut=True)


def check_every_end(*, power_cut: bool) -> None:
    """Die after no call of the disk, after one, and so on, until a snapshot is made."""
    seen = set()
    for calls in range(1000):
        disk = empty_disk()
        harness = filled(disk)
        then = everything(harness)
        disk.kill_process_after(calls)
        taken = Taken()
        try:
            taken = begin(harness)
            harness.commit()
        except ProcessKilled:
            assert not taken.made
        disk = disk.after_power_cut(Random(calls)) if power_cut else disk.for_next_process()
        names = names_in(disk)
        seen.add("one" in names)
        if "one" in names:
            assert found_in(disk.for_next_process()) == then
        elif taken.made:
            raise AssertionError("it was told of, and is gone")
        harness = Harness(disk)
        assert everything(harness) == then
        if names:
            assert disk.list_directory(PLACE) == ["one"] * ("one" in names), "the rest is gone"
        if taken.made:
            break
    else:
        raise AssertionError("it never came to an end")
    assert seen == {False, True}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_whichever_call_fails_it_is_whole_or_told_of_and_gone(error: int) -> None:
    failures = 0
    for nth in range(1, 1000):
        disk = empty_disk()
        harness = filled(disk)
        then = everything(harness)
        fault = disk.fault = Fault(nth, error, CHANGES | {"read_at", "list_directory"})
        taken = begin(harness)
        harness.commit()
        struck, disk.fault = fault.struck, None
        if not struck:
            assert taken.made
            break
        if taken.made:
            assert found_in(disk) == then
        else:
            failures += 1
            assert taken.outcome
            assert not [each for each in names_in(disk) if not each.startswith(".")]
        assert everything(harness) == then
        again = begin(harness, "two")
        harness.commit()
        assert again.made, again.outcome
        left = {"two", *(["one"] * taken.made)}
        assert set(disk.list_directory(PLACE)) == left
        assert found_in(disk, "two") == then
        harness.put_all([b"afterwards"], b"third")
    else:
        raise AssertionError("it never came to an end")
    assert failures > 20


def test_what_never_changes_any_more_is_linked_and_not_copied() -> None:
    disk = empty_disk()
    harness = filled(disk)
    assert begin(harness)
    harness.commit()
    for name in disk.list_directory(f"{SPOOL}/jobs")[:-1]:
        there, here = f"{PLACE}/one/jobs/{name}", f"{SPOOL}/jobs/{name}"
        assert disk.identity(there) == disk.identity(here)
    last = disk.list_directory(f"{SPOOL}/jobs")[-1]
    assert disk.identity(f"{PLACE}/one/jobs/{last}") != disk.identity(f"{SPOOL}/jobs/{last}")


def test_where_there_are_no_links_everything_is_copied() -> None:
    disk = empty_disk()
    harness = filled(disk)
    then = everything(harness)
    disk.fault = Fault(1, errno.EPERM, frozenset({"link"}), lasting=True)
    taken = begin(harness)
    harness.commit()
    assert taken.made
    assert found_in(disk.after_power_cut()) == then


def test_one_is_made_at_a_time_and_none_of_a_broken_queue() -> None:
    disk = empty_disk()
    harness = filled(disk)
    first = begin(harness)
    with pytest.raises(JournalError, match="another snapshot is being made"):
        begin(harness, "two")
    harness.commit()
    assert first.made
    disk.fault = Fault(1, errno.EIO, frozenset({"write", "create"}), lasting=True)
    harness.put(b"1")
    harness.commit()
    with pytest.raises(JournalError, match="written anew"):
        begin(harness, "two")


def test_a_queue_that_breaks_meanwhile_is_the_end_of_it() -> None:
    disk = empty_disk()
    harness = filled(disk)
    taken = begin(harness)
    disk.fault = Fault(1, errno.EIO, frozenset({"sync"}))
    harness.put(b"1")
    harness.commits.commit()
    harness.commit()
    assert "failed for some queue" in str(taken.outcome[0])
    assert disk.list_directory(PLACE) == []


def test_a_refused_queue_is_copied_as_it_is() -> None:
    disk = empty_disk()
    harness = filled(disk)
    then = everything(harness)
    harness.close()
    path = f"{SPOOL}/%4fther/" + disk.list_directory(f"{SPOOL}/%4fther")[0]
    damaged = disk.read(path)[:-30]
    disk.put(path, damaged)
    harness = Harness(disk, refuses=True)
    assert list(harness.spool.refused) == ["%4fther"]
    taken = begin(harness)
    harness.commit()
    assert taken.made
    assert disk.read(path.replace(SPOOL, f"{PLACE}/one")) == damaged
    other = Harness(disk, path=f"{PLACE}/one", refuses=True)
    assert other.items() == then[b"jobs"]
    assert list(other.spool.refused) == ["%4fther"]


def test_ids_of_deleted_queues_never_come_again_in_a_snapshot() -> None:
    disk = empty_disk()
    harness = filled(disk)
    harness.queues.delete(b"jobs")
    harness.commit()
    taken = begin(harness)
    harness.commit()
    assert taken.made
    assert disk.read(f"{PLACE}/one/.ids") == disk.read(f"{SPOOL}/.ids")
    assert found_in(disk)[b"jobs"] is None


def test_there_is_no_snapshot_where_it_has_no_room() -> None:
    disk = empty_disk()
    harness = filled(disk)
    disk.room = 1000
    with pytest.raises(JournalError, match="no room for a snapshot"):
        begin(harness)
    assert ".snapshots" not in disk.list_directory(SPOOL)


def test_of_many_queues_all_files_are_synced_with_one_call() -> None:
    disk = empty_disk()
    harness = Harness(disk)
    for number in range(100):
        harness.put(b"1", b"%d" % number)
    harness.commit()
    calls = len(disk.calls)
    taken = begin(harness)
    harness.commit()
    assert taken.made
    made = disk.calls[calls:]
    assert sum(call.startswith("sync_file_system") for call in made) == 1
    assert not [call for call in made if call.startswith("sync ")]
    other = Harness(disk.after_power_cut(), path=f"{PLACE}/one")
    assert len(other.queues.names()) == 100
