"""The spool: one directory a queue, one server a spool, and nothing foreign is touched."""

import contextlib
import errno
import logging
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from starling_py.journal.directory_names import directory_name
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.removed_directories import REMOVED
from starling_py.journal.errors import JournalError, SpoolError
from starling_py.journal.format import record, segment
from starling_py.journal.format.record import Item
from starling_py.journal.spool import OWN_FILES
from starling_py.keys import Request
from starling_py.queues.delivery import Put
from starling_py.queues.queue_directory import Rules
from tests.core import put_with_care
from tests.journal.simulated_disk import CHANGES, SALT, Fault, ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import (
    DIRECTORY,
    NAME,
    SPOOL,
    Harness,
    dying_deletions,
    empty_disk,
    segments_of,
)

FIRST = f"{DIRECTORY}/0000000000000001.segment"


def spool_with(*names: bytes) -> SimulatedDisk:
    """Return a disk with queues of two items each."""
    disk = empty_disk()
    harness = Harness(disk)
    for name in names:
        harness.put_all([b"a", b"b"], name)
    harness.close()
    return disk


def names_in(disk: SimulatedDisk, path: str = SPOOL) -> list[str]:
    """Return what a directory holds, the server's own files left out."""
    return [name for name in disk.list_directory(path) if name not in OWN_FILES]


def journals_in(disk: SimulatedDisk) -> dict[str, bytes]:
    """Return all files but those of the server itself."""
    return {
        path: data
        for path, data in disk.contents().items()
        if path.rpartition("/")[2] not in OWN_FILES
    }


def test_a_disk_that_cannot_be_asked_for_its_size_has_none(tmp_path: Path) -> None:
    class Unasked(Files):
        def disk_size(self, path: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    for files, known in (Files(), True), (Unasked(), False):
        harness = Harness(files, path=str(tmp_path / "spool"))
        assert (harness.spool.disk_size() > 0) == known
        harness.close()


# Starting and names.


def test_an_empty_spool_has_no_queues_and_gets_only_a_lock(disk: SimulatedDisk) -> None:
    harness = Harness(disk)
    assert list(harness.queues.directory) == []
    harness.close()
    assert disk.list_directory(SPOOL) == [".lock"]


def test_asking_for_what_does_not_exist_leaves_nothing_on_disk(disk: SimulatedDisk) -> None:
    harness = Harness(disk)
    assert harness.pop(b"nobody") is None
    assert harness.queues.delete(b"nobody") is None
    assert harness.queues.flush(b"nobody") is None
    assert not harness.commits.touched
    assert names_in(disk) == []


@pytest.mark.parametrize(
    "name",
    [
        b"..", b".", b".lock", b"a.b", b"%2e%2e", b"UPPER", b"upper", b"~removed-", b"x~removed-1",
        b"\xff\xfe\x01", b"lost+found", b"a=b", b"a" * 249, b"A" * 249, "käse".encode(),
    ],
)  # fmt: skip
def test_any_name_is_a_queue_of_its_own_inside_the_spool(disk: SimulatedDisk, name: bytes) -> None:
    harness = Harness(disk)
    harness.put_all([b"x"], name)
    harness.put_all([b"y"], name.swapcase() + b"_")
    directory = directory_name(name)
    assert set(names_in(disk)) == {directory, directory_name(name.swapcase() + b"_")}
    assert "/" not in directory
    assert not directory.startswith(".")
    assert names_in(disk, f"{SPOOL}/{directory}") == ["0000000000000001.segment"]
    again = Harness(disk.after_process_death())
    assert again.datas(name) == [b"x"]
    assert {queue.name for queue in again.queues.directory} == {name, name.swapcase() + b"_"}


def test_a_new_spool_survives_a_power_cut_with_what_was_put_into_it() -> None:
    disk = SimulatedDisk.holding({"/var/": b""})
    harness = Harness(disk, path="/var/spool/starling")
    harness.put_all([b"a"])
    again = Harness(disk.after_power_cut(), path="/var/spool/starling")
    assert again.datas() == [b"a"]


def test_a_spool_that_cannot_be_made_is_one_line_that_names_it(disk: SimulatedDisk) -> None:
    disk.put("/file", b"")
    with pytest.raises(
        SpoolError, match=r"^/file/spool: the spool must be a folder, .*\(Not a directory\)"
    ):
        Harness(disk, path="/file/spool")
    disk.fault = Fault(1, errno.EACCES, frozenset({"lock"}))
    with pytest.raises(
        SpoolError, match=r"^/spool: this user cannot use the spool \(Permission denied\)"
    ):
        Harness(disk)


# One server.


def test_a_second_server_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "spool")
    harness = Harness(Files(), path=path)
    harness.put_all([b"a"])
    with pytest.raises(SpoolError, match=f"^{path}: another server is using this spool$"):
        Harness(Files(), path=path)
    harness.put_all([b"b"])
    harness.close()
    again = Harness(Files(), path=path)
    assert again.datas() == [b"a", b"b"]
    again.close()


def test_a_lock_left_behind_by_a_dead_server_keeps_nobody_out(disk: SimulatedDisk) -> None:
    Harness(disk).put_all([b"a"])
    assert Harness(disk.after_process_death()).datas() == [b"a"]


# Deleting.


def test_a_deleted_queue_leaves_nothing_and_can_be_made_anew(disk: SimulatedDisk) -> None:
    harness = Harness(disk, segment_size=100)
    harness.put_all([b"x" * 60] * 5)
    harness.queues.delete(NAME)
    harness.commit()
    assert names_in(disk) == []
    assert disk.open_descriptors == 1, "the reserve"
    harness.put_all([b"new"])
    assert harness.items() == ((6, b"new", 0),)
    assert Harness(disk.after_power_cut()).items() == ((6, b"new", 0),)


def test_a_queue_deleted_and_made_anew_in_one_commit_is_the_new_one(disk: SimulatedDisk) -> None:
    harness = Harness(disk, segment_size=100)
    harness.put_all([b"x" * 60] * 5)
    harness.queues.delete(NAME)
    harness.put(b"new")
    harness.commit()
    assert harness.datas() == [b"new"]
    assert Harness(disk.after_power_cut()).items() == harness.items() == ((6, b"new", 0),)


def test_a_queue_made_and_deleted_in_one_commit_leaves_nothing(disk: SimulatedDisk) -> None:
    harness = Harness(disk)
    harness.put(b"a")
    harness.queues.delete(NAME)
    harness.commit()
    assert harness.items() is None
    assert names_in(disk) == []


@pytest.mark.parametrize("power", [False, True], ids=["process killed", "power cut"])
def test_a_deletion_that_dies_at_any_call_is_done_or_not_done(power: bool) -> None:
    for calls, disk, died, whole in dying_deletions():
        survivor = disk.after_power_cut() if power else disk.after_process_death()
        again = Harness(survivor)
        assert again.items() in ((None, whole) if died else (None,)), f"call {calls}"
        if again.items() is None:
            assert names_in(survivor) == []
            again.put_all([b"new"])
            assert Harness(survivor.after_power_cut()).datas() == [b"new"]
    assert calls + 1 > 8


def test_removing_a_deleted_queue_at_the_start_may_die_at_any_call_too() -> None:
    # The directory of a queue whose deletion was written, and nothing more.
    disk = empty_disk()
    harness = Harness(disk, segment_size=100)
    harness.put_all([b"x" * 60] * 5)
    contents = segments_of(disk)
    contents[max(contents)] += record.bare(record.DELETE, 5, SALT)
    calls = 0
    died = True
    while died:
        disk = SimulatedDisk.holding(contents)
        disk.kill_process_after(calls)
        died = False
        try:
            Harness(disk)
        except ProcessKilled:
            died = True
        after_cuts = [disk.after_power_cut(Random(seed)) for seed in range(20)]
        for survivor in (*after_cuts, disk.after_process_death()):
            again = Harness(survivor)
            assert again.items() is None, f"call {calls}"
            assert names_in(survivor) == []
        calls += 1


@pytest.mark.parametrize("call", ["rename", "sync_directory", "unlink", "remove_directory"])
def test_an_item_put_after_a_removal_that_failed_is_not_lost(call: str) -> None:
    disk = empty_disk()
    harness = Harness(disk, segment_size=10**6)
    harness.put_all([b"x" * 60] * 5)
    harness.queues.delete(NAME)
    disk.fault = Fault(1, errno.EIO, frozenset({call}), lasting=True)
    harness.commit()
    assert disk.fault.struck
    disk.fault = None
    assert harness.items() is None
    harness.put(b"new")
    if harness.commit()[0].failed:
        assert harness.items() is None
    expected = harness.datas()
    assert Harness(disk.after_power_cut()).datas() == expected
    assert Harness(disk.after_process_death()).datas() == expected


def test_a_queue_deleted_twice_before_the_first_is_safe_leaves_no_files() -> None:
    disk = empty_disk()
    harness = Harness(disk, deferred=True)
    for _ in range(2):
        harness.put(b"x")
        harness.queues.delete(NAME)
        if not harness.deferred.waiting:
            harness.commit()
    harness.deferred.sync_one()
    while harness.commits.touched or harness.deferred.waiting:
        harness.commit()
        harness.deferred.sync_one()
    assert harness.queues.directory.known(NAME) is None
    assert not [path for path in disk.contents() if path.startswith(f"{DIRECTORY}/")]
    harness.put(b"new")
    assert not harness.commit()[0].failed


def test_a_queue_deleted_during_its_first_sync_stays_until_that_is_over() -> None:
    # With one open file, its own is closed twice meanwhile.
    harness = Harness(disk := empty_disk(), interval=3600, deferred=True, open_files=1)
    for name in (NAME, b"other"):
        harness.put(b"x", name)
    harness.commit()
    harness.clock.monotonic += 3600
    harness.commits.sync_if_due()
    harness.queues.delete(NAME)
    harness.commit()
    assert harness.deferred.sync_one().errors == [None, None]
    harness.put(b"new")
    harness.commit()
    assert not harness.commits.broken
    assert harness.datas() == [b"new"]
    assert Harness(disk.for_next_process()).datas() == [b"new"]


@pytest.mark.parametrize("call", ["rename", "sync_directory"])
def test_a_told_deletion_stays_after_a_power_cut_though_removing_failed(
    call: str,
) -> None:
    disk = empty_disk()
    harness = Harness(disk)
    harness.put_all([b"a", b"b"])
    harness.queues.delete(NAME)
    disk.fault = Fault(1, errno.EIO, frozenset({call}))
    (done,) = harness.commit()
    assert not done.failed
    assert harness.commits.finished == done.ticket
    assert Harness(disk.after_power_cut()).items() is None


def test_what_is_left_of_removed_queues_goes_at_the_next_start() -> None:
    disk = spool_with(NAME)
    disk.put(f"{SPOOL}/jobs{REMOVED}1/0000000000000003.segment", b"anything")
    disk.put(f"{SPOOL}/other{REMOVED}2/")
    assert Harness(disk).datas() == [b"a", b"b"]
    assert names_in(disk) == ["jobs"]


def test_what_is_left_of_a_removed_queue_is_in_nobodys_way() -> None:
    # Removed, made anew and deleted again; a power cut brought the first files back.
    contents = segments_of(spool_with(NAME))
    contents[FIRST] += record.bare(record.DELETE, 2, SALT)
    leftover = {f"{DIRECTORY}{REMOVED}{n}/0000000000000001.segment": b"x" for n in (1, 2, 3)}
    disk = SimulatedDisk.holding(contents | leftover)
    harness = Harness(disk)
    assert harness.items() is None
    assert names_in(disk) == []

    # The same while the server runs, where what is left cannot be removed.
    disk = spool_with(NAME)
    disk.put(f"{DIRECTORY}{REMOVED}1/a directory/")
    harness = Harness(disk)
    harness.queues.delete(NAME)
    harness.commit()
    harness.put_all([b"new"])
    assert harness.datas() == [b"new"]
    again = Harness(disk.after_power_cut())
    assert again.datas() == [b"new"]


# What is not of this server, and what is wrong.


def test_foreign_files_and_directories_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    disk = spool_with(NAME)
    foreign = {
        f"{SPOOL}/README": b"mine",
        f"{SPOOL}/notes{REMOVED}by-me": b"a file",
        f"{SPOOL}/lost+found/": b"",
        f"{SPOOL}/Backup/jobs.tar": b"mine",
        f"{SPOOL}/Backup/settings.new": b"mine",
    }
    for path, content in foreign.items():
        disk.put(path, content)
    harness = Harness(disk)
    assert harness.datas() == [b"a", b"b"]
    assert [queue.name for queue in harness.queues.directory] == [NAME]
    contents = disk.contents()
    assert {path: contents.get(path) for path in foreign} == foreign
    assert "README: not a journal of this server" in caplog.text


def test_an_unreadable_foreign_directory_keeps_no_server_from_starting() -> None:
    disk = spool_with(NAME)
    disk.put(f"{SPOOL}/lost+found/")

    class Guarded(SimulatedDisk):
        def list_directory(self, path: str) -> list[str]:
            if path.endswith("lost+found"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return super().list_directory(path)

    assert Harness(Guarded.holding(disk.contents())).datas() == [b"a", b"b"]


def test_a_file_in_the_place_of_a_queues_directory_costs_only_that_queue() -> None:
    disk = spool_with(b"other")
    disk.put(DIRECTORY, b"mine")
    harness = Harness(disk, refuses=True)
    for operation in (lambda: harness.put(b"x"), harness.pop, lambda: harness.queues.delete(NAME)):
        with pytest.raises(JournalError, match="refused: /spool/jobs: this is a regular file"):
            operation()
    assert harness.commit() == []
    assert harness.datas(b"other") == [b"a", b"b"]
    assert disk.contents()[DIRECTORY] == b"mine"


def test_a_link_to_a_queues_directory_is_never_written_over(
    tmp_path: Path,
) -> None:
    path = tmp_path / "spool"
    harness = Harness(Files(), path=str(path))
    harness.put_all([b"a"])
    harness.close()
    (path / "jobs").rename(tmp_path / "elsewhere")
    (path / "jobs").symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere" / "0000000000000001.segment").read_bytes()
    try:
        harness = Harness(Files(), path=str(path))
    except SpoolError:
        return
    harness.put(b"b")
    harness.commit()
    harness.close()
    after = (tmp_path / "elsewhere" / "0000000000000001.segment").read_bytes()
    assert after.startswith(before)


def test_a_journal_that_is_there_already_is_never_written_over(disk: SimulatedDisk) -> None:
    # As when somebody puts a copy back while the server runs.
    harness = Harness(disk)
    copy = segments_of(spool_with(NAME))
    for path, content in copy.items():
        disk.put(path, content)
    harness.put(b"x")
    harness.commit()
    contents = segments_of(disk)
    assert all(contents[path].startswith(content) for path, content in copy.items())


def test_the_directory_of_another_queue_is_refused_and_nothing_changed() -> None:
    contents = spool_with(NAME).contents(DIRECTORY)
    for torn in (b"", b"torn"):
        moved = {path.replace("/jobs/", "/other/"): data + torn for path, data in contents.items()}
        disk = SimulatedDisk.holding(moved)
        with pytest.raises(SpoolError, match=r"/spool/other: .*the journal of b'jobs'"):
            Harness(disk)
        after = disk.contents()
        assert {path: after.get(path) for path in moved} == moved
        assert set(after) - set(moved) == {f"{SPOOL}/.lock"}


def test_damage_refuses_that_queue_with_the_file_the_byte_and_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = spool_with(b"a", NAME, b"z")
    broken = bytearray(disk.contents()[FIRST])
    broken[60] ^= 1
    disk.put(FIRST, bytes(broken))
    before = segments_of(disk)
    harness = Harness(disk, refuses=True)
    (text,) = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert text.startswith(f"{FIRST}: damaged at byte 52: ")
    assert f"move {DIRECTORY} out of the spool" in text
    assert "\n" not in text
    with pytest.raises(JournalError, match=f"^the queue is refused: {FIRST}: damaged at byte 52: "):
        harness.put(b"x")
    assert harness.datas(b"a") == harness.datas(b"z") == [b"a", b"b"]
    harness.put_all([b"c"], b"a")
    harness.close()
    assert segments_of(disk) == before


def test_a_refused_queue_is_served_again_when_it_was_put_right() -> None:
    disk = spool_with(b"a", NAME, b"z")
    whole = segments_of(disk)
    disk.put(FIRST, b"x" * 100)
    harness = Harness(disk, refuses=True)
    harness.queues.reload(Rules())
    with pytest.raises(JournalError, match="the queue is refused"):
        harness.pop()
    disk.put(FIRST, whole[FIRST])
    harness.queues.reload(Rules())
    harness.put_all([b"c"])
    assert harness.pop_all(4) == [b"a", b"b", b"c", None]
    assert harness.queues.directory.refused == 0
    assert Harness(disk.after_power_cut()).datas() == []


def test_a_queue_whose_name_a_reload_cannot_make_safe_stays_refused() -> None:
    disk = spool_with(NAME)
    whole = segments_of(disk)
    disk.put(FIRST, b"x" * 100)
    harness = Harness(disk, refuses=True)
    disk.put(FIRST, whole[FIRST])
    disk.fault = Fault(2, errno.EIO, frozenset({"sync_directory"}))
    harness.queues.reload(Rules())
    assert disk.fault.struck
    assert harness.queues.directory.refused == 1
    harness.queues.reload(Rules())
    assert harness.queues.directory.refused == 0
    assert harness.datas() == [b"a", b"b"]


def test_a_refused_queue_that_was_moved_away_begins_anew() -> None:
    disk = spool_with(b"a", NAME)
    disk.put(FIRST, b"x" * 100)
    harness = Harness(disk, refuses=True)
    disk.rename(DIRECTORY, f"{SPOOL}/.aside")
    harness.queues.reload(Rules())
    assert harness.items() is None
    harness.put_all([b"new"])
    assert Harness(disk.after_power_cut()).datas() == [b"new"]


@pytest.mark.parametrize("name", [NAME, b"\xff" * 240, b"parent+child"], ids=["short", "long", "+"])
def test_every_operation_on_a_refused_queue_is_an_error(name: bytes) -> None:
    # The name of the long one cannot be told from that of its directory.
    disk = SimulatedDisk.holding({f"{SPOOL}/{directory_name(name)}": b"in its place"})
    disk.put(f"{SPOOL}/other/")
    queues = Harness(disk, refuses=True).queues
    what = Put(name, b"x", 0, 0)
    request = Request(name, name)
    operations: list[Callable[[], object]] = [
        lambda: queues.read(request),
        lambda: put_with_care(queues, what),
        lambda: queues.is_empty(name),
        lambda: queues.require_first(name),
        lambda: queues.delete(name),
        lambda: queues.flush(name),
    ]
    for operation in operations:
        with pytest.raises(JournalError, match="the queue is refused"):
            operation()
    assert queues.subscribe(name) is None
    snapshot = queues.queue_snapshot(name)
    assert snapshot is not None
    assert snapshot.journal_broken == 1


def test_a_parent_takes_no_put_that_a_refused_child_would_miss() -> None:
    disk = spool_with(b"parent")
    disk.put(f"{SPOOL}/{directory_name(b'parent+child')}", b"in its place")
    harness = Harness(disk, refuses=True)
    with pytest.raises(JournalError, match="the queue is refused"):
        harness.put(b"x", b"parent")
    assert harness.datas(b"parent") == [b"a", b"b"]


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (MemoryError(), "there is not enough memory to read it"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (TypeError("a defect"), "TypeError: a defect"),
    ],
    ids=["memory", "recursion", "defect"],
)
def test_whatever_is_raised_in_reading_one_queue_the_others_are_served(
    problem: Exception, told: str
) -> None:
    class Small(SimulatedDisk):
        def read(self, path: str) -> bytes:
            if path == FIRST:
                raise problem
            return super().read(path)

    disk = Small.holding(spool_with(b"a", NAME, b"z").contents())
    harness = Harness(disk, refuses=True)
    assert list(harness.spool.refused.values()) == [f"the queue is refused: {told}"]
    assert harness.datas(b"a") == harness.datas(b"z") == [b"a", b"b"]


def test_a_queue_of_a_newer_format_is_refused_and_the_reason_told() -> None:
    disk = spool_with(b"other")
    newer = bytearray(segment.encode(segment.Header(NAME, 1, 1, 1)))
    newer[8] = 7
    newer[-4:] = zlib.crc32(newer[:-4]).to_bytes(4, "little")
    disk.put(FIRST, bytes(newer) + b"".join(record.push(Item(1, 0, 0, 0, b"x"))))
    before = journals_in(disk)
    with pytest.raises(SpoolError, match=r"format version 7 is newer than this server's 5"):
        Harness(disk)
    assert journals_in(disk) == before


@pytest.mark.parametrize("call", ["read", "list_directory", "is_directory"])
def test_an_error_while_reading_back_is_one_line_and_changes_nothing(call: str) -> None:
    nth = 0
    while True:
        nth += 1
        disk = spool_with(b"one", b"two")
        before = journals_in(disk)
        fault = disk.fault = Fault(nth, errno.EIO, frozenset({call}))
        try:
            harness = Harness(disk, refuses=True)
        except SpoolError as problem:
            text = str(problem)
        else:
            if not fault.struck:
                break
            ((entry, text),) = harness.spool.refused.items()
            served = {"one": b"two", "two": b"one"}[entry]
            assert harness.datas(served) == [b"a", b"b"]
            harness.queues.reload(Rules())
            assert harness.datas(entry.encode()) == [b"a", b"b"]
        assert "Input/output error" in text
        assert journals_in(disk) == before
    assert nth > 1


def test_a_start_that_fails_at_any_call_loses_nothing() -> None:
    nth = 0
    struck = True
    while struck:
        nth += 1
        disk = spool_with(NAME, b"other")
        disk.put(FIRST, disk.contents()[FIRST] + b"torn")
        disk.put(f"{SPOOL}/gone{REMOVED}1/0000000000000001.segment", b"x")
        disk.put(f"{SPOOL}/empty/")
        fault = disk.fault = Fault(nth, errno.EIO, CHANGES | {"lock", "open"})
        with contextlib.suppress(SpoolError):
            Harness(disk)
        struck = fault.struck
        for survivor in (disk.after_power_cut(), disk.after_process_death()):
            again = Harness(survivor)
            assert again.datas() == again.datas(b"other") == [b"a", b"b"]
    assert nth > 8


def test_two_spools_in_one_process_do_not_meet(tmp_path: Path) -> None:
    one = Harness(Files(), path=str(tmp_path / "one"))
    two = Harness(Files(), path=str(tmp_path / "two"))
    one.put_all([b"a"])
    two.put_all([b"b"])
    assert (one.datas(), two.datas()) == ([b"a"], [b"b"])
    one.close()
    two.close()


def test_the_real_files_rotate_give_up_delete_and_recover(tmp_path: Path) -> None:
    path = str(tmp_path / "spool")
    for _ in range(3):
        harness = Harness(Files(), path=path, segment_size=150)
        harness.put_all([b"x" * 60] * 6)
        assert harness.pop_all(5) == [b"x" * 60] * 5
        harness.put_all([b"x"], b"short")
        harness.queues.delete(b"short")
        harness.commit()
        harness.close()
    harness = Harness(Files(), path=path, segment_size=150)
    assert [item_id for item_id, _, _ in harness.items() or ()] == [16, 17, 18]
    assert sorted(os.listdir(path)) == [".ids", ".lock", ".reserve", "jobs"]  # noqa: PTH208
    assert oct((Path(path) / "jobs").stat().st_mode & 0o777) <= "0o750"
    harness.close()


def test_a_spool_that_is_served_alone_is_of_no_group_any_more() -> None:
    disk = empty_disk()
    disk.put(f"{SPOOL}/.replica", b"a position")
    Harness(disk).close()
    assert f"{SPOOL}/.replica" not in disk.contents(SPOOL)
