"""What the tools make of a spool whose names look like the server's files, or are refused."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from starling_py.journal.disk.files import Files
from starling_py.offline.cli import main
from tests.journal.spool_harness import Harness

SEGMENT = "0000000000000001.segment"
NAMES = (SEGMENT, f"{SEGMENT}.new", f"{SEGMENT}.torn-1", "0000000000000002.segment", "jobs")


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Return a spool with queues of two items, some named like segments."""
    path = tmp_path / "spool"
    harness = Harness(Files(), path=str(path))
    for name in NAMES:
        harness.put_all([b"a", b"b"], name.encode())
    harness.close()
    return path


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run the command; return its status and all that it prints."""
    status = main([str(each) for each in arguments])
    captured = capsys.readouterr()
    return status, captured.err + captured.out


@pytest.mark.parametrize("locked", [True, False])
def test_queues_named_like_segments_disturb_no_tool(
    spool: Path, locked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if not locked:
        (spool / ".lock").unlink()
    status, text = told(capsys, "verify", spool)
    assert status == 0
    assert text.endswith("5 queues: 5 sound, 0 damaged\n")
    assert text.count(": sound, 2 items, 2 bytes, 1 segment") == 5
    status, text = told(capsys, "stats", spool)
    assert status == 0
    assert text.splitlines()[-1].split()[:2] == ["10", "10"]
    for name in NAMES:
        assert told(capsys, "verify", spool / name)[0] == 0
        status, text = told(capsys, "dump", "--live", spool / name)
        assert (status, text.count(" put ")) == (0, 2)


def test_a_foreign_file_named_like_a_segment_disturbs_no_tool(
    spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (spool / "0000000000000007.segment").write_bytes(b"mine")
    status, text = told(capsys, "verify", spool)
    assert status == 0
    assert "5 queues: 5 sound, 0 damaged" in text
    assert "note: " in text
    assert told(capsys, "stats", spool)[0] == 0


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a FIFO"),
        (Path.mkdir, "a directory"),
        (lambda path: path.symlink_to(path.parent.parent / "jobs" / SEGMENT), "a link"),
    ],
    ids=["FIFO", "directory", "link"],
)
def test_what_stands_for_a_segment_is_damage_of_its_queue_alone(
    spool: Path, make: Callable[[Path], object], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = spool / SEGMENT / SEGMENT
    segment.unlink()
    make(segment)
    status, text = told(capsys, "verify", spool)
    assert status == 1
    assert f"{segment}: damaged at byte 0: " in text
    assert f"this is {kind}, not a regular file" in text
    assert text.endswith("5 queues: 4 sound, 1 damaged\n")
    status, text = told(capsys, "stats", spool)
    assert status == 1
    assert f"this is {kind}, not a regular file" in text
    assert text.splitlines()[-1].split()[:2] == ["8", "8"]
    status, text = told(capsys, "dump", spool / SEGMENT)
    assert status == (2 if kind == "a directory" else 1)
    assert f"this is {kind}, not a regular file" in text or "neither a spool nor" in text


def test_a_link_to_a_queues_directory_is_told_of_as_a_server_takes_it(
    spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (spool / "linked").symlink_to(spool / "jobs")
    (spool / "dead").symlink_to(spool / "nowhere")
    status, text = told(capsys, "verify", spool)
    assert status == 1
    for name in ("linked", "dead"):
        assert f"{spool / name}: this is a link, not a queue's directory; it is refused" in text
    assert text.endswith("7 queues: 5 sound, 2 damaged\n")
    status, text = told(capsys, "stats", spool)
    assert status == 1
    assert text.count("this is a link") == 2
    assert text.splitlines()[-1].split()[:2] == ["10", "10"]


@pytest.mark.patches
def test_a_directory_that_cannot_be_listed_hides_no_other_queue(
    spool: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Files.list_directory

    def list_directory(self: Files, path: str) -> list[str]:
        if path.endswith(f"spool/{SEGMENT}"):
            raise PermissionError(13, "Permission denied", path)
        return original(self, path)

    monkeypatch.setattr(Files, "list_directory", list_directory)
    (spool / ".lock").unlink()
    status, text = told(capsys, "verify", spool)
    assert status == 1
    assert text.endswith("5 queues: 4 sound, 1 damaged\n")
    status, text = told(capsys, "stats", spool)
    assert (status, text.splitlines()[-1].split()[:2]) == (1, ["8", "8"])


def test_a_lock_that_is_a_fifo_lets_no_tool_wait(
    spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (spool / ".lock").unlink()
    os.mkfifo(spool / ".lock")
    assert told(capsys, "verify", spool)[0] == 0
