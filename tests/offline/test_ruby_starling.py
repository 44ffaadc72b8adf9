"""The Ruby Starling's spool: what it would have served next is what is read."""

import os
import stat
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.offline import ruby_starling
from starling_py.offline.old_spool import OldItem
from tests.offline.old_files import NOW_MS, check_unread, lengths, queues_in, whole
from tests.offline.ruby_writer import POP, item, only_queue, push, read

EXPIRY = 1_290_000_000
JOURNAL = [push(b"one"), push(b"two", EXPIRY), POP, push(b""), push(b"\x01\0\r\n" * 9), POP, POP]


def left_after(records: list[bytes]) -> list[OldItem]:
    """Return what a queue holds after these records: the model."""
    left: deque[OldItem] = deque()
    for each in records:
        if each != POP:
            left.append(item(each[9:], int.from_bytes(each[5:9], "little")))
        elif left:
            left.popleft()
    return list(left)


def test_the_example_that_was_seen_on_a_disk_is_an_item_that_was_taken(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, bytes.fromhex("00 09000000 00000000 68656c6c6f 01"))
    assert (queue.count, list(queue.items), queue.problems) == (0, [], [])


def test_what_was_pushed_and_not_taken_is_left_in_its_order(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, push(b"a") + push(b"b") + POP + push(b"c", EXPIRY))
    assert queue.count == 2
    assert list(queue.items) == [item(b"b"), item(b"c", EXPIRY)]
    assert queue.problems == []


def test_items_may_be_asked_for_again(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, push(b"a") + push(b"b"))
    assert next(iter(queue.items)) == item(b"a")
    assert list(queue.items) == list(queue.items) == [item(b"a"), item(b"b")]


def test_every_32_bits_of_an_expiry_are_seconds_since_the_epoch(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, push(b"", 1) + push(b"", 2**32 - 1))
    assert [each.expiry_ms for each in queue.items] == [1000, (2**32 - 1) * 1000]


def test_an_empty_file_is_an_empty_queue(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, b"")
    assert (queue.count, list(queue.items), queue.problems) == (0, [], [])


def test_queues_come_by_name(tmp_path: Path) -> None:
    spool = read(tmp_path, b=push(b"2"), a=push(b"1"), c=b"")
    assert [(each.name, list(each.items)) for each in queues_in(spool)] == [
        (b"a", [item(b"1")]),
        (b"b", [item(b"2")]),
        (b"c", []),
    ]


@given(
    records=st.lists(st.just(POP) | st.builds(push, st.binary(), st.integers(0, 2**32 - 1))),
)
def test_any_pushes_and_pops_leave_what_the_model_holds(
    records: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    queue = only_queue(tmp_path_factory.mktemp("spool"), b"".join(records))
    expected = left_after(records)
    assert (queue.count, list(queue.items)) == (len(expected), expected)


@pytest.mark.parametrize("length", lengths(JOURNAL))
def test_a_cut_ruby_journal_is_read_up_to_its_last_whole_record(
    length: int, tmp_path: Path
) -> None:
    left = whole(JOURNAL, length)
    end = len(b"".join(left))
    queue = only_queue(tmp_path, b"".join(JOURNAL)[:length])
    assert list(queue.items) == left_after(left)
    assert [each.offset for each in queue.problems] == ([end] if end < length else [])
    for problem in queue.problems:
        assert "cut short" in problem.what
        assert f"{length - end} bytes" in problem.done


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (b"\x02", "byte 0x02 begins no record"),
        (b"\0\x03\0\0\0" + bytes(20), "size that cannot be: 3"),
        (bytes(50), "size that cannot be: 0"),
        (b"\0\xff\xff\xff\xff" + bytes(20), "size that cannot be: 4294967295"),
        (b"\0\xff\xff\xff\0" + bytes(20), "cut short"),
    ],
    ids=["opcode", "size below the least", "zeros", "enormous size", "size behind the end"],
)
def test_damage_ends_a_ruby_journal_and_is_told_with_what_was_unread(
    damage: bytes, what: str, tmp_path: Path
) -> None:
    sound = push(b"a") + push(b"b") + POP
    unread = damage + push(b"behind") + POP
    queue = only_queue(tmp_path, sound + unread)
    assert list(queue.items) == [item(b"b")]
    check_unread(queue, tmp_path / "jobs", len(sound), len(unread), what)


@given(content=st.binary(max_size=300))
def test_garbage_is_read_as_a_ruby_journal_without_an_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    queue = only_queue(tmp_path_factory.mktemp("spool"), content)
    assert len(list(queue.items)) == queue.count
    assert all(0 <= each.offset < len(content) for each in queue.problems)


def test_pops_of_nothing_are_ignored_and_reported_together(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, push(b"a") + POP + POP + POP + push(b"b"))
    assert list(queue.items) == [item(b"b")]
    (problem,) = queue.problems
    assert problem.offset == len(push(b"a") + POP)
    assert problem.what.startswith("2 removals")


@pytest.mark.parametrize(
    "name", [b"a+b", b".a", b"\xff\xfe", b"x" * 255, b"jobs.12", b"a b", b"\n"]
)
def test_every_name_in_a_ruby_spool_may_be_a_queue(name: bytes, tmp_path: Path) -> None:
    spool = read(tmp_path, **{os.fsdecode(name): push(b"a")})
    assert [each.name for each in queues_in(spool)] == [name]
    assert (spool.left_alone, spool.problems) == ([], [])


def test_what_is_no_file_is_left_out_and_reported(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    spool = read(tmp_path, jobs=push(b"a"))
    assert [each.name for each in queues_in(spool)] == [b"jobs"]
    assert [each.path.name for each in spool.left_alone] == ["folder", "nowhere", "pipe"]


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ruby_starling.read(tmp_path / "missing", NOW_MS)


def test_a_file_that_goes_between_listing_and_reading_is_reported(tmp_path: Path) -> None:
    spool = read(tmp_path, jobs=push(b"a"))
    (tmp_path / "jobs").unlink()
    (queue,) = queues_in(spool)
    assert (queue.count, list(queue.items)) == (0, [])
    (problem,) = queue.problems
    assert ("cannot be opened" in problem.what, problem.done) == (True, "nothing of it was read")


def test_a_ruby_file_that_shrinks_between_two_readings_is_reported(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, push(b"a") + push(b"b"))
    (tmp_path / "jobs").write_bytes(push(b"a"))
    assert list(queue.items) == [item(b"a")]
    assert [each.offset for each in queue.problems] == [len(push(b"a"))]


def test_a_file_that_changes_between_the_two_readings_is_reported(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, push(b"a") + push(b"b"))
    (tmp_path / "jobs").write_bytes(push(b"one longer item"))
    assert len(list(queue.items)) < queue.count
    assert queue.problems


def test_the_ruby_servers_files_are_left_as_they_were(tmp_path: Path) -> None:
    content = push(b"a") + POP + b"\x07"
    (tmp_path / "jobs").write_bytes(content)
    (tmp_path / "jobs").chmod(stat.S_IRUSR)
    before = (tmp_path / "jobs").stat()
    for queue in queues_in(ruby_starling.read(tmp_path, NOW_MS)):
        list(queue.items)
    after = (tmp_path / "jobs").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert [each.name for each in tmp_path.iterdir()] == ["jobs"]
    assert (tmp_path / "jobs").read_bytes() == content


BULK = push(bytes(ruby_starling.ROTATION_SIZE)) + POP


def test_the_push_that_an_interrupted_rotation_kept_comes_first(tmp_path: Path) -> None:
    files = {
        "jobs.1290000000": BULK + push(b"last"),
        "jobs.1280000000": BULK + push(b"older"),
        "jobs": push(b"taken") + push(b"new") + POP,
    }
    (queue,) = queues_in(read(tmp_path, **files))
    assert queue.name == b"jobs"
    assert list(queue.items) == [item(b"older"), item(b"last"), item(b"new")]
    assert [each.path.name for each in queue.notes] == ["jobs.1280000000", "jobs.1290000000"]
    assert queue.problems == []


def test_a_rotated_file_is_its_queue_even_when_no_new_file_was_begun(tmp_path: Path) -> None:
    (queue,) = queues_in(read(tmp_path, **{"jobs.1290000000": BULK + push(b"last")}))
    assert (queue.name, list(queue.items)) == (b"jobs", [item(b"last")])


@pytest.mark.parametrize(
    "content", [push(b"a"), BULK + push(b"a") + push(b"b")], ids=["too small", "too much left"]
)
def test_what_only_looks_like_a_rotated_file_is_a_queue_of_that_name(
    content: bytes, tmp_path: Path
) -> None:
    spool = read(tmp_path, **{"jobs.1290000000": content, "jobs": push(b"c")})
    assert [each.name for each in queues_in(spool)] == [b"jobs", b"jobs.1290000000"]
