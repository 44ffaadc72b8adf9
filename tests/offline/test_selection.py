"""Which queues an import takes over, under which names, and what is refused."""

import os
import shlex
from pathlib import Path

import pytest

from starling_py.offline.selection import name_problem, shown
from tests.offline.journals import Command, Told, contents, drain, make_spool
from tests.offline.kestrel_writer import add
from tests.offline.old_files import write
from tests.offline.ruby_writer import POP, push

OLD = {
    "jobs": push(b"one") + push(b"two"),
    "mail.in": push(b"in"),
    "mail.out": push(b"out"),
    "my queue": push(b"mine"),
    "drained": push(b"gone") + POP,
    "a=b": push(b"equal"),
    "production.log": b"# Logfile created on Monday\n",
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Give an old spool of Starling."""
    return write(tmp_path / "old", OLD)


def take(run: Command, old: Path, *options: str) -> Told:
    """Import from an old spool of Starling into ``new`` beside it."""
    return run("import", "--from", "starling", *options, old, old.parent / "new")


def queues_of(path: Path) -> list[str]:
    """Return the directories of the queues in a spool."""
    return sorted(each.name for each in path.iterdir() if each.is_dir())


@pytest.mark.parametrize(
    ("options", "queues"),
    [
        (["--queue", "jobs"], ["jobs"]),
        (["--queue", "mail.*"], ["mail.in", "mail.out"]),
        (["--queue", "mail.?n", "--queue", "jobs"], ["jobs", "mail.in"]),
        (["--queue", "mail.*", "--queue", "mail.in"], ["mail.in", "mail.out"]),
        (["--queue", "jobs", "--rename", "jobs=Work"], ["%57ork"]),
        (["--queue", "my queue", "--rename", "my queue=mine"], ["mine"]),
        (["--queue", "my\\x20queue", "--rename", "my\\x20queue=mine"], ["mine"]),
        (["--queue", "a=b", "--rename", "a=b=c=d"], ["c%3dd"]),
        (["--queue", "mail.*", "--rename", "mail.in=mail.out", "--rename", "mail.out=mail.in"],
         ["mail.in", "mail.out"]),
        (["--queue", "jobs", "--rename", "jobs=mail.in"], ["mail.in"]),
        (["--queue", "jobs", "--rename", "jobs=production.log"], ["production.log"]),
        (["--queue", "drained"], []),
        (["--queue", "*", "--rename", "my queue=mine"],
         ["a%3db", "jobs", "mail.in", "mail.out", "mine"]),
        (["--rename", "my queue=drained", "--rename", "drained=production.log"],
         ["a%3db", "drained", "jobs", "mail.in", "mail.out"]),
    ],
)  # fmt: skip
def test_the_queues_that_are_asked_for_are_taken_over(
    old: Path, run: Command, options: list[str], queues: list[str]
) -> None:
    told = take(run, old, *options)
    assert (told.status, told.err) == (0, [])
    new = old.parent / "new"
    assert (queues_of(new) if new.exists() else []) == queues


def test_a_queue_that_is_renamed_is_told_by_both_names(old: Path, run: Command) -> None:
    told = take(run, old, "--queue", "my queue", "--rename", "my queue=mine")
    assert told.out == [
        "my\\x20queue as mine: 1 item, 4 bytes",
        f"1 queue, 1 item imported into {old.parent}/new",
    ]
    assert drain(old.parent / "new", b"mine") == [b"mine"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--queue", "jobz"],
         "--queue jobz: the old spool has no queue jobz; did you mean jobs?"),
        (["--queue", ""], "--queue '': the old spool has no queue "),
        (["--queue", "zz*"], "--queue 'zz*': no queue of the old spool matches it"),
        (["--queue", "jobs", "--rename", "mail.in=in"],
         "--rename mail.in=in: mail.in is not asked for by --queue"),
        (["--rename", "jobz=work"],
         "--rename jobz=work: the old spool has no queue jobz; did you mean jobs?"),
        (["--rename", "jobs"], "--rename jobs: write OLD=NEW"),
        (["--rename", "jobs="], "--rename jobs=: the new name is empty"),
        (["--rename", "jobs=a b"],
         "--rename 'jobs=a b': the name a\\x20b has a blank or a control character"),
        (["--rename", "jobs=a\nb"],
         "--rename 'jobs=a\\nb': the name a\\nb has a blank or a control character"),
        (["--rename", "jobs=a/b"], "--rename jobs=a/b: the name a/b has a slash"),
        (["--rename", f"jobs={'x' * 251}"],
         f"--rename jobs={'x' * 251}: a name of 251 bytes is too long: 250 are allowed"),
        (["--rename", "jobs=a", "--rename", "jobs=b"],
         "--rename jobs=b: jobs is renamed twice"),
        (["--rename", "jobs=mail.in"],
         "jobs and mail.in would both become mail.in; items of two queues are not put into one,"
         " give each a name of its own"),
        (["--rename", "jobs=x", "--rename", "mail.in=x"],
         "jobs and mail.in would both become x; items of two queues are not put into one,"
         " give each a name of its own"),
    ],
)  # fmt: skip
def test_a_wrong_choice_is_one_line_and_nothing_is_done(
    old: Path, run: Command, options: list[str], reason: str
) -> None:
    before = contents(old.parent)
    told = take(run, old, *options)
    assert (told.status, told.out, told.err) == (2, [], [f"starling-journal: {reason}"])
    assert contents(old.parent) == before


def test_a_rename_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, run: Command) -> None:
    old = write(tmp_path / "old", {"a": push(b"1"), "a=b": push(b"2")})
    told = take(run, old, "--rename", "a=b=c")
    assert told.err == ["starling-journal: --rename a=b=c: can be read in more than one way"]
    assert told.status == 2


def test_a_rename_to_a_queue_that_is_there_is_refused(old: Path, run: Command) -> None:
    make_spool(old.parent / "new", 1, queue=b"present")
    before = contents(old.parent)
    told = take(run, old, "--queue", "jobs", "--rename", "jobs=present")
    assert told.err == [
        f"starling-journal: {old.parent}/new: has a queue present already; nothing was changed"
    ]
    assert told.status == 2
    assert contents(old.parent) == before


def test_a_queue_that_is_there_is_stepped_round_by_a_rename(old: Path, run: Command) -> None:
    make_spool(old.parent / "new", 1)
    assert take(run, old, "--queue", "jobs").status == 2
    assert take(run, old, "--queue", "jobs", "--rename", "jobs=jobs2").status == 0
    assert drain(old.parent / "new") == [b"item 1"]
    assert drain(old.parent / "new", b"jobs2") == [b"one", b"two"]


def test_an_empty_old_queue_is_in_nobodys_way(tmp_path: Path, run: Command) -> None:
    old = write(tmp_path / "old", {"jobs": b"", "mail": push(b"a")})
    make_spool(tmp_path / "new", 1)
    assert take(run, old).status == 0
    assert drain(tmp_path / "new", b"mail") == [b"a"]


@pytest.mark.parametrize(
    "name",
    [b"my queue", b"a\tb", b"a\nb", b"\x7f", b"x" * 251, b"\xff \xe4", b"a'b c", b"\xc3\xa4 b"],
)
def test_a_name_that_is_none_here_is_told_with_the_way_to_rename_it(
    tmp_path: Path, run: Command, name: bytes
) -> None:
    old = tmp_path / "old"
    write(old, {"jobs": push(b"one"), os.fsdecode(name): push(b"mine")})
    told = take(run, old)
    assert told.status == 1
    assert drain(tmp_path / "new") == [b"one"]
    (line,) = [line for line in told.out if line.startswith("not read: ")]
    options = shlex.split(line.partition(", with ")[2].replace("=NEW", "=mine"))
    assert [options[0], options[2]] == ["--queue", "--rename"]
    told = take(run, old, *options)
    assert (told.status, told.err) == (0, [])
    assert drain(tmp_path / "new", b"mine") == [b"mine"]


def test_a_name_that_is_none_here_does_not_matter_where_no_item_is(
    tmp_path: Path, run: Command
) -> None:
    files = {"my log": b"Started GET /\n", "no item": b"", "drained queue": push(b"a") + POP}
    old = write(tmp_path / "old", files | {"jobs": push(b"one")})
    told = take(run, old)
    assert told.status == 0
    assert "left alone: " + str(old / "my log") in "\n".join(told.out)


def test_of_a_file_that_is_named_the_damage_counts(old: Path, run: Command) -> None:
    told = take(run, old, "--queue", "production.log", "--queue", "jobs")
    assert told.status == 1
    assert told.out == [
        "jobs: 2 items, 6 bytes",
        "production.log: 0 items, 0 bytes",
        f"not read: {old}/production.log: at byte 0: byte 0x23 begins no record; 28 bytes, up to"
        " the end of the file, were not read; what is in front of them was",
        f"1 queue, 2 items imported into {old.parent}/new",
    ]


def test_of_a_file_that_is_renamed_the_damage_counts(old: Path, run: Command) -> None:
    told = take(run, old, "--rename", "production.log=log", "--rename", "my queue=mine")
    assert told.status == 1
    assert "production.log as log: 0 items, 0 bytes" in told.out


def test_of_what_was_not_asked_for_nothing_is_told(old: Path, run: Command) -> None:
    (old / "sub").mkdir()
    told = take(run, old, "--queue", "jobs")
    assert [line.split()[0] for line in told.out] == ["jobs:", "1"]


def test_all_files_of_a_kestrel_queue_go_by_its_name(tmp_path: Path, run: Command) -> None:
    old = write(tmp_path / "old", {"a b": add(b"2"), "a b.5": add(b"1"), "c": add(b"3")})
    told = run(
        "import", "--from", "kestrel", "--queue", "a b", "--rename", "a b=ab", old, tmp_path / "new"
    )
    assert told.status == 0
    assert drain(tmp_path / "new", b"ab") == [b"1", b"2"]


@pytest.mark.parametrize("name", [b"a", b"a+b", b".a", b"\xff", b"x" * 250, b"a.b", b"~", b"%"])
def test_a_key_that_a_client_can_send_is_a_name(name: bytes) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"jobs", "jobs"),
        (b"my queue", "'my queue'"),
        ("größe x".encode(), "'größe x'"),
        (b"\xff", "'\\xff'"),
        (b"a\nb", "'a\\nb'"),
        (b"a\\b", "'a\\\\b'"),
    ],
)
def test_a_word_is_shown_as_a_shell_takes_it(text: bytes, word: str) -> None:
    assert shown(text) == word
