"""Segments that lost their names: what is in memory or in an open file is there again."""

from collections.abc import Callable

import pytest

from starling_py.journal.format import segment
from tests.journal.parts import is_broken, journal_of, sync_all
from tests.journal.simulated_disk import SimulatedDisk
from tests.journal.spool_harness import DIRECTORY, NAME, Harness
from tests.journal.test_healing import POLICIES, POLICY_NAMES, due

MORE = [b"more", b"and more"]


def filled(disk: SimulatedDisk, interval: float | None, window_size: int = 1 << 20) -> Harness:
    """Return a server with a journal of several segments, all of it safe."""
    harness = Harness(
        disk, segment_size=250, interval=interval, deferred=True, window_size=window_size
    )
    for number in range(12):
        harness.put_all([b"%d" % number * 60])
        sync_all(harness)
        due(harness)
    harness.pop_all(3)
    sync_all(harness)
    due(harness)
    return harness


def segments(disk: SimulatedDisk) -> list[str]:
    """Return the paths of the queue's segments, in the order of their numbers."""
    return [
        f"{DIRECTORY}/{name}" for name in disk.list_directory(DIRECTORY) if segment.SUFFIX in name
    ]


def notice(harness: Harness) -> None:
    """Keep house, and let what is broken be healed."""
    harness.queues.keep_house()
    harness.background.do_all()
    due(harness)
    sync_all(harness)
    harness.background.do_all()


def close_idle(harness: Harness) -> None:
    """Close the files of which nothing has to be synced, as housekeeping does."""
    harness.spool.open_files.close_idle(64)


def nothing(harness: Harness) -> None:
    """Leave the files open."""


@pytest.mark.parametrize("interval", POLICIES, ids=POLICY_NAMES)
@pytest.mark.parametrize("before", [nothing, close_idle])
@pytest.mark.parametrize("which", ["first", "middle", "last", "all", "directory"])
def test_what_is_in_memory_or_open_is_there_again_under_any_policy(
    disk: SimulatedDisk, interval: float | None, before: Callable[[Harness], None], which: str
) -> None:
    harness = filled(disk, interval)
    expected = harness.items()
    before(harness)
    paths = segments(disk)
    assert len(paths) >= 3
    chosen = {"first": paths[:1], "middle": paths[1:2], "last": paths[-1:]}.get(which, paths)
    for path in chosen:
        disk.unlink(path)
    if which == "directory":
        disk.remove_directory(DIRECTORY)
    notice(harness)
    assert harness.commits.lost_files == 1
    assert not is_broken(harness)
    assert harness.items() == expected
    harness.put_all(MORE)
    sync_all(harness)
    expected = harness.items()
    again = Harness(disk.after_process_death(), interval=interval)
    assert again.items() == expected
    assert len(again.pop_all(20)) == 20


@pytest.mark.parametrize("interval", POLICIES, ids=POLICY_NAMES)
@pytest.mark.parametrize("act", ["put", "take"])
def test_what_is_in_memory_outlives_a_write_that_finds_its_file_gone(
    disk: SimulatedDisk, interval: float | None, act: str
) -> None:
    harness = filled(disk, interval)
    expected = harness.items()
    close_idle(harness)
    for path in segments(disk):
        disk.unlink(path)
    if act == "put":
        harness.put(b"refused")
    else:
        harness.pop()
    harness.commit()
    assert is_broken(harness)
    notice(harness)
    due(harness)
    assert not is_broken(harness)
    assert harness.items() == expected
    again = Harness(disk.after_process_death(), interval=interval)
    assert again.items() == expected


@pytest.mark.parametrize("interval", POLICIES, ids=POLICY_NAMES)
def test_a_segment_that_is_gone_is_noticed_when_the_next_one_is_begun(
    disk: SimulatedDisk, interval: float | None
) -> None:
    harness = filled(disk, interval)
    harness.put_all([b"full" * 100])
    sync_all(harness)
    due(harness)
    expected = harness.items()
    close_idle(harness)
    disk.unlink(segments(disk)[-1])
    harness.put(b"refused")
    harness.commit()
    assert is_broken(harness)
    notice(harness)
    assert harness.items() == expected
    again = Harness(disk.after_process_death(), interval=interval)
    assert again.items() == expected


@pytest.mark.parametrize("interval", POLICIES, ids=POLICY_NAMES)
def test_what_nothing_has_any_more_is_counted_and_the_others_stay(
    disk: SimulatedDisk, interval: float | None
) -> None:
    harness = filled(disk, interval, window_size=1)
    queue = harness.queues.directory.find(NAME)
    assert queue is not None
    before = queue.items
    disk.unlink(segments(disk)[1])
    notice(harness)
    lost = queue.quarantined_items
    assert 0 < lost < before
    assert queue.items == before - lost == journal_of(harness).ledger.items
    harness.put_all(MORE)
    sync_all(harness)
    again = Harness(disk.after_process_death(), interval=interval, window_size=1)
    found = [each for each in again.pop_all(before + 2) if each is not None]
    assert len(found) == before - lost + len(MORE)
    numbers = [int(each[: len(each) // 60]) for each in found[: -len(MORE)]]
    assert numbers == sorted(numbers)


def test_what_has_a_segments_name_and_is_another_file_is_kept_aside(disk: SimulatedDisk) -> None:
    harness = filled(disk, 0)
    expected = harness.items()
    path = segments(disk)[-1]
    disk.unlink(path)
    disk.put(path, b"somebody's")
    notice(harness)
    assert harness.items() == expected
    assert disk.read(path + segment.DAMAGED_SUFFIX) == b"somebody's"
    assert Harness(disk.after_process_death()).items() == expected


def test_under_always_nothing_is_told_whenever_the_file_loses_its_name(
    disk: SimulatedDisk,
) -> None:
    """Whichever call comes next when it does; until no call is left before which it could."""
    for call in range(100):
        fresh = SimulatedDisk()
        harness = filled(fresh, 0)
        path = segments(fresh)[-1]
        left = call

        def lose(disk: SimulatedDisk = fresh, path: str = path) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                disk.before_call = None
                disk.unlink(path)

        fresh.before_call = lose
        harness.put(b"new")
        ticket = harness.commit()[0].ticket
        assert harness.deferred.waiting
        failed = sync_all(harness)
        fresh.before_call = None
        if left >= 0:
            return  # all calls were made before
        told = ticket <= harness.commits.finished and not failed and not is_broken(harness)
        lost_before_the_end = harness.commits.lost_files or is_broken(harness)
        assert told != bool(lost_before_the_end)
        if told:
            assert path in segments(fresh)
        notice(harness)
        found = Harness(fresh.after_process_death()).datas()
        if told:
            assert b"new" in found
        assert b"11" * 60 in found
    pytest.fail("it never ends")
