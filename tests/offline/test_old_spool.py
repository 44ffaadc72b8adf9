"""Folders that were an old spool among other things: what is no queue is left alone."""

import gzip
import os
import random
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starling_py.journal.disk.files import Files
from starling_py.offline.dump import Dump
from starling_py.offline.old_spool import Note, Problem, list_files, printable
from tests.offline.journals import Command, contents, drain, make_spool
from tests.offline.kestrel_writer import OPEN_NEXT, REMOVE, abort, add, number, save_counter
from tests.offline.old_files import write
from tests.offline.ruby_writer import POP, push

SERVERS = ("starling", "kestrel")


def put(server: str, *items: bytes) -> bytes:
    """Return the records of these items, as the server wrote them."""
    return b"".join(push(item) if server == "starling" else add(item) for item in items)


LOGS = {
    "production.log": b"# Logfile created on Mon Jan 04 2010\n\nProcessing HomeController#index\n"
    * 99,
    "newrelic_agent.4711.log": b"[01/04/10 11:11:11] INFO : Agent\n",
    "production.log.1.gz": gzip.compress(b"Processing\n" * 999),
    "starling.pid": b"4711\n",
    "mongrel.3000.pid": b"4712",
    "README": b"This folder keeps the logs.\n",
    "lastlog": bytes(300_000),
    "favicon": bytes.fromhex("00000100010010100000010020006804"),
    "mp4": bytes.fromhex("0000001866747970") + b"mp42" * 99,
    "utmp": bytes.fromhex("0200000000000000") + bytes(376),
    "random": b"\xfe" + random.Random(1).randbytes(70_000),
    "empty": b"",
}


def begins_like_a_record(server: str) -> list[bytes]:
    """Return what begins as a record does, or is one, and puts nothing."""
    if server == "starling":
        return [
            b"\0", b"\0\x04", b"\0" + bytes(99), b"\0\x03\0\0\0" + bytes(99), POP + b"text",
            b"\0\xff\xff\xff\xff" + bytes(99), b"\0\0\0\x01\0" + bytes(99), POP * 9,
            POP * 9 + b"\0\x04\0",
        ]  # fmt: skip
    return [
        b"\0" + bytes(99), b"\x02" + bytes(99), b"\x02" + number(-1) + bytes(99), REMOVE + b"text",
        b"\x02" + number(10**9) + bytes(99), REMOVE * 9, save_counter(7), abort(3) + b"\xff",
        OPEN_NEXT + b"\x02\x10", b"\tat java.lang.Thread\n",
    ]  # fmt: skip


@pytest.mark.parametrize("server", SERVERS)
def test_a_folder_of_logs_gives_its_queues_and_no_damage(
    server: str, tmp_path: Path, run: Command
) -> None:
    junk = {f"junk{n}": data for n, data in enumerate(begins_like_a_record(server))}
    old = write(tmp_path / "log", LOGS | junk | {"jobs": put(server, b"one", b"two") + REMOVE})
    (old / "archive").mkdir()
    (old / "current").symlink_to(old / "production.log")
    (old / "gone").symlink_to(old / "nowhere")
    (old / "loop").symlink_to(old / "loop")
    os.mkfifo(old / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind(str(old / "sock"))
        told = run("import", "--from", server, old, tmp_path / "new")
    assert (told.status, told.err) == (0, [])
    assert told.out[-1] == f"1 queue, 1 item imported into {tmp_path}/new"
    assert sorted(each.name for each in (tmp_path / "new").iterdir()) == [".lock", "jobs"]
    assert drain(tmp_path / "new") == [b"two"]


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_left_alone_is_a_line_each(server: str, tmp_path: Path, run: Command) -> None:
    old = write(tmp_path / "log", {"jobs": put(server, b"a"), "log": b"#text", "x\ny\x1b": b"#"})
    (old / "sub").mkdir()
    told = run("import", "--from", server, old, tmp_path / "new")
    assert told.status == 0
    assert told.out[1:4] == [
        f"left alone: {old}/log: not one sound record: byte 0x23 begins no record",
        f"left alone: {old}/sub: a directory",
        f"left alone: {old}/x\\ny\\x1b: not one sound record: byte 0x23 begins no record",
    ]


def test_of_many_things_that_are_left_alone_the_rest_is_counted(
    tmp_path: Path, run: Command
) -> None:
    files = {f"production.log.{n}": b"#" for n in range(1000)}
    old = write(tmp_path / "log", files | {"jobs": push(b"a")})
    told = run("import", "--from", "starling", old, tmp_path / "new")
    assert told.status == 0
    assert len(told.out) == 23
    assert told.out[21] == "left alone: 980 more files and directories"


@pytest.mark.parametrize("server", SERVERS)
def test_of_a_huge_log_only_the_beginning_is_read(
    server: str, tmp_path: Path, run: Command
) -> None:
    old = write(tmp_path / "log", {"jobs": put(server, b"a"), "huge": b"# a log", "lastlog": b""})
    os.truncate(old / "huge", 1 << 42)  # reading this would not end today
    os.truncate(old / "lastlog", 1 << 42)
    told = run("import", "--from", server, old, tmp_path / "new")
    assert told.status == 0
    assert drain(tmp_path / "new") == [b"a"]


@pytest.mark.parametrize("server", SERVERS)
def test_a_folder_without_a_queue_is_told_and_nothing_is_made(
    server: str, tmp_path: Path, run: Command
) -> None:
    old = write(tmp_path / "log", {"production.log": b"#"})
    before = contents(tmp_path)
    told = run("import", "--from", server, old, tmp_path / "new")
    assert (told.status, told.out) == (2, [])
    assert told.err == [
        f"starling-journal: {old}: no item of a {server.capitalize()} queue is here;"
        " nothing was done"
    ]
    assert contents(tmp_path) == before


@pytest.mark.parametrize("server", SERVERS)
def test_empty_files_make_no_old_spool(server: str, tmp_path: Path, run: Command) -> None:
    old = write(tmp_path / "etc", {"environment": b""})
    told = run("import", "--from", server, old, tmp_path / "new")
    assert (told.status, told.out) == (2, [])
    assert not (tmp_path / "new").exists()


def test_a_spool_of_another_server_is_recognised(tmp_path: Path, run: Command) -> None:
    old = write(tmp_path / "old", {"jobs": add(b"a"), "mail": add(b"b")})
    told = run("import", "--from", "starling", old, tmp_path / "new")
    assert told.err == [
        f"starling-journal: {old}: no item of a Starling queue is here;"
        " 2 queues with --from kestrel; nothing was done"
    ]


@pytest.mark.parametrize("server", SERVERS)
def test_a_spool_of_this_server_is_recognised(server: str, tmp_path: Path, run: Command) -> None:
    make_spool(tmp_path / "spool", 1)
    told = run("import", "--from", server, tmp_path / "spool", tmp_path / "new")
    assert told.err == [
        f"starling-journal: {tmp_path}/spool: no item of a {server.capitalize()} queue is here;"
        " this is a spool of starling-py itself; nothing was done"
    ]


@pytest.mark.parametrize("server", SERVERS)
def test_damage_behind_a_sound_record_is_damage(server: str, tmp_path: Path, run: Command) -> None:
    old = write(tmp_path / "old", {"jobs": put(server, b"a") + b"\xff# text", "log": b"# text"})
    told = run("import", "--from", server, old, tmp_path / "new")
    assert told.status == 1
    assert [line for line in told.out if "not read" in line and "byte 0xff begins" in line]
    assert drain(tmp_path / "new") == [b"a"]


@pytest.mark.parametrize("server", SERVERS)
def test_a_file_that_cannot_be_opened_may_be_a_queue(
    server: str, tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write(tmp_path / "old", {"jobs": put(server, b"a"), "secret": put(server, b"b")})
    original = Path.open

    def refuse(self: Path, *arguments: str, **options: int) -> object:
        if self.name == "secret":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    told = run("import", "--from", server, old, tmp_path / "new")
    monkeypatch.undo()
    assert told.status == 1
    assert [line for line in told.out if "this file cannot be opened: Permission denied" in line]
    assert drain(tmp_path / "new") == [b"a"]


def test_a_file_that_may_not_be_looked_at_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"hidden": b"", "gone": b""})
    original = Path.stat

    def refuse(self: Path, *arguments: bool, **options: bool) -> os.stat_result:
        if self.name == "hidden":
            raise PermissionError(13, "Permission denied")
        if self.name == "gone":
            raise FileNotFoundError(2, "No such file or directory")
        return original(self, *arguments, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    files, left_alone = list_files(tmp_path)
    monkeypatch.undo()
    assert files == [tmp_path / "hidden"]
    assert left_alone == [Note(tmp_path / "gone", "a link to nowhere")]


def test_a_link_to_a_journal_is_a_queue(tmp_path: Path, run: Command) -> None:
    write(tmp_path / "elsewhere", {"journal": push(b"a")})
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "jobs").symlink_to(tmp_path / "elsewhere" / "journal")
    assert run("import", "--from", "starling", tmp_path / "old", tmp_path / "new").status == 0
    assert drain(tmp_path / "new") == [b"a"]


def test_whatever_a_path_has_in_it_is_told_on_one_line() -> None:
    odd = Path(os.fsdecode(b"/log/a\n\x1b[31m\xff"))
    for line in (printable(odd), str(Note(odd, "x")), str(Problem(odd, 0, "x", "y"))):
        assert line.isprintable()
        assert line.isascii()
    assert printable(Path("/größe")) == "/größe"


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)


@st.composite
def junk(draw: st.DrawFn, server: str) -> bytes:
    """Draw the content of a file that is no queue's, or of one that nothing was put into."""
    removals = b"".join(draw(st.lists(st.sampled_from([REMOVE]), max_size=9)))
    least = 2 if server == "starling" else 10
    other = st.integers(least, 255).map(lambda byte: bytes([byte]))
    return draw(
        st.sampled_from(begins_like_a_record(server))
        | st.just(removals)
        | st.builds(lambda byte, rest: removals + byte + rest, other, st.binary())
    )


@st.composite
def folders(draw: st.DrawFn, server: str) -> tuple[dict[str, bytes], dict[str, list[bytes]]]:
    """Draw the files of a folder, and the items of the queues in it, without the empty ones."""
    files: dict[str, bytes] = {}
    queues: dict[str, list[bytes]] = {}
    plain = st.text("abcdefghijklmnop-_", min_size=1, max_size=9)
    for name in draw(st.lists(NAMES, max_size=8)):
        if len(name.encode()) < 200 and name not in (".", ".."):
            files[name] = draw(junk(server))
    for name in draw(st.lists(plain, max_size=4, unique=True)):
        items = draw(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=9))
        taken = draw(st.integers(0, len(items)))
        files[name] = put(server, *items) + REMOVE * taken
        queues[name] = items[taken:]
    if server == "kestrel":
        # An older file of a queue is part of it, and damage if it is junk.
        files = {each: files[each] for each in files if each in queues or "." not in each}
    return files, {name: items for name, items in queues.items() if items}


@pytest.mark.parametrize("server", SERVERS)
@given(data=st.data())
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_folder_gives_exactly_its_sound_queues(
    server: str, data: st.DataObject, run: Command, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files, queues = data.draw(folders(server))
    path = tmp_path_factory.mktemp("any")
    old = write(path / "old", files)
    before = contents(old)
    told = run("import", "--from", server, old, path / "new")
    # Files with items that were all taken are an old spool, other files are none.
    assert told.status == 0 or (told.status == 2 and not queues)
    assert contents(old) == before
    made = list((path / "new").iterdir()) if queues else []
    assert (path / "new").exists() == bool(queues)
    assert sorted(each.name for each in made if each.is_dir()) == sorted(queues)
    for name, items in queues.items():
        found = [entry.item for entry in Dump(Files(), str(path / "new" / name)).live()]
        assert [item.data for item in found if item is not None] == items
