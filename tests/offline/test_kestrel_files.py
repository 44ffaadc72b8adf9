"""Kestrel's files: which ones are a queue, in which order, and which are left out."""

import os
from pathlib import Path

import pytest

from tests.offline.kestrel_writer import REMOVE, add, data_of, only_queue, open_read, read
from tests.offline.old_files import queues_in


def test_older_files_are_read_by_number_and_the_current_one_last(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, add(b"4"), _1000=add(b"3") + REMOVE, _20=add(b"1"), _999=add(b"2"))
    assert data_of(queue) == [b"2", b"3", b"4"]
    assert queue.problems == []


def test_a_queue_may_have_older_files_only(tmp_path: Path) -> None:
    (queue,) = queues_in(read(tmp_path, {"jobs.5": add(b"a") + open_read(3)}))
    assert data_of(queue) == [b"a"]


def test_a_pack_takes_the_place_of_every_file_up_to_its_number(tmp_path: Path) -> None:
    queue = only_queue(
        tmp_path,
        add(b"new") + REMOVE,
        _5=add(b"x"),
        _6=add(b"y"),
        _6_pack=add(b"") + add(b"packed"),
        _7=add(b"later"),
    )
    assert data_of(queue) == [b"packed", b"later", b"new"]
    assert [each.path.name for each in queue.notes] == ["jobs.5", "jobs.6"]
    assert queue.problems == []


def test_the_newest_of_several_packs_counts(tmp_path: Path) -> None:
    queue = only_queue(
        tmp_path, b"", _5_pack=add(b"x"), _6=add(b"y"), _9_pack=add(b"z"), _10=add(b"w")
    )
    assert data_of(queue) == [b"z", b"w"]


def test_a_pack_that_may_hold_the_current_file_too_is_reported(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, add(b"b"), _9_pack=add(b"a"))
    assert data_of(queue) == [b"a", b"b"]
    (problem,) = queue.problems
    assert problem.path.name == "jobs.9.pack"
    assert "may come twice" in problem.done


def test_an_empty_pack_whose_content_was_not_yet_there_replaces_nothing(tmp_path: Path) -> None:
    files = {"jobs": add(b"b"), "jobs.5": add(b"a"), "jobs.9.pack": b"", "jobs~~8": add(b"a")}
    spool = read(tmp_path, files)
    (queue,) = queues_in(spool)
    assert data_of(queue) == [b"a", b"b"]
    assert [each.path.name for each in queue.notes] == ["jobs.9.pack"]
    assert [each.path.name for each in spool.left_alone] == ["jobs~~8"]
    assert queue.problems == []


def test_a_pack_of_an_empty_queue_replaces_what_was_there(tmp_path: Path) -> None:
    queue = only_queue(tmp_path, b"", _5=add(b"a"), _9_pack=b"")
    assert data_of(queue) == []
    assert [each.path.name for each in queue.notes] == ["jobs.5"]


@pytest.mark.parametrize("name", ["jobs~~12", "jobs~~12.5", ".kestrel-status", "jobs.x", "a~b"])
def test_a_file_that_is_no_part_of_a_queue_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    spool = read(tmp_path, {"jobs": add(b"a"), name: b"UP\n"})
    (queue,) = queues_in(spool)
    assert data_of(queue) == [b"a"]
    assert sorted(each.path.name for each in spool.left_alone) == sorted([name, "folder"])
    assert spool.problems == []


def test_what_kestrel_had_not_finished_is_no_damage(tmp_path: Path) -> None:
    spool = read(tmp_path, {"jobs": add(b"a"), "jobs~~12": add(b"a")})
    assert [each.path.name for each in spool.left_alone] == ["jobs~~12"]
    assert spool.problems == []


@pytest.mark.parametrize("name", ["mail.out", "jobs.bak", "a~b", ".jobs"])
def test_items_under_a_name_that_kestrel_never_gave_are_told(name: str, tmp_path: Path) -> None:
    spool = read(tmp_path, {"jobs": add(b"a"), name: REMOVE + add(b"b")})
    assert spool.names == [b"jobs"]
    (problem,) = spool.problems
    assert problem.path.name == name
    assert "but it has items in it" in problem.what


@pytest.mark.parametrize("name", [b"a+b", b"\xff\xfe", b"x" * 255, b"12", b"a b", b"\n"])
def test_every_other_name_in_kestrels_spool_may_be_a_queue(name: bytes, tmp_path: Path) -> None:
    spool = read(tmp_path, {os.fsdecode(name): add(b"a")})
    assert [each.name for each in queues_in(spool)] == [name]
    assert (spool.left_alone, spool.problems) == ([], [])


def test_a_fan_out_child_is_a_queue_of_its_own(tmp_path: Path) -> None:
    spool = read(tmp_path, {"jobs": add(b"a"), "jobs+copy": add(b"a") + REMOVE, "jobs+copy.5": b""})
    assert [(each.name, data_of(each)) for each in queues_in(spool)] == [
        (b"jobs", [b"a"]),
        (b"jobs+copy", []),
    ]
