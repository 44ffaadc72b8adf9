"""``starling-journal import``: what the old servers left comes out of this one."""

import errno
import logging
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from starling_py.journal.disk import id_floor
from starling_py.journal.disk.files import Files
from starling_py.journal.disk.id_floor import IdFloor
from starling_py.journal.spool import LOCK
from starling_py.offline import importing, kestrel
from starling_py.offline.dump import Dump
from starling_py.offline.errors import ImportFailedError, ImportRefused
from starling_py.offline.importing import Import
from starling_py.offline.old_spool import OldItem, OldQueue, Problem
from starling_py.offline.publication import STAGING
from starling_py.offline.verify import verify
from tests.offline.journals import (
    Command,
    check_put,
    contents,
    drain,
    make_spool,
    open_core,
    segments,
    take,
)
from tests.offline.kestrel_writer import REMOVE, add
from tests.offline.old_files import NOW_MS, queues_in, write
from tests.offline.ruby_writer import POP, push

LATER = 2_000_000_000


def old_queues(**queues: list[OldItem]) -> list[OldQueue]:
    """Return old queues that hold these items."""
    return [OldQueue(name.encode(), len(items), items, []) for name, items in queues.items()]


def take_over(
    old: list[OldQueue],
    path: Path,
    *,
    files: Files | None = None,
    segment_size: int = 4096,
    keep_expired: bool = False,
) -> list[importing.Outcome]:
    """Import."""
    work = Import(
        files or Files(), str(path), segment_size, now_ms=NOW_MS, keep_expired=keep_expired
    )
    return work.run(old)


def items_of(path: Path, queue: bytes = b"jobs") -> list[tuple[bytes, int, int, int]]:
    """Return the data, flags and times of a queue's items as a server has them that starts."""
    with closing(open_core(path)) as core:
        found = core.queues.directory.find(queue)
        assert found is not None
        items = found._window.items
        return [(item.data, item.flags, item.added_ms, item.expiry_ms) for item in items]


def names_in(path: Path) -> list[str]:
    """Return what is in a directory."""
    return sorted(each.name for each in path.iterdir())


class FailingFiles(Files):
    """Fails in one kind of call, the ``nth`` time."""

    def __init__(self, call: str, nth: int, error: BaseException | None = None) -> None:
        self.call = call
        self.left = nth
        self.error = error or OSError(errno.EIO, "Input/output error")

    def _count(self, call: str) -> None:
        self.left -= call == self.call
        if call == self.call and self.left == 0:
            raise self.error

    def write(self, descriptor: int, data: bytes) -> int:
        self._count("write")
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._count("sync")
        super().sync(descriptor)

    def rename(self, old: str, new: str) -> None:
        self._count("rename")
        super().rename(old, new)

    def create(self, path: str) -> int:
        self._count("create")
        return super().create(path)

    def make_directory(self, path: str) -> None:
        self._count("make_directory")
        super().make_directory(path)


# What arrives.


def test_a_spool_that_had_queues_before_gets_ids_that_none_of_them_had(tmp_path: Path) -> None:
    for _ in range(2):
        core = open_core(tmp_path / "new")
        check_put(core, 40)
        core.queues.delete(b"jobs")
        core.commit()
        core.close()
    noted = IdFloor(Files(), str(tmp_path / "new"), syncs=True).first_id
    assert noted > 40
    take_over(old_queues(jobs=[OldItem(b"x", NOW_MS, 0)] * 3), tmp_path / "new")
    with closing(open_core(tmp_path / "new")) as core:
        found = core.queues.directory.find(b"jobs")
        assert found is not None
        assert [item.id for item in found._window.items] == [noted, noted + 1, noted + 2]
        assert (found.total_items, found.next_id) == (3, noted + 3)
    report = verify(Files(), str(tmp_path / "new" / "jobs"), lambda _: None, in_spool=True)
    assert (report.damage, report.notes) == ([], [])


def test_into_a_spool_whose_ids_cannot_be_told_nothing_is_imported(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / id_floor.NAME).write_bytes(b"damaged")
    with pytest.raises(ImportRefused, match=r"/new/\.ids: damaged at byte 0: "):
        take_over(old_queues(jobs=[OldItem(b"x", NOW_MS, 0)]), tmp_path / "new")
    assert names_in(tmp_path / "new") == [id_floor.NAME, LOCK]


def test_items_keep_their_order_their_flags_and_their_times(tmp_path: Path) -> None:
    jobs = [OldItem(b"item %d" % n, NOW_MS - n, n and LATER * 1000 + n, n) for n in range(300)]
    other = [OldItem(bytes(range(256)), -1, 0, 2**32 - 1), OldItem(b"", 0, 0)]
    outcomes = take_over(old_queues(jobs=jobs, Other=other, empty=[]), tmp_path / "new")
    assert [(each.queue, each.imported, each.bytes) for each in outcomes] == [
        (b"jobs", 300, sum(len(item.data) for item in jobs)),
        (b"Other", 2, 256),
        (b"empty", 0, 0),
    ]
    assert names_in(tmp_path / "new") == ["%4fther", LOCK, "jobs"]
    for name, items in ((b"jobs", jobs), (b"Other", other)):
        assert items_of(tmp_path / "new", name) == [
            (item.data, item.flags, item.added_ms, item.expiry_ms) for item in items
        ]
    with closing(open_core(tmp_path / "new")) as core:
        check_put(core, 1, first=301)
        assert take(core, 301)[-1] == b"item 301"


def test_segments_are_as_large_as_a_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Command
) -> None:
    monkeypatch.setattr(importing, "BATCH_ITEMS", 10)
    items = [OldItem(b"%03d" % n * 30, NOW_MS, 0) for n in range(200)]
    take_over(old_queues(jobs=items), tmp_path / "new")
    sizes = [each.stat().st_size for each in segments(tmp_path / "new" / "jobs")]
    assert len(sizes) > 4
    assert all(4096 <= size < 4096 + 2000 for size in sizes[:-1])
    assert run("verify", tmp_path / "new").status == 0
    found = [entry.item for entry in Dump(Files(), str(tmp_path / "new" / "jobs")).live()]
    assert [item.data for item in found if item is not None] == [item.data for item in items]


def test_what_has_expired_is_left_out_and_counted_unless_it_is_kept(tmp_path: Path) -> None:
    items = [OldItem(b"dead", 1, NOW_MS), OldItem(b"a", 1, 0), OldItem(b"b", 1, NOW_MS + 1)]
    (outcome,) = take_over(old_queues(jobs=items), tmp_path / "new")
    assert (outcome.imported, outcome.bytes, outcome.expired) == (2, 2, 1)
    (outcome,) = take_over(old_queues(jobs=items), tmp_path / "kept", keep_expired=True)
    assert (outcome.imported, outcome.expired) == (3, 0)
    assert drain(tmp_path / "kept") == [b"a", b"b"]


def test_a_spool_that_is_there_gets_the_new_queues_beside_its_own(tmp_path: Path) -> None:
    make_spool(tmp_path / "new", 3, queue=b"present")
    (tmp_path / "new" / STAGING / "jobs").mkdir(parents=True)
    (tmp_path / "new" / STAGING / "jobs" / "x.segment").write_bytes(b"of an import that was killed")
    take_over(old_queues(jobs=[OldItem(b"a", 1, 0)]), tmp_path / "new")
    assert names_in(tmp_path / "new") == [LOCK, "jobs", "present"]
    assert drain(tmp_path / "new", b"present") == [b"item 1", b"item 2", b"item 3"]
    assert drain(tmp_path / "new") == [b"a"]


# The command.


def test_a_spool_of_starling_is_taken_over(tmp_path: Path, run: Command) -> None:
    jobs = push(b"taken") + push(b"one") + POP + push(b"two", 4_000_000_000)
    old = write(tmp_path / "old", {"jobs": jobs, "mail": push(b"dead", 1) + push(b"new")})
    before = contents(old)
    told = run("import", "--from", "starling", old, tmp_path / "new")
    assert told.out == [
        "jobs: 2 items, 6 bytes",
        "mail: 1 item, 3 bytes; 1 expired left out",
        f"2 queues, 3 items imported into {tmp_path}/new",
    ]
    assert (told.status, told.err) == (0, [])
    assert contents(old) == before
    assert [(data, expiry) for data, _, _, expiry in items_of(tmp_path / "new")] == [
        (b"one", 0),
        (b"two", 4_000_000_000_000),
    ]


def test_a_spool_of_kestrel_is_taken_over(tmp_path: Path, run: Command) -> None:
    jobs = add(b"taken") + add(b"one", 5, 0) + REMOVE + add(b"dead", 6, 7)
    old = write(tmp_path / "old", {"jobs": jobs})
    told = run("import", "--from", "kestrel", "--expired", "keep", old, tmp_path / "new")
    assert told.out[0] == "jobs: 2 items, 7 bytes"
    assert told.status == 0
    assert items_of(tmp_path / "new") == [(b"one", 0, 5, 0), (b"dead", 0, 6, 7)]


def test_what_cannot_be_read_is_told_and_the_rest_is_taken_over(
    tmp_path: Path, run: Command
) -> None:
    old = write(tmp_path / "old", {"jobs": push(b"one") + b"\xffgarbage"})
    (old / "sub").mkdir()
    told = run("import", "--from", "starling", old, tmp_path / "new")
    assert told.out == [
        "jobs: 1 item, 3 bytes",
        f"left alone: {old}/sub: a directory",
        f"not read: {old}/jobs: at byte 12: byte 0xff begins no record; 8 bytes, up to the end of"
        " the file, were not read; what is in front of them was",
        f"1 queue, 1 item imported into {tmp_path}/new",
    ]
    assert told.status == 1


# What is refused.


def test_a_queue_of_the_same_name_is_refused_and_nothing_changes(
    tmp_path: Path, run: Command
) -> None:
    old = write(tmp_path / "old", {"a": push(b"one"), "jobs": push(b"one")})
    make_spool(tmp_path / "new", 1)
    before = contents(tmp_path / "new")
    told = run("import", "--from", "starling", old, tmp_path / "new")
    assert told.err == [
        f"starling-journal: {tmp_path}/new: has a queue jobs already; nothing was changed"
    ]
    assert (told.status, told.out) == (2, [])
    assert contents(tmp_path / "new") == before


def test_a_spool_that_a_server_uses_is_refused(tmp_path: Path) -> None:
    core = open_core(tmp_path / "new")
    check_put(core, 1, b"present")
    before = contents(tmp_path / "new")
    with pytest.raises(ImportRefused, match=f"^{tmp_path}/new: a server is using this spool$"):
        take_over(old_queues(jobs=[OldItem(b"a", 1, 0)]), tmp_path / "new")
    assert contents(tmp_path / "new") == before
    core.close()


@pytest.mark.parametrize("new", ["old", "old/new", ".", "link"])
def test_the_old_spool_is_never_written_to(tmp_path: Path, run: Command, new: str) -> None:
    old = write(tmp_path / "old", {"jobs": push(b"one")})
    (tmp_path / "link").symlink_to(old)
    before = contents(tmp_path)
    told = run("import", "--from", "starling", old, tmp_path / new)
    assert told.status == 2
    assert told.err[0].endswith("the new spool must not be the old one, in it, or around it")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("new", ["jobs", "inner"])
def test_a_spool_in_a_spool_is_refused(tmp_path: Path, run: Command, new: str) -> None:
    old = write(tmp_path / "old", {"mail": push(b"one")})
    make_spool(tmp_path / "spool", 1)
    before = contents(tmp_path)
    told = run("import", "--from", "starling", old, tmp_path / "spool" / new)
    assert told.err == [
        f"starling-journal: {tmp_path}/spool/{new}: this is in the spool {tmp_path}/spool; give the"
        " spool itself"
    ]
    assert told.status == 2
    assert contents(tmp_path) == before


@pytest.mark.parametrize("queue", [b"0000000000000001.segment", b".lock", b".importing", b".ids"])
def test_a_queue_that_is_named_like_a_file_of_ours_is_taken_over(
    tmp_path: Path, run: Command, queue: bytes
) -> None:
    old = write(tmp_path / "old", {queue.decode(): push(b"one"), "jobs": push(b"two")})
    for new in ("new", "again"):  # beside a queue of this name, too
        assert run("import", "--from", "starling", old, tmp_path / new).status == 0
        write(old, {"later": push(b"three")})
        told = run("import", "--from", "starling", "--queue", "later", old, tmp_path / new)
        assert told.status == 0
        assert drain(tmp_path / new, queue) == [b"one"]
        assert drain(tmp_path / new) == [b"two"]
        assert drain(tmp_path / new, b"later") == [b"three"]
        (old / "later").unlink()


def test_beside_a_lock_that_is_no_spools_a_new_spool_may_be(tmp_path: Path, run: Command) -> None:
    old = write(tmp_path / "old", {"jobs": push(b"one")})
    write(tmp_path / "home", {".lock": b"of something else"})
    assert run("import", "--from", "starling", old, tmp_path / "home" / "new").status == 0


def test_wrong_paths_are_one_line(tmp_path: Path, run: Command) -> None:
    told = run("import", "--from", "kestrel", tmp_path / "none", tmp_path / "new")
    assert told.err == [f"starling-journal: {tmp_path}/none: No such file or directory"]
    assert told.status == 2
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "jobs").write_bytes(add(b"a"))
    (tmp_path / "file").write_bytes(b"")
    told = run("import", "--from", "kestrel", tmp_path / "old", tmp_path / "file")
    assert told.err == [f"starling-journal: {tmp_path}/file: Not a directory"]
    assert told.status == 2
    assert names_in(tmp_path) == ["file", "old"]


# What fails.

FAILURES = [
    ("write", 1), ("write", 2), ("write", 4), ("sync", 1), ("sync", 3), ("create", 2),
    ("rename", 1), ("rename", 3), ("rename", 9), ("rename", 10),
    ("make_directory", 3), ("make_directory", 4),
]  # fmt: skip


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize(("call", "nth"), FAILURES)
def test_an_import_that_fails_removes_what_it_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
    nth: int,
    is_there: bool,
) -> None:
    caplog.set_level(logging.CRITICAL + 1)
    monkeypatch.setattr(importing, "BATCH_ITEMS", 10)
    new = tmp_path / "above" / "new"
    if is_there:
        make_spool(new, 1, queue=b"present")
        nth -= 2 if call == "make_directory" else 0
    before = contents(tmp_path)
    files = FailingFiles(call, nth)
    items = [OldItem(b"x" * 100, 1, 0) for _ in range(100)]
    with pytest.raises(
        ImportFailedError, match=r"Input/output error; what was made is removed again$"
    ):
        take_over(old_queues(a=items, b=items), new, files=files)
    assert files.left <= 0
    assert contents(tmp_path) == before


def test_an_import_that_is_interrupted_removes_what_it_made(tmp_path: Path) -> None:
    files = FailingFiles("write", 3, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        take_over(old_queues(jobs=[OldItem(b"x", 1, 0)] * 5000), tmp_path / "new", files=files)
    assert names_in(tmp_path) == []


def test_a_queue_is_not_seen_before_it_is_whole(tmp_path: Path) -> None:
    seen = []

    def items() -> Iterator[OldItem]:
        for _ in range(2500):
            seen.append(names_in(tmp_path / "new"))
            yield OldItem(b"x" * 100, 1, 0)

    class Items:
        def __iter__(self) -> Iterator[OldItem]:
            return items()

    take_over([OldQueue(b"jobs", 2500, Items(), [])], tmp_path / "new")
    assert all(each == [STAGING, LOCK] for each in seen)
    assert names_in(tmp_path / "new") == [LOCK, "jobs"]


def test_problems_of_the_second_reading_are_in_the_outcome(tmp_path: Path) -> None:
    problems: list[Problem] = []

    class Items:
        def __iter__(self) -> Iterator[OldItem]:
            yield OldItem(b"a", 1, 0)
            problems.append(Problem(tmp_path, 0, "gone", "not read"))

    (outcome,) = take_over([OldQueue(b"jobs", 2, Items(), problems)], tmp_path / "new")
    assert (outcome.imported, len(outcome.problems)) == (1, 1)


@pytest.mark.long
def test_a_large_spool_is_imported_in_little_memory(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    with (old / "jobs").open("wb") as file:
        for number in range(300_000):
            file.write(add(b"%d" % number * 100))
    tracemalloc.start()
    (outcome,) = take_over(
        queues_in(kestrel.read(old, NOW_MS)), tmp_path / "new", segment_size=16 << 20
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (outcome.imported, outcome.problems) == (300_000, [])
    assert peak < 16 << 20
    found = Dump(Files(), str(tmp_path / "new" / "jobs")).live()
    for number, entry in enumerate(found):
        assert entry.item is not None
        assert entry.item.data == b"%d" % number * 100
    assert number == 299_999
