"""``starling-journal verify``: every wrong bit is found, and nothing that is right is blamed."""

import logging
import os
import shutil
import tracemalloc
from pathlib import Path
from random import Random

import pytest

from starling_py.journal import checkpoint
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.format import record, segment
from starling_py.journal.format.record import CHECKPOINT, MarkedItem
from starling_py.journal.ledger import Facts, Ledger
from starling_py.journal.recovery.recovery import recover
from starling_py.offline import segment_reader
from starling_py.offline.dump import Dump
from starling_py.offline.segment_reader import Stretch
from starling_py.offline.verify import Progress, Report, verify
from tests.journal.make_golden import GOLDEN, JOURNALS
from tests.journal.spool_harness import without_mark
from tests.offline.journals import (
    Command,
    check_put,
    contents,
    flip,
    headers,
    left_by_kill,
    make_compacted,
    make_spool,
    open_core,
    segments,
    take,
)


def check(directory: Path) -> Report:
    """Verify a queue's directory, and see that this changes nothing."""
    before = contents(directory)
    report = verify(Files(), str(directory), lambda _: None, in_spool=True)
    assert contents(directory) == before
    return report


def records(path: Path) -> list[tuple[int, int, int]]:
    """Return where the records of a sound segment are, and their types."""
    header, start = segment.decode(memoryview(path.read_bytes()))
    size = len(without_mark(path.read_bytes(), header.salt))
    parts = segment_reader.read(Files(), str(path), start, size, header.salt)
    found = []
    for part in parts:
        assert isinstance(part, Stretch)
        found += [(part.offset + a, part.offset + b, kind) for kind, _, a, b in part.found]
    return found


def why_refused(directory: Path) -> JournalDamagedError | None:
    """Start on a journal, and return why that is refused."""
    try:
        recover(Files(), str(directory), syncs=False)
    except JournalDamagedError as refusal:
        return refusal
    return None


def damage_of(report: Report) -> list[tuple[str, int]]:
    """Return files and offsets."""
    return [(os.path.basename(each.path), each.offset) for each in report.damage]  # noqa: PTH119


# What is sound.


def test_a_queue_is_told_in_one_line(tmp_path: Path, run: Command) -> None:
    make_spool(tmp_path / "spool", items=3)
    told = run("verify", tmp_path / "spool")
    assert told.out == ["jobs: sound, 3 items, 18 bytes, 1 segment", "1 queue: 1 sound, 0 damaged"]
    assert (told.status, told.err) == (0, [])
    told = run("verify", f"{tmp_path}/spool/jobs/")
    assert told.out == ["jobs: sound, 3 items, 18 bytes, 1 segment"]


@pytest.mark.parametrize("interval", [0, 3600, None], ids=["always", "interval", "never"])
def test_whatever_a_server_does_is_sound_at_every_moment(
    tmp_path: Path, interval: float | None
) -> None:
    spool = tmp_path / "spool"
    core = open_core(spool, interval)
    client = core.client()
    random = Random(1)
    for number in range(150):
        do = random.choices(
            ("put", "take", "flush", "delete", "restart", "open"), (60, 30, 2, 2, 3, 15)
        )[0]
        if do == "put":
            check_put(core, random.choice((1, 5)))
        elif do == "take":
            client.ask(b"get jobs\r\n" * random.choice((1, 3)))
        elif do == "open":
            end = random.choice((b"get jobs/close\r\n", b"get jobs/abort\r\n", b""))
            client.ask(b"get jobs/open\r\n" + end)
        elif do == "restart":
            core.close()
            core = open_core(spool, interval)
            client = core.client()
        else:
            client.ask(b"flush jobs\r\n" if do == "flush" else b"delete jobs\r\n")
        if interval and random.random() < 0.3:
            core.clock.advance(interval)
            core.commits.sync_if_due()
            core.commit()
        killed = left_by_kill(core, spool, tmp_path / f"{number}")
        queue = core.queues.directory.find(b"jobs")
        if queue is not None and (killed / "jobs").exists():
            report = check(killed / "jobs")
            assert (report.damage, report.items, report.unreadable) == ([], queue.items, 0)
            assert len(list(Dump(Files(), str(killed / "jobs")).live())) == queue.items
        shutil.rmtree(killed)
    core.close()


def test_compacted_segments_stand_for_others(tmp_path: Path) -> None:
    directory, head = make_compacted(tmp_path / "spool")
    report = check(directory)
    assert (report.damage, report.notes, report.items) == ([], [], 81 - head)
    live = Dump(Files(), str(directory)).live()
    assert [entry.id for entry in live] == list(range(head, 81))


def test_golden_journals_are_sound(run: Command) -> None:
    for folder in sorted(GOLDEN.iterdir()):
        told = run("verify", folder / JOURNALS)
        assert (told.status, told.err) == (0, [])
        assert told.out[-1].endswith("0 damaged")


def test_a_journal_of_version_1_that_went_on_is_sound(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    shutil.copytree(GOLDEN / "v1" / JOURNALS, spool)
    core = open_core(spool)
    for queue in (b"jobs", b"Rotated", b"flushed"):
        check_put(core, 8, queue)
        take(core, 2, queue)
    core.close()
    for directory in ("jobs", "%52otated", "flushed"):
        report = check(spool / directory)
        assert (report.damage, report.notes) == ([], [])


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_journal_of_an_older_version_that_went_on_with_marks_is_sound(
    tmp_path: Path, version: str, run: Command
) -> None:
    spool = tmp_path / "spool"
    shutil.copytree(GOLDEN / version / JOURNALS, spool)
    core = open_core(spool, segment_size=600)
    queue = core.queues.directory.find(b"Rotated")
    assert queue is not None
    now_ms = core.clock.wall_ms
    for number in range(12):
        marked = MarkedItem(queue.next_id, now_ms, 0, 0, b"x" * 60, 0, number, number % 3 == 0)
        queue.put_marked(marked)
        core.commit()
    for number in range(9):
        item = core.patiently(lambda: queue.open(now_ms, None, None))
        assert item is not None
        core.commit()
        read = queue.open_reads.get(item.id)
        assert read is not None
        if number % 3 == 0:
            queue.confirm(read)
        elif number % 3 == 1:
            queue.give_back_later(read, now_ms + 10**6)
        core.commit()
    queue.flush()
    core.commit()
    check_put(core, 8, b"Rotated")
    core.close()
    assert {header.version for header in headers(spool / "%52otated")} <= {1, 2, segment.VERSION}
    report = check(spool / "%52otated")
    assert (report.damage, report.notes) == ([], [])
    assert report.items == 8 + 3
    assert run("verify", spool).status == 0
    live = Dump(Files(), str(spool / "%52otated")).live()
    assert len(list(live)) == report.items
    told = run("stats", spool).out
    assert next(line.split()[:3] for line in told if line.endswith(" Rotated")) == [
        "11", str(report.bytes), "3"
    ]  # fmt: skip


def test_a_checkpoint_with_other_marks_than_the_segment_before_is_damage(
    tmp_path: Path,
) -> None:
    directory = make_spool(tmp_path / "spool")
    second = segments(directory)[1]
    data = second.read_bytes()
    header, start = segment.decode(memoryview(data))
    _, record_id, begin, end = next(record.walk(memoryview(data), start, header.salt))
    read = checkpoint.decode(memoryview(data)[begin + record.HEADER_SIZE : end])
    assert read is not None
    read.ledger.facts[2] = Facts(1)
    payload = checkpoint.encode(read.ledger, read.previous_end)
    wrong = record.bare(CHECKPOINT, record_id, header.salt, payload)
    second.write_bytes(data[:begin] + wrong + data[end:])
    report = check(directory)
    what = "the checkpoint and the segment before do not agree on the facts of items"
    assert f"{second}: damaged at byte {start}: {what}" in [str(each) for each in report.damage]


def test_a_mark_of_an_item_that_is_not_in_the_queue_is_damage(tmp_path: Path) -> None:
    directory = make_spool(tmp_path / "spool", items=3)
    (only,) = segments(directory)
    data = only.read_bytes()
    header, start = segment.decode(memoryview(data))
    ledger = Ledger(deleted=True, facts={7: Facts(0, 0, front=True)})
    wrong = record.bare(CHECKPOINT, 1, header.salt, checkpoint.encode(ledger, 0))
    _, _, _, end = next(record.walk(memoryview(data), start, header.salt))
    only.write_bytes(data[:start] + wrong + data[end:])
    report = check(directory)
    assert "the journal has a mark of item 7, which is not in the queue" in str(report.damage[-1])


# What a crash leaves is no damage.


def test_a_torn_tail_is_a_note(tmp_path: Path, run: Command) -> None:
    directory = make_spool(tmp_path / "spool")
    last = segments(directory)[-1]
    size = last.stat().st_size
    with last.open("ab") as file:
        file.write(b"half a record")
    told = run("verify", directory)
    what = f"13 bytes from byte {size} on are no whole record; the next start keeps them aside"
    assert told.out[1:] == [f"    note: {last}: {what}"]
    assert told.status == 0


def test_what_is_left_over_or_foreign_is_a_note(tmp_path: Path, run: Command) -> None:
    spool = tmp_path / "spool"
    directory = make_spool(spool)
    first = segments(directory)[0].name
    number = int(segments(directory)[-1].name[:16]) + 1
    for name in (f"{first}.torn-12", f"{first}.damaged", f"{first}.compacting", "notes.txt"):
        (directory / name).write_bytes(b"anything")
    (directory / f"{number:016}.segment.new").write_bytes(bytes(100))
    (spool / "jobs~removed-1").mkdir()
    (spool / "lost+found").mkdir()
    (spool / "empty").mkdir()
    told = run("verify", spool)
    assert told.status == 0
    notes = [line.split("note: ")[1].rpartition("/")[2] for line in told.out if "note: " in line]
    assert notes == [
        "empty: there is no journal in it",
        f"{first}.compacting: a compaction that was not finished; the next start removes it",
        f"{first}.damaged: a damaged segment that was kept aside; it is not read",
        f"{first}.torn-12: a torn tail that was kept aside; it is not read",
        "notes.txt: not of this server",
        f"{number:016}.segment.new: begun, and not needed; the next start removes it",
        "jobs~removed-1: a deleted queue; the next start removes it",
        "lost+found: not of this server; it is left alone",
    ]


# What is wrong.


def test_a_wrong_bit_in_any_place_of_any_segment_is_found_where_it_is(tmp_path: Path) -> None:
    directory, _ = make_compacted(tmp_path / "spool")
    *older, last = segments(directory)
    assert {header.compacted for header in headers(directory)} == {True, False}
    random = Random(2)
    for path in older:
        start = records(path)[0][0]
        for begin, end, _ in [(0, start, 0), *records(path)]:
            content = path.read_bytes()
            flip(path, random.randrange(begin, end), random.randrange(8))
            assert damage_of(check(directory))[0] == (path.name, begin)
            path.write_bytes(content)
    begin, end, kind = records(last)[0]
    assert kind == CHECKPOINT
    flip(last, random.randrange(begin, end))
    assert damage_of(check(directory))[0] == (last.name, begin)


def test_what_a_start_refuses_is_damage_wherever_the_bit_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1)
    directory = make_spool(tmp_path / "spool", items=14, taken=4)
    whole = {path: path.read_bytes() for path in segments(directory)}
    refused = 0
    for path, content in whole.items():
        for offset in range(len(content)):
            flip(path, offset, offset % 8)
            damage = check(directory).damage
            refusal = why_refused(directory)
            if refusal is not None:
                refused += 1
                assert refusal.path == str(path)
                assert damage, f"{path.name} at {offset}"
                assert damage[0].path == str(path)
            for each in directory.iterdir():
                each.unlink()
            for each, data in whole.items():
                each.write_bytes(data)
    assert refused > 100


def test_the_items_that_cannot_be_read_are_counted(tmp_path: Path, run: Command) -> None:
    directory = make_spool(tmp_path / "spool")
    path = segments(directory)[1]
    begin, end, _ = records(path)[2]
    flip(path, begin + 20)
    told = run("verify", directory)
    assert told.out == [
        f"jobs: damaged, 40 items (1 cannot be read), 271 bytes, {len(segments(directory))}"
        " segments",
        f"    {path}: damaged at byte {begin}: this record is not sound; the next one begins at"
        f" byte {end}",
    ]
    assert told.status == 1


def test_a_segment_that_is_missing_cut_short_or_of_another_queue_is_damage(tmp_path: Path) -> None:
    directory = make_spool(tmp_path / "spool")
    other = make_spool(tmp_path / "other", queue=b"others")
    path = segments(directory)[1]
    content = without_mark(path.read_bytes(), headers(directory)[1].salt)
    items = len(records(path)) - 1

    path.unlink()
    report = check(directory)
    assert (damage_of(report), report.unreadable) == ([(path.name, 0)], items)

    path.write_bytes(content[:-1])
    report = check(directory)
    assert (damage_of(report)[0], report.unreadable) == ((path.name, len(content) - 1), 1)

    path.write_bytes(content[:30])
    report = check(directory)
    assert (damage_of(report)[0][0], report.unreadable) == (path.name, items)

    path.write_bytes((other / path.name).read_bytes())
    report = check(directory)
    assert damage_of(report)[0] == (path.name, 0)
    assert "belongs to the queue b'others'" in str(report.damage[0])


def test_an_older_copy_of_a_segment_contradicts_the_checkpoint_behind_it(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    core = open_core(spool, segment_size=1000)
    check_put(core, 5)
    old = (spool / "jobs" / segment.file_name(1)).read_bytes()
    check_put(core, 40, first=6)
    core.close()
    (spool / "jobs" / segment.file_name(1)).write_bytes(old)
    report = check(spool / "jobs")
    assert damage_of(report)[0] == (segment.file_name(1), len(old))
    assert (segment.file_name(2), records(segments(spool / "jobs")[1])[0][0]) in damage_of(report)
    assert report.unreadable > 0


def test_a_directory_of_another_name_is_damage_in_a_spool_and_a_note_alone(
    tmp_path: Path, run: Command
) -> None:
    make_spool(tmp_path / "spool", items=1).rename(tmp_path / "spool" / "copy")
    told = run("verify", tmp_path / "spool")
    what = "this is the journal of b'jobs', whose directory is to be jobs"
    assert told.out[1] == f"    {tmp_path}/spool/copy: damaged at byte 0: {what}"
    assert (told.out[2], told.status) == ("1 queue: 0 sound, 1 damaged", 1)
    told = run("verify", tmp_path / "spool" / "copy")
    assert (told.out[1], told.status) == (f"    note: {tmp_path}/spool/copy: {what}", 0)


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    directory = make_spool(tmp_path / "spool", items=1)
    (path,) = segments(directory)
    flip(path, 8, 6)
    report = check(directory)
    assert damage_of(report) == [(path.name, 0)]
    assert "use a newer server" in str(report.damage[0])
    assert report.items is None


def test_a_directory_that_cannot_be_listed_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Files, path: str) -> list[str]:
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(Files, "list_directory", fail)
    report = verify(Files(), "/spool/jobs", lambda _: None, in_spool=True)
    assert str(report.damage[0]) == (
        "/spool/jobs: damaged at byte 0: the disk says: Input/output error"
    )


# A server that runs, and large spools.


def test_a_spool_in_use_is_read_with_a_warning(tmp_path: Path, run: Command) -> None:
    core = open_core(tmp_path / "spool")
    check_put(core, 30)
    told = run("verify", tmp_path / "spool" / "jobs")
    assert told.err == [
        f"starling-journal: {tmp_path}/spool/jobs: a server is using this spool; the figures may"
        " be moving"
    ]
    assert told.status == 0
    assert told.out[0].startswith("jobs: sound, 30 items")
    core.close()


def test_only_what_is_seen_every_time_is_damage_while_a_server_runs(
    tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = open_core(tmp_path / "spool")
    check_put(core, 30)
    second = segments(tmp_path / "spool" / "jobs")[1]
    flip(second, 150)
    looks: list[Report] = []

    def look(files: Files, directory: str, _: Progress, *, in_spool: bool) -> Report:
        report = verify(files, directory, lambda _: None, in_spool=in_spool)
        report.damage.append(JournalDamagedError(directory, len(looks), "passing"))
        looks.append(report)
        return report

    monkeypatch.setattr("starling_py.offline.commands.verify.verify", look)
    monkeypatch.setattr("time.sleep", lambda _: None)
    told = run("verify", tmp_path / "spool" / "jobs")
    assert len(looks) > 1
    assert (len(told.out), told.status) == (2, 1)
    assert told.out[1].startswith(f"    {second}: damaged at byte ")
    flip(second, 150)
    told = run("verify", tmp_path / "spool" / "jobs")
    assert (len(told.out), told.status) == (1, 0)
    core.close()


def test_progress_is_shown_where_it_is_asked_for(tmp_path: Path, run: Command) -> None:
    directory = make_spool(tmp_path / "spool")
    told = run("verify", "--progress", directory)
    assert told.err[-1].startswith("100%, ")
    assert told.err[-1].endswith(" bytes read")


@pytest.mark.long
def test_a_large_journal_is_verified_in_little_memory(tmp_path: Path) -> None:
    core = open_core(tmp_path / "spool", None, segment_size=4 << 20)
    client = core.client()
    data = b"x" * (1 << 18)
    for _ in range(1200):
        client.ask(b"set jobs 0 0 %d\r\n%s\r\n" % (len(data), data))
    core.close()
    del core, client
    tracemalloc.start()
    report = verify(Files(), str(tmp_path / "spool" / "jobs"), lambda _: None, in_spool=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (report.items, report.damage) == (1200, [])
    assert peak < 16 << 20


def test_what_a_server_notes_of_ids_is_no_foreign_file(tmp_path: Path, run: Command) -> None:
    core = open_core(tmp_path / "spool")
    check_put(core, 3)
    check_put(core, 3, b"gone")
    core.queues.delete(b"gone")
    core.commit()
    core.close()
    assert (tmp_path / "spool" / ".ids").exists()
    for command in ("verify", "stats"):
        told = run(command, tmp_path / "spool")
        assert told.status == 0
        assert ".ids" not in "".join((*told.out, *told.err))
