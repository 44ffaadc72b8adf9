"""``starling-journal``: usage, wrong paths, pipes that close, and what it leaves alone."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import starling_py
from starling_py.journal.disk.files import Files
from starling_py.offline import output
from starling_py.offline.cli import main
from tests.offline.journals import Command, contents, make_spool, open_core

RUN = "import sys; from starling_py.offline.cli import main; sys.exit(main())"
COMMANDS = ("verify", "dump", "stats", "import")


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["unknown"], ["verify"], ["verify", "a", "b"], ["verify", "--json", "a"], ["dump"],
        ["dump", "--live", "--data", "1", "a"], ["dump", "--data", "x", "a"],
        ["dump", "--data", "0", "a"], ["stats"], ["import", "a", "b"],
        ["import", "--from", "redis", "a", "b"], ["import", "--from", "kestrel", "a"],
        ["import", "--from", "kestrel", "--expired", "maybe", "a", "b"],
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_status_2(run: Command, arguments: list[str]) -> None:
    told = run(*arguments)
    assert (told.status, told.out, len(told.err)) == (2, [], 1)
    assert told.err[0].startswith("starling-journal")


def test_help_and_version_are_printed(run: Command) -> None:
    told = run("--help")
    assert told.status == 0
    assert all(any(line.strip().startswith(command) for line in told.out) for command in COMMANDS)
    for command in COMMANDS:
        assert run(command, "--help").status == 0
    assert run("-V").out == [f"starling-journal {starling_py.__version__}"]


@pytest.mark.parametrize("command", ["verify", "dump", "stats"])
def test_a_path_without_a_journal_is_one_line_and_status_2(
    tmp_path: Path, run: Command, command: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "other" / "directory").mkdir(parents=True)
    for path, reason in [
        (tmp_path / "none", "No such file or directory"),
        (tmp_path / "file", "Not a directory; give a spool, or one queue's directory"),
        (
            tmp_path / "file/0000000000000001.segment",
            f"Not a directory; give the queue's directory, {tmp_path}/file",
        ),
        (tmp_path / "other", "neither a spool nor a queue's directory"),
    ]:
        told = run(command, path)
        assert (told.status, told.err) == (2, [f"starling-journal: {path}: {reason}"])


def test_dump_wants_one_queue(tmp_path: Path, run: Command) -> None:
    make_spool(tmp_path / "spool")
    told = run("dump", tmp_path / "spool")
    assert told.err == [
        f"starling-journal: {tmp_path}/spool: this is a spool; give one queue's directory in it:"
        " jobs"
    ]
    assert told.status == 2


def test_reading_commands_change_nothing(tmp_path: Path, run: Command) -> None:
    directory = make_spool(tmp_path / "spool", taken=7)
    (tmp_path / "spool" / ".lock").unlink()
    before = contents(tmp_path)
    for command in ("verify", "dump", "stats"):
        assert run(command, directory).status == 0
    for command in ("verify", "stats"):
        assert run(command, tmp_path / "spool").status == 0
    assert contents(tmp_path) == before


def test_looking_at_the_lock_does_not_keep_it(tmp_path: Path, run: Command) -> None:
    make_spool(tmp_path / "spool")
    assert run("verify", tmp_path / "spool").err == []
    open_core(tmp_path / "spool").close()


def test_names_that_are_no_text_are_printed(tmp_path: Path, run: Command) -> None:
    make_spool(tmp_path / "spool", 1, queue=b"\xff\xe4")
    assert run("verify", tmp_path / "spool").out[0].startswith("\\xff\\xe4: sound")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    (tmp_path / "spool").rename(odd)
    assert run("verify", odd).status == 0
    told = run("dump", odd)
    assert told.err == [
        f"starling-journal: {tmp_path}/\\udcff: this is a spool; give one queue's directory in it:"
        " %ff%e4"
    ]


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    directory = make_spool(tmp_path / "spool", items=2000)
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "dump", str(directory)],
        stdout=write_end,
        stderr=subprocess.PIPE,
    )
    os.close(write_end)
    os.read(read_end, 10)
    os.close(read_end)
    _, err = process.communicate(timeout=60)
    assert (err, process.returncode) == (b"", 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    directory = make_spool(tmp_path / "spool", items=3)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", RUN, "dump", str(directory)],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.stderr == b"starling-journal: cannot write: No space left on device\n"
    assert done.returncode == 1


def test_a_file_that_the_disk_does_not_hand_out_is_told(
    tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_spool(tmp_path / "spool")
    hurt = str(sorted(directory.iterdir())[1])
    original = Files.read_at

    def read_at(self: Files, path: str, offset: int, size: int) -> bytes:
        if path == hurt and offset:
            raise OSError(errno.EIO, "Input/output error")
        return original(self, path, offset, size)

    monkeypatch.setattr(Files, "read_at", read_at)
    told = run("verify", tmp_path / "spool")
    assert told.out[1] == f"    {hurt}: damaged at byte 0: the disk says: Input/output error"
    assert told.status == 1
    told = run("dump", directory)
    assert told.err == [
        f"starling-journal: {hurt}: the rest of it cannot be read: Input/output error",
        f"starling-journal: {directory}: this dump is partial",
    ]
    assert told.status == 1
    assert " put id=40 " in told.out[-1], "the segments behind it are told"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_bar_with_what_is_left_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_EVERY", 0)
    monkeypatch.setattr("sys.stderr", Terminal())
    for is_output, is_drawn in ((False, True), (True, False)):
        screen = Terminal()
        monkeypatch.setattr("sys.stderr", screen)
        monkeypatch.setattr("sys.stdout", Terminal() if is_output else io.StringIO())
        progress = output.Progress(2000, "bytes read", wanted=False, beside_output=True)
        progress(2000)
        progress.end()
        assert ("100%" in screen.getvalue()) is is_drawn


def test_a_line_stands_above_the_bar_and_not_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_EVERY", 0)
    screen = Terminal()  # both streams are one terminal
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("sys.stdout", screen)
    progress = output.Progress(2000, "bytes read", wanted=False)
    progress(1000)
    progress.line("jobs: sound")
    progress.end()
    before, _, after = screen.getvalue().partition("jobs: sound\n")
    assert before.rpartition("\r")[2].strip() == ""
    assert "50%" in after


def test_a_dump_counts_each_byte_of_the_segments_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_spool(tmp_path / "spool")
    counted: list[int] = []
    monkeypatch.setattr(output.Progress, "__call__", lambda _, more: counted.append(more))
    for words in (["dump"], ["dump", "--live"]):
        counted.clear()
        assert main([*words, str(tmp_path / "spool/jobs")]) == 0
        sizes = [each.stat().st_size for each in (tmp_path / "spool/jobs").iterdir()]
        assert all(more > 0 for more in counted)
        assert 0 < sum(counted) <= sum(sizes)


def test_progress_of_long_work_is_shown_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = output.Progress(1000, "bytes read", wanted=True)
    for _ in range(10):
        now += 0.2
        progress(100)
    progress.end()
    assert capsys.readouterr().err.splitlines() == [
        "30%, 300 bytes read",
        "60%, 600 bytes read",
        "90%, 900 bytes read",
        "100%, 1000 bytes read",
    ]
    progress = output.Progress(None, "items read", wanted=False)
    now += 10
    progress(1)
    progress.end()
    assert capsys.readouterr().err == ""
