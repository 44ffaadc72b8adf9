"""The pid file: whose it is, and what is never written over."""

import os
from pathlib import Path

import pytest

from starling_py.server.errors import ProcessError
from starling_py.server.pid_file import PidFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "starling.pid"


def refusal(path: Path) -> str:
    with pytest.raises(ProcessError) as refused:
        PidFile(path)
    return str(refused.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("stale", [None, "", "1\n", " 123456 ", "99999999999999999999\n", "\0" * 7])
def test_what_was_left_behind_is_replaced(path: Path, stale: str | None) -> None:
    if stale is not None:
        path.parent.mkdir()
        path.write_text(stale)
    pid_file = PidFile(path)
    pid_file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    pid_file.remove()
    assert not path.exists()


def test_a_file_that_is_held_is_refused_and_stays(path: Path) -> None:
    pid_file = PidFile(path)
    assert refusal(path) == "a server is running already"
    pid_file.write()
    assert refusal(path) == f"a server is running already, process {os.getpid()}"
    pid_file.remove()
    PidFile(path).remove()


def test_a_file_that_another_one_has_put_there_is_not_removed(path: Path) -> None:
    pid_file = PidFile(path)
    pid_file.write()
    path.unlink()
    other = PidFile(path)
    other.write()
    pid_file.remove()
    assert path.read_text() == f"{os.getpid()}\n"
    other.remove()


@pytest.mark.parametrize("content", ["root:x:0:0\n", "12 34\n", "-1\n", "0x10", "1" * 21, "1\n\0"])
def test_a_file_with_something_else_in_it_is_left_alone(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    assert refusal(path) == "holds no process id; not replaced"
    assert path.read_text() == content


@pytest.mark.parametrize("target", ["file", "nothing"])
def test_a_link_is_refused_and_what_it_leads_to_is_left_alone(path: Path, target: str) -> None:
    path.parent.mkdir()
    foreign = path.with_name("foreign")
    if target == "file":
        foreign.write_text("1\n")
    path.symlink_to(foreign)
    assert refusal(path) == "is a link; not replaced"
    assert path.is_symlink()
    assert (foreign.read_text() if target == "file" else not foreign.exists()) in ("1\n", True)


@pytest.mark.parametrize("what", ["folder", "pipe", "device"])
def test_what_is_no_file_is_refused_and_not_waited_for(path: Path, what: str) -> None:
    path.parent.mkdir()
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path = Path("/dev/null")
    assert refusal(path) == "is no file; not replaced"
