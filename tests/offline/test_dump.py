"""``starling-journal dump``: every record, the live items, the data of one; also behind damage."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journal.make_golden import EXPECTED, GOLDEN, IN_2033, JOURNALS
from tests.offline.journals import (
    Command,
    check_put,
    flip,
    make_spool,
    open_core,
    segments,
    take,
)

FIRST = "0000000000000001.segment"


def json_lines(run: Command, *arguments: str | Path) -> list[dict[str, object]]:
    """Dump as JSON."""
    return [json.loads(line) for line in run("dump", "--json", *arguments).out]


def ids(lines: list[dict[str, object]]) -> list[object]:
    """Return the ids of what was put."""
    return [line["id"] for line in lines if line["type"] == "put"]


def test_every_kind_of_record_is_a_line(tmp_path: Path, run: Command) -> None:
    core = open_core(tmp_path / "spool", segment_size=1 << 20)
    client = core.client()
    client.ask(b"set jobs 7 0 8\r\n\xffa b\\\r\n\0\r\n")
    client.ask(b"set jobs 0 2000000000 50\r\n" + b"x" * 50 + b"\r\n")
    client.ask(b"get jobs\r\nflush jobs\r\nset jobs 1 0 0\r\n\r\n")
    core.close()
    told = run("dump", tmp_path / "spool" / "jobs")
    added = "added=2023-11-14T22:13:20.000Z"
    assert [line.removeprefix(f"{FIRST} ") for line in told.out] == [
        "0 segment version=5 number=1 first_id=1 queue=jobs",
        "52 checkpoint id=1 items=0 bytes=0 segments=0",
        f"130 put id=1 size=8 {added} expires=never flags=7 data=\\xffa\\x20b\\\\\\r\\n\\x00",
        f"175 put id=2 size=50 {added} expires=2033-05-18T03:33:20.000Z flags=0 data={'x' * 40}...",
        "262 remove id=1 size=8",
        "283 flush id=2",
        f"300 put id=3 size=0 {added} expires=never flags=1 data=",
    ]
    assert (told.status, told.err) == (0, [])


def test_json_has_the_same_and_all_of_the_data(tmp_path: Path, run: Command) -> None:
    core = open_core(tmp_path / "spool")
    data = bytes(range(256))
    core.client().ask(b"set jobs 7 2000000000 256\r\n" + data + b"\r\n")
    core.close()
    header, checkpoint, item = json_lines(run, tmp_path / "spool" / "jobs")
    assert (header["type"], header["queue"], checkpoint["type"]) == (
        "segment",
        "jobs",
        "checkpoint",
    )
    assert base64.b64decode(str(item.pop("data"))) == data
    assert item == {
        "file": FIRST,
        "offset": 130,
        "type": "put",
        "id": 1,
        "size": 256,
        "added": "2023-11-14T22:13:20.000Z",
        "added_ms": 1_700_000_000_000,
        "expires": "2033-05-18T03:33:20.000Z",
        "expiry_ms": 2_000_000_000_000,
        "flags": 7,
    }


def test_live_items_come_in_the_order_of_the_queue(tmp_path: Path, run: Command) -> None:
    directory = make_spool(tmp_path / "spool", items=40, taken=9)
    assert ids(json_lines(run, "--live", directory)) == list(range(10, 41))
    told = run("dump", "--live", directory)
    assert all(" put id=" in line for line in told.out)
    assert len(told.out) == 31


def test_golden_journals_are_dumped(run: Command) -> None:
    for folder in sorted(GOLDEN.iterdir()):
        expected = json.loads((folder / EXPECTED).read_text())
        seen, marks = {}, {}
        for directory in (each for each in (folder / JOURNALS).iterdir() if each.is_dir()):
            header = json_lines(run, directory)[0]
            live = json_lines(run, "--live", directory)
            name = str(header["queue"]).encode().decode("unicode_escape").encode("latin-1")
            seen[name.hex()] = [
                [
                    *(line[key] for key in ("id", "added_ms", "expiry_ms", "flags")),
                    base64.b64decode(str(line["data"])).hex(),
                ]
                for line in sorted(live, key=lambda line: str(line["id"]).zfill(9))
            ]
            marks[name.hex()] = {
                str(line["id"]): [
                    line.get("deliveries", 0), line.get("due_ms", 0), bool(line.get("front"))
                ]
                for line in live
            }  # fmt: skip
        assert seen == {name: each["items"] for name, each in expected.items()}
        for name, each in expected.items():
            assert each.get("marks", marks[name]) == marks[name]
            assert "marks" in each or not any(map(any, marks[name].values()))


def test_what_an_item_was_marked_with_is_told_and_front_items_come_first(run: Command) -> None:
    journals = GOLDEN / "v3" / JOURNALS
    lines = [line.split(" ", 2)[2] for line in run("dump", journals / "marked").out]
    short = [line.partition(" added=")[0] for line in lines]
    assert [line for line in short if not line.startswith("segment")] == [
        "checkpoint id=1 items=0 bytes=0 segments=0",
        *("put id=1 size=12", "put id=2 size=13", "put id=3 size=12"),
        "put id=4 due=2033-05-18T03:33:20.000Z size=11",
        "put id=5 due=2020-09-13T12:26:40.000Z size=11",
        "put id=6 deliveries=4 size=5",
        *("open id=1", "open id=1", "open id=2", "open id=3"),
        "checkpoint id=7 items=6 bytes=64 segments=1 marks=4",
        "delay id=2 due=2033-05-18T03:33:20.000Z",
        "delay id=3 due=2020-09-13T12:26:40.000Z",
        *("put id=7 size=512", "put id=8 size=21", "put id=9 front=1 size=6"),
        "put id=10 deliveries=2 front=1 size=5",
        "checkpoint id=11 items=10 bytes=608 segments=2 marks=6",
        "open id=10",
    ]
    live = [line.split(" ")[2:] for line in run("dump", "--live", journals / "marked").out]
    assert [line[1] for line in live] == [f"id={each}" for each in (10, 9, *range(1, 9))]
    assert live[0][2:4] == ["deliveries=3", "front=1"], "as it is now, not as it was put"
    assert live[3][2:4] == ["deliveries=1", "due=2033-05-18T03:33:20.000Z"]
    told = run("dump", journals / "kept").out
    assert any(line.endswith(" flush id=4 kept=1,2") for line in told)
    delay = next(line for line in json_lines(run, journals / "marked") if line["type"] == "delay")
    assert (delay["due_ms"], delay["due"]) == (IN_2033, "2033-05-18T03:33:20.000Z")
    flush = next(line for line in json_lines(run, journals / "kept") if line["type"] == "flush")
    assert flush["kept"] == [1, 2]


@pytest.mark.parametrize("item_id", [3, 12])
def test_the_data_of_one_item_comes_as_it_is(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], item_id: int
) -> None:
    from starling_py.offline import cli

    core = open_core(tmp_path / "spool", segment_size=1 << 20)
    for number in range(1, 20):
        data = b"\0\r\n\xff%d" % number
        core.client().ask(b"set jobs 0 0 %d\r\n%s\r\n" % (len(data), data))
    take(core, 5)
    core.close()
    assert cli.main(["dump", "--data", str(item_id), str(tmp_path / "spool" / "jobs")]) == 0
    assert capfdbinary.readouterr().out == b"\0\r\n\xff%d" % item_id


def test_an_item_that_is_not_there_is_told(tmp_path: Path, run: Command) -> None:
    directory = make_spool(tmp_path / "spool", items=2)
    told = run("dump", "--data", "3", directory)
    assert told.err == [f"starling-journal: {directory}: there is no item 3"]
    assert (told.status, told.out) == (1, [])


# Behind damage.


def test_damage_is_passed_over_and_told(tmp_path: Path, run: Command) -> None:
    directory = make_spool(tmp_path / "spool", items=40)
    whole = json_lines(run, directory)
    place = next(
        n
        for n, line in enumerate(whole)
        if n > 8 and line["type"] == "put" and line["file"] == whole[n + 1]["file"]
    )
    offset, end = whole[place]["offset"], whole[place + 1]["offset"]
    assert isinstance(offset, int)
    assert isinstance(end, int)
    flip(directory / str(whole[place]["file"]), offset + 40)
    found = json_lines(run, directory)
    damage = {
        "file": whole[place]["file"], "offset": offset, "type": "damage", "skipped": end - offset,
    }  # fmt: skip
    assert found == [*whole[:place], damage, *whole[place + 1 :]]
    told = run("dump", "--live", directory)
    assert f"{damage['file']} {offset} damage skipped={end - offset}" in told.out
    assert (len(told.out), told.status) == (40, 1)


def test_the_items_of_a_segment_without_a_header_are_found(tmp_path: Path, run: Command) -> None:
    directory = make_spool(tmp_path / "spool", items=40)
    flip(segments(directory)[1], 50)
    assert ids(json_lines(run, directory)) == list(range(1, 41))
    told = run("dump", "--live", directory)
    assert "damaged at byte 0: the header is damaged. " in told.err[0]
    assert told.status == 1
    assert sum(" put " in line for line in told.out) == 40


def test_a_torn_tail_is_no_damage(tmp_path: Path, run: Command) -> None:
    directory = make_spool(tmp_path / "spool", items=40)
    with segments(directory)[-1].open("ab") as file:
        file.write(bytes(300))
    told = run("dump", directory)
    assert told.out[-1].endswith(" torn skipped=300")
    assert told.status == 0


@pytest.mark.parametrize("what", ["checkpoint", "record", "header"])
def test_live_items_are_found_where_a_start_would_be_refused(
    tmp_path: Path, run: Command, what: str
) -> None:
    spool = tmp_path / "spool"
    core = open_core(spool, segment_size=1010)
    check_put(core, 50)
    take(core, 13)
    check_put(core, 3, first=51)
    core.close()
    directory = spool / "jobs"
    last = segments(directory)[-1]
    lines = [line for line in json_lines(run, directory) if line["file"] == last.name]
    removals = [line for line in lines if line["type"] == "remove"]
    assert len(removals) > 2, "the last segment tells of removals"
    line = {"header": lines[0], "checkpoint": lines[1], "record": removals[0]}[what]
    assert isinstance(line["offset"], int)
    flip(last, line["offset"] + 12)
    found = ids(json_lines(run, "--live", directory))
    lost = [line["id"]] if what == "record" else []
    assert found == [*lost, *range(14, 54)]
    told = run("dump", "--live", directory)
    assert told.err[-2].endswith("Items may be told as live that were taken already")
    assert told.err[-1].startswith(partial(directory))
    assert told.status == 1


def partial(directory: Path, more: str = "") -> str:
    """Return the last line of what a dump says on standard error if it lacks something."""
    return f"starling-journal: {directory}: this dump is partial{more}"


def remove(segment: Path) -> None:
    segment.unlink()


def empty(segment: Path) -> None:
    segment.write_bytes(b"")


def cut(segment: Path) -> None:
    segment.write_bytes(segment.read_bytes()[:100])


def make_fifo(segment: Path) -> None:
    segment.unlink()
    os.mkfifo(segment)


LOSSES = [
    pytest.param(remove, 1, "this segment is missing. ", id="removed"),
    pytest.param(remove, -1, "this segment is missing, and those behind it", id="last-removed"),
    pytest.param(empty, 1, "the header is missing, and this is not the last segment", id="empty"),
    pytest.param(cut, 1, "the file ends here, not at byte ", id="cut"),
    pytest.param(cut, -1, "the checkpoint is missing", id="last-cut"),
    pytest.param(make_fifo, 1, "this is a FIFO, not a regular file", id="fifo"),
]


@pytest.mark.parametrize("options", [[], ["--live"], ["--json"]], ids=" ".join)
@pytest.mark.parametrize(("lose", "which", "reason"), LOSSES)
def test_a_dump_that_lacks_a_segment_says_that_it_is_partial(
    tmp_path: Path,
    run: Command,
    lose: Callable[[Path], None],
    which: int,
    reason: str,
    options: list[str],
) -> None:
    directory = make_spool(tmp_path / "spool", items=40)
    sound = run("dump", *options, directory)
    assert (sound.status, sound.err) == (0, [])
    lose(segments(directory)[which])
    told = run("dump", *options, directory)
    assert any(reason in line for line in told.err), told.err
    assert told.err[-1].startswith(partial(directory))
    assert told.status == 1
    assert len(told.out) >= 20, "what is left is shown"


def test_a_dump_says_how_many_bytes_of_damage_it_passed_over(tmp_path: Path, run: Command) -> None:
    directory = make_spool(tmp_path / "spool", items=40)
    flip(segments(directory)[1], segments(directory)[1].stat().st_size // 2)
    told = run("dump", directory)
    (damage,) = (line for line in told.out if " damage skipped=" in line)
    skipped = damage.rpartition("=")[2]
    assert told.err == [partial(directory, f"; {skipped} bytes damaged")]
    assert told.status == 1


def test_an_item_may_be_missing_with_its_segment_and_that_is_told(
    tmp_path: Path, run: Command
) -> None:
    directory = make_spool(tmp_path / "spool", items=40)
    lost = segments(directory)[1]
    (item_id, *_) = ids([line for line in json_lines(run, directory) if line["file"] == lost.name])
    lost.unlink()
    told = run("dump", "--data", str(item_id), directory)
    assert "this segment is missing" in told.err[0]
    assert told.err[-1] == f"starling-journal: {directory}: there is no item {item_id}"
    assert told.status == 1
