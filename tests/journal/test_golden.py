"""Golden files: journals of every version of the format stay readable, and are still written so."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from starling_py.journal import checkpoint
from starling_py.journal.disk.files import Files
from starling_py.journal.format import record, segment
from starling_py.journal.format.record import MarkedItem
from starling_py.journal.ledger import Facts, Ledger
from tests.journal.make_golden import (
    EXPECTED,
    GOLDEN,
    IN_2020,
    IN_2033,
    JOURNALS,
    SaltedFiles,
    describe,
    write_journals,
)
from tests.journal.spool_harness import NOW_MS, Harness, without_mark

VERSIONS = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())


def files_under(path: Path) -> dict[str, bytes]:
    """Return the bytes of all segments under a directory."""
    return {
        str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*.segment"))
    }


def test_there_is_a_folder_for_every_version_of_the_format() -> None:
    assert [f"v{number}" for number in range(1, segment.VERSION + 1)] == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_a_journal_of_an_older_version_is_read_and_goes_on(version: str, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    shutil.copytree(GOLDEN / version / JOURNALS, spool)
    expected = json.loads((GOLDEN / version / EXPECTED).read_text())
    harness = Harness(Files(), path=str(spool))
    assert describe(harness) == expected
    assert files_under(spool) == files_under(GOLDEN / version / JOURNALS)
    for name in expected:
        harness.put_all([b"one more"], bytes.fromhex(name))
    for path, before in files_under(GOLDEN / version / JOURNALS).items():
        present = files_under(spool)
        # A segment of an older version is never written to: the next one is of the present one.
        if path in present and version != f"v{segment.VERSION}":
            assert present[path] == before or present[path][11] == 1, path
    after = describe(harness)
    harness.close()
    again = Harness(Files(), path=str(spool))
    assert describe(again) == after
    assert [each["put so far"] for each in after.values()] == [
        each["put so far"] + 1 for each in expected.values()
    ]
    again.close()


def test_the_present_version_is_still_written_as_in_its_golden_files(
    tmp_path: Path,
) -> None:
    harness = write_journals(tmp_path / "spool")
    golden = GOLDEN / f"v{segment.VERSION}"
    assert describe(harness) == json.loads((golden / EXPECTED).read_text())
    # End marks are behind what counts, and those of the last syncs may be missing.
    salt = SaltedFiles().random_bits()
    written, there = (
        {path: without_mark(data, salt) for path, data in files_under(folder).items()}
        for folder in (tmp_path / "spool", golden / JOURNALS)
    )
    assert written == there


@pytest.mark.parametrize("version", VERSIONS)
def test_a_journal_of_any_version_is_drained_in_order(version: str, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    shutil.copytree(GOLDEN / version / JOURNALS, spool)
    expected = json.loads((GOLDEN / version / EXPECTED).read_text())
    harness = Harness(Files(), path=str(spool), window_size=1024, segment_size=2000)
    rest: dict[str, list[str]] = {}
    for name, queue in expected.items():
        datas, rest[name] = in_order(queue, harness.clock.wall_ms)
        assert harness.pop_all(len(datas) + 1, bytes.fromhex(name)) == [*datas, None]
        harness.put_all([b"a", b"b"], bytes.fromhex(name))
    harness.close()
    again = Harness(Files(), path=str(spool))
    for name, queue in describe(again).items():
        items = queue["items"]
        assert isinstance(items, list)
        assert [data for *_, data in items] == [*rest[name], b"a".hex(), b"b".hex()]
        assert again.pop_all(3, bytes.fromhex(name)) == [b"a", b"b", None]
    again.close()


def in_order(queue: Mapping[str, Any], now_ms: int) -> tuple[list[bytes], list[str]]:
    """Return the data of what is handed out now, in that order, and what is due later."""
    out, later = [], []
    for item_id, _, dies_ms, _, data in queue["items"]:
        _, due_ms, front = queue.get("marks", {}).get(str(item_id), (0, 0, False))
        if due_ms > now_ms:
            later.append(data)
        elif not 0 < dies_ms <= now_ms:  # whatever has died is passed over
            out.append((-item_id if front else item_id, bytes.fromhex(data)))
    return [data for _, data in sorted(out)], later


def test_the_golden_files_hold_what_matters() -> None:
    segments = files_under(GOLDEN / "v1" / JOURNALS)
    assert len({name.rpartition("/")[0] for name in segments}) == 5
    assert len(segments) > 6
    first = [name for name in segments if name.startswith("%52otated/")]
    assert not first[0].endswith("0000000000000001.segment")


def check_records(version: int, queues: int) -> dict[int, list[bytes]]:
    """Return what there is of each type in the golden files of a version."""
    segments = files_under(GOLDEN / f"v{version}" / JOURNALS)
    assert len({name.rpartition("/")[0] for name in segments}) == queues
    headers = [segment.decode(memoryview(data)) for data in segments.values()]
    assert any(header.compacted for header, _ in headers)
    assert {header.version for header, _ in headers} == {version}
    found: dict[int, list[bytes]] = {}
    for data, (header, begin) in zip(segments.values(), headers, strict=True):
        for kind, _, start, end in record.walk(memoryview(data), begin, header.salt):
            found.setdefault(kind, []).append(data[start:end])
    return found


def ledgers_in(found: dict[int, list[bytes]], version: int) -> list[Ledger]:
    """Return what the checkpoints tell."""
    states = [
        checkpoint.decode(memoryview(each)[record.HEADER_SIZE :], version)
        for each in found[record.CHECKPOINT]
    ]
    return [state.ledger for state in states if state is not None]


def test_the_golden_files_of_version_2_hold_what_is_new_in_it() -> None:
    assert set(check_records(2, 6)) == {
        record.PUSH, record.REMOVE, record.FLUSH, record.DELETE, record.CHECKPOINT,
    }  # fmt: skip


def test_the_golden_files_of_version_3_hold_what_is_new_in_it() -> None:
    found = check_records(3, 9)
    # Type 5 is of version 1 alone.
    assert set(found) == set(range(record.PUSH, record.PUSH_MARKED + 1)) - {record.RECLAIM}
    marked = [record.marked_item_at(memoryview(each), 0, len(each)) for each in found[10]]
    for marks in (
        (0, 0, True),
        (0, 2, True),
        (0, 4, False),
        (IN_2033, 0, False),
        (IN_2020, 0, False),
    ):
        assert marks in {(each.due_ms, each.deliveries, each.front) for each in marked}
    assert any(record.kept_items(memoryview(each), 0, len(each)) for each in found[record.FLUSH])
    told = {mark for ledger in ledgers_in(found, 3) for mark in ledger.facts.values()}
    assert {Facts(2), Facts(1, IN_2033), Facts(4), Facts(0, 0, True), Facts(2, 0, True)} <= told


def test_the_golden_files_of_version_4_hold_what_is_new_in_it() -> None:
    found = check_records(4, 10)
    assert set(found) == set(check_records(3, 9))
    assert {1, 3} <= {ledger.first_id for ledger in ledgers_in(found, 4)}


def test_the_golden_files_of_version_5_hold_what_is_new_in_it() -> None:
    found = check_records(5, 13)
    assert set(found) == set(check_records(4, 10)) | {
        record.PAUSE,
        record.PUSH_MOVED,
        record.PUSH_ONCE,
    }
    moved = [record.marked_item_at(memoryview(each), 0, len(each)) for each in found[12]]
    reasons = [None if each.origin is None else each.origin.why for each in moved]
    assert reasons == ["deliveries", "expired", "buried", "moved"]
    (first, second) = [record.marked_item_at(memoryview(each), 0, len(each)) for each in found[13]]
    assert (first.token, second.token) == (b"\1" * 16, b"\2" * 16)
    known = [ledger.tokens for ledger in ledgers_in(found, 5) if ledger.tokens is not None]
    assert known[-1].find(first.token) == (NOW_MS, 1)
    assert {0, IN_2020} <= {ledger.paused_ms for ledger in ledgers_in(found, 5)}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_journal_of_an_older_version_goes_on_with_every_kind_of_record(
    version: str, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    shutil.copytree(GOLDEN / version / JOURNALS, spool)
    before = files_under(spool)
    harness = Harness(Files(), path=str(spool), segment_size=1 << 20)
    queue = harness.queues.directory.find(b"Rotated")
    assert queue is not None
    last = queue.journal.ledger.segments[-1]
    first = queue.open(NOW_MS, None, None)
    assert first is not None
    harness.commit()
    queue.flush()
    harness.commit()
    queue.put_marked(MarkedItem(queue.next_id, NOW_MS, 0, 0, b"in front", 0, 3, front=True))
    harness.commit()
    present = queue.journal.ledger.segments[-1]
    data = files_under(spool)[str(Path(present.path).relative_to(spool))]
    assert segment.decode(memoryview(data))[0].version == segment.VERSION
    if version != f"v{segment.VERSION}":
        assert present.number == last.number + 1
        old = {path: each for path, each in files_under(spool).items() if path in before}
        assert old.items() <= before.items()
    expected = {"first": [1, 0, False], "in front": [3, 0, True]}
    for _ in range(2):
        told = describe(harness)[b"Rotated".hex()]
        assert [data for *_, data in told["items"]] == [first.data.hex(), b"in front".hex()]  # type: ignore[attr-defined]
        assert list(told["marks"].values()) == list(expected.values())  # type: ignore[attr-defined]
        harness.close()
        harness = Harness(Files(), path=str(spool))
    assert harness.pop_all(3, b"Rotated") == [b"in front", first.data, None]
    harness.close()
