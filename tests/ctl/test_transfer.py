"""Items go out of queues and into others as they were, in their order."""

import json
import time
from pathlib import Path

import pytest

from starling_py.queues.queue_directory import Rules
from starling_py.settings.queue_table import QueueTable
from tests.core import Client, CoreHarness
from tests.ctl.conftest import Ctl


def test_what_was_exported_is_there_again_after_an_import(
    client: Client, ctl: Ctl, tmp_path: Path
) -> None:
    ctl("put", "jobs", "a", "--flags", 3)
    ctl("put", "jobs", "b", "--expire", "1h")
    ctl("put", "jobs", "c", "--delay", "1h")
    client.ask(b"set jobs 0 0 3\r\n\xff\r\n\r\n")
    ctl("put", "caf\udce9", "d")
    path = tmp_path / "items.jsonl"
    assert ctl("export", "-o", path).out == f"5 items of 2 queues in {path}\n"
    before = ctl("peek", "jobs", 9, "--json").objects()
    ctl("delete", "*", "--yes")
    assert ctl("import", path).out == "5 items put\n"
    after = ctl("peek", "jobs", 9, "--json").objects()
    assert [strip(each) for each in after] == [strip(each) for each in before]
    assert [each["state"] for each in ctl("browse", "jobs", "--json").objects()] == [
        "waiting",
        "waiting",
        "delayed",
        "waiting",
    ]
    assert ctl("get", r"caf\xe9").out == "d\n"
    expiries = [each["expiry_ms"] for each in ctl("browse", "jobs", "--json").objects()]
    assert [bool(each) for each in expiries] == [False, True, False, False]
    assert abs(expiries[1] - 1000 * time.time() - 3_600_000) < 60_000


def strip(item: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in item.items() if key not in ("id", "age_ms")}


def test_an_export_takes_nothing_and_has_the_order_of_the_queue(client: Client, ctl: Ctl) -> None:
    ctl("put", "jobs", *"cdef")
    ctl("put", "jobs", "b", "--front")
    ctl("put", "jobs", "a", "--front")
    ctl("put", "jobs", "g")
    client.ask(b"get jobs/open\r\n")
    lines = ctl("export", "jobs").objects()
    assert [each["text"] for each in lines] == ["b", "c", "d", "e", "f", "a", "g"]
    assert [each.get("state") for each in lines] == [None] * 5 + ["open", None]
    assert ctl("ls").lines()[1].split()[:3] == ["jobs", "6", "1"]


def test_many_items_are_written_and_read_with_many_under_way(ctl: Ctl) -> None:
    ctl("put", "jobs", "--lines", given=b"".join(b"%d\n" % n for n in range(500)))
    lines = ctl("export").data
    assert ctl("import", "--to", "copy", given=lines).out == "500 items put\n"
    assert ctl("get", "copy", "-n", 500).lines() == [str(number) for number in range(500)]


def test_a_dump_needs_the_name_of_a_queue(ctl: Ctl) -> None:
    line = b'{"type": "put", "id": 7, "flags": 2, "data": "YQ==", "expiry_ms": 0}\n'
    done = ctl("import", given=line)
    assert (done.status, "line 1: it names no queue: say --to QUEUE" in done.err) == (2, True)
    assert ctl("import", "-", "--to", "jobs", given=line).status == 0
    assert ctl("get", "jobs").out == "a\n"


def test_what_has_expired_meanwhile_is_left_out(ctl: Ctl) -> None:
    lines = b'{"queue": "q", "text": "a", "expiry_ms": 1}\n{"queue": "q", "text": "b"}\n'
    assert ctl("import", given=lines).out == "1 item put, 1 item left out that had expired\n"


def test_an_import_that_ends_early_says_where_to_go_on(core: CoreHarness, ctl: Ctl) -> None:
    core.queues.reload(Rules(QueueTable({"jobs": {"max_items": 2}})))
    lines = b"".join(b'{"queue": "jobs", "text": "%d"}\n' % number for number in range(4))
    done = ctl("import", given=lines)
    assert done.status == 1
    assert "starling-ctl: 2 items put; go on with --skip 2\n" in done.err
    assert "line 3: jobs: not stored" in done.err
    core.queues.reload(Rules())
    assert ctl("import", "--skip", 2, given=lines).status == 0
    assert ctl("get", "jobs", "-n", 9).lines() == ["0", "1", "2", "3"]


def test_what_stands_before_a_wrong_line_is_put(ctl: Ctl) -> None:
    lines = json.dumps({"queue": "jobs", "text": "a"}).encode() + b"\nnonsense\n"
    done = ctl("import", given=lines)
    assert done.status == 2
    assert "1 item put; go on with --skip 1" in done.err
    assert "line 2: it is no JSON" in done.err
    assert ctl("get", "jobs").out == "a\n"


def test_a_queue_that_cannot_be_exported_is_told_and_the_others_are(ctl: Ctl) -> None:
    ctl("put", "a", "x")
    ctl("put", r"b\x20c", "x")
    done = ctl("export")
    assert (done.status, [each["queue"] for each in done.objects()]) == (1, ["a"])
    assert r"b\x20c: left out" in done.err


@pytest.mark.parametrize("words", [["export", "-o", "/nowhere/x"], ["import", "/nowhere/x"]])
def test_a_file_that_cannot_be_opened_is_one_line(ctl: Ctl, words: list[str]) -> None:
    ctl("put", "jobs", "a")
    done = ctl(*words)
    assert (done.status, done.err) == (2, "starling-ctl: /nowhere/x: No such file or directory\n")
