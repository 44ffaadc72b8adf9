"""The log in front of the journals of a spool: what it does, when it fails, when it goes."""

import errno
import logging
from collections.abc import Sequence

import pytest

from starling_py.journal.log.log import NAMES, Log
from tests.journal.simulated_disk import SALT, Fault, SimulatedDisk
from tests.journal.spool_harness import SPOOL, Harness, empty_disk

QUEUES = [b"q%02d" % number for number in range(20)]
LOGS = [f"{SPOOL}/{name}" for name in NAMES]


def begun(
    disk: SimulatedDisk,
    *,
    size: int = 20_000,
    queues: Sequence[bytes] = QUEUES,
    interval: float | None = 0,
) -> Harness:
    """Return a spool whose queues have an item each, and whose log is made."""
    disk.next_salt = SALT
    harness = Harness(disk, segment_size=1 << 20, log_size=size, interval=interval)
    for _ in range(2):
        put_everywhere(harness, b"first", queues)
    harness.background.do_all()
    return harness


def put_everywhere(harness: Harness, data: bytes, queues: Sequence[bytes] = QUEUES) -> None:
    """Put an item into each queue, in one commit, and let the sync come that is due."""
    for name in queues:
        harness.put(data, name)
    harness.commit()
    harness.clock.monotonic += 1
    harness.commits.sync_if_due()


def the_log(harness: Harness) -> Log:
    """Return the log of a spool."""
    assert harness.spool.log is not None
    return harness.spool.log


def behind(harness: Harness) -> int:
    """Return of how many journals the log alone has the end."""
    return len(the_log(harness).everybody())


@pytest.mark.parametrize("interval", [0, 0.05])
def test_one_sync_makes_safe_what_many_queues_have_to_say(interval: float) -> None:
    disk = empty_disk()
    harness = begun(disk, interval=interval)
    del disk.calls[:]
    before = harness.commits.syncs
    put_everywhere(harness, b"second")
    assert sum(call.startswith("sync ") for call in disk.calls) == 1
    assert harness.commits.syncs == before + 1
    assert sum(call.startswith("write_at ") for call in disk.calls) == 1
    again = Harness(disk.after_power_cut())
    for name in QUEUES:
        assert again.datas(name)[-1] == b"second"


def test_a_log_without_worth_is_not_made_and_none_under_never() -> None:
    for interval, log_size in ((None, 1000), (0, 0)):
        disk = empty_disk()
        harness = Harness(disk, interval=interval, log_size=log_size)
        for _ in range(100):
            put_everywhere(harness, b"x", QUEUES[:3])
        assert not set(LOGS) & set(disk.contents())


def test_segments_are_synced_behind_the_log_until_it_has_room_again() -> None:
    disk = empty_disk()
    harness = begun(disk, size=4000)
    for number in range(40):
        put_everywhere(harness, b"%d" % number)
        assert behind(harness) <= len(QUEUES)
    assert the_log(harness).entries > 20
    for _ in range(10):
        harness.clock.monotonic += 1
        harness.commits.sync_if_due()
    assert the_log(harness).to_free() == []
    again = Harness(disk.after_power_cut())
    for name in QUEUES:
        assert again.datas(name) == [b"first", b"first", *(b"%d" % n for n in range(40))]


def test_the_log_grows_each_time_that_it_was_full_up_to_its_size() -> None:
    disk = empty_disk()
    harness = Harness(disk, segment_size=1 << 20, log_size=9_000_000)
    put_everywhere(harness, b"first")
    put_everywhere(harness, b"first")
    sizes = set()
    for _ in range(130):
        put_everywhere(harness, bytes(10_000))
        harness.background.do_all()
        sizes.add(the_log(harness).size)
    assert min(sizes) == 8 << 20
    assert max(sizes) == 18_000_000
    assert disk.open_descriptors < 60


def test_a_stop_in_order_leaves_no_log_and_all_in_the_segments() -> None:
    disk = empty_disk()
    harness = begun(disk)
    put_everywhere(harness, b"second")
    assert behind(harness) == len(QUEUES)
    harness.close()
    assert not set(LOGS) & set(disk.contents())
    left = disk.after_power_cut()
    for path in LOGS:
        if path in left.contents():
            left.unlink(path)
    again = Harness(left)
    for name in QUEUES:
        assert again.datas(name) == [b"first", b"first", b"second"]


@pytest.mark.parametrize("call", ["sync", "write_at"])
def test_a_log_that_fails_is_left_and_every_segment_synced_itself(call: str) -> None:
    disk = empty_disk()
    harness = begun(disk)
    put_everywhere(harness, b"second")
    disk.fault = Fault(1, errno.EIO, frozenset({call}), short=True)
    put_everywhere(harness, b"third")
    assert disk.fault.struck
    assert harness.commits.failures == 1
    assert not harness.commits.broken
    assert behind(harness) == 0
    harness.background.do_all()
    assert not set(LOGS) & set(disk.contents())
    again = Harness(disk.after_power_cut())
    for name in QUEUES:
        assert again.datas(name) == [b"first", b"first", b"second", b"third"]
    for _ in range(20):
        put_everywhere(harness, b"more")
    harness.background.do_all()
    assert set(LOGS) <= set(disk.contents()), "there is another one"


def test_a_log_that_somebody_removes_is_not_taken_for_safe() -> None:
    disk = empty_disk()
    harness = begun(disk)
    for path in LOGS:
        disk.unlink(path)
    put_everywhere(harness, b"second")
    again = Harness(disk.after_power_cut())
    for name in QUEUES:
        assert again.datas(name)[-1] == b"second"


def test_on_a_disk_with_little_room_no_log_is_made() -> None:
    disk = empty_disk()
    disk.room = 1_000_000
    harness = begun(disk, size=100_000)
    put_everywhere(harness, b"second")
    assert the_log(harness).size == 0
    assert harness.items(QUEUES[0])


def test_large_items_go_past_the_log() -> None:
    disk = empty_disk()
    harness = begun(disk, size=1 << 20)
    entries = the_log(harness).entries
    put_everywhere(harness, bytes(300_000), QUEUES[:2])
    assert the_log(harness).entries == entries


def test_a_segment_that_fails_behind_the_log_is_healed_from_the_log() -> None:
    disk = empty_disk()
    harness = begun(disk, size=3000)
    put_everywhere(harness, b"second")
    disk.fault = Fault(1, errno.EIO, frozenset({"sync"}))
    harness.commits.sync_everything()
    assert disk.fault.struck
    assert harness.commits.healed == 1
    again = Harness(disk.after_power_cut())
    for name in QUEUES:
        assert again.datas(name) == [b"first", b"first", b"second"]


@pytest.mark.parametrize("held", [False, True], ids=["removed", "about to be"])
def test_a_segment_that_all_has_left_by_the_log_is_not_told_as_lost(held: bool) -> None:
    disk = empty_disk()
    disk.next_salt = SALT
    harness = Harness(disk, segment_size=300, log_size=1 << 16)
    names = QUEUES[:3]
    for name in names:
        for number in range(9):
            put_everywhere(harness, b"%d" % number * 60, [name])
    harness.commits.sync_everything()
    harness.commits._closing = False
    queue = harness.queues.directory.by_name[names[0]]
    first = queue.journal.ledger.segments[0]
    if held:
        harness.spool._hold.begin()  # as a snapshot does
    for _ in range(6):
        for name in names:
            harness.pop(name)
        harness.commit()
    assert behind(harness)
    assert (first.path in disk.contents()) == held
    expected = harness.datas(names[0])
    queue.journal.distrust(OSError(errno.EIO, "as if a sync behind the log had failed"))
    harness.commits.sync_if_due()
    assert harness.commits.healed == 1
    assert queue.quarantined_items == 0
    harness.spool._hold.end()
    harness.background.do_all()
    assert first.path not in disk.contents()
    assert {each.path for each in queue.journal.ledger.segments} <= set(disk.contents())
    assert harness.datas(names[0]) == expected
    assert Harness(disk.after_power_cut()).datas(names[0]) == expected


def test_a_file_that_fails_when_it_is_closed_for_others_costs_no_put() -> None:
    disk = empty_disk()
    disk.next_salt = SALT
    harness = Harness(disk, segment_size=1 << 20, log_size=20_000, open_files=2)
    for name in QUEUES[:2]:
        put_everywhere(harness, b"first", [name])
        put_everywhere(harness, b"second", [name])
    assert behind(harness)
    disk.fault = Fault(1, errno.EIO, frozenset({"sync"}))
    for name in QUEUES[2:4]:
        harness.put(b"first", name)
    harness.commit()
    assert disk.fault.struck
    harness.clock.monotonic += 1
    harness.commits.sync_if_due()
    assert harness.commits.healed == 1
    assert harness.commits.failures == 0
    again = Harness(disk.after_power_cut())
    for name in QUEUES[:4]:
        assert again.datas(name) == [b"first", b"second"][: 2 if name in QUEUES[:2] else 1]


def test_with_few_open_files_few_queues_are_behind() -> None:
    disk = empty_disk()
    disk.next_salt = SALT
    harness = Harness(disk, segment_size=1 << 20, log_size=100_000, open_files=8)
    for _ in range(10):
        put_everywhere(harness, b"x", QUEUES[:3])
        put_everywhere(harness, b"x")
        assert behind(harness) <= 4


def test_a_server_that_ends_while_the_log_is_made_leaves_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    disk = empty_disk()
    harness = Harness(disk, log_size=10_000)
    for _ in range(2):
        harness.put(b"x")
        harness.commits.commit()
    assert harness.background.waiting
    work, _ = harness.background.waiting.popleft()
    work.run()
    assert set(LOGS) <= set(disk.contents())
    harness.close()
    assert not set(LOGS) & set(disk.contents())
    assert disk.open_descriptors == 0
    assert not caplog.records
