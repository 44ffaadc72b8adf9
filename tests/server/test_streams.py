"""The standard descriptors: open, whatever the process was started with, and never waited for."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.server_process import PATIENCE, environment

TELL = "from starling_py.server import streams; streams.tell('what is wrong', 0.01)"
OPEN = """
import os, sys
from starling_py.server import streams
streams.open_standard_streams()
told = [os.path.realpath(f"/dev/fd/{number}") for number in range(3)]
print("what is wrong", file=sys.stderr)
print("all is well")
with open(sys.argv[1], "w") as file:
    print(*told, os.open("/", os.O_RDONLY), file=file)
"""


def run(program: str, *arguments: str, stderr: int = subprocess.DEVNULL) -> int:
    """Run a program of Python's and return its exit code."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(
        command, env=environment(), stderr=stderr, timeout=PATIENCE, check=False
    ).returncode


def test_what_is_told_goes_to_standard_error() -> None:
    reader, writer = os.pipe()
    assert run(TELL, stderr=writer) == 0
    os.close(writer)
    assert os.read(reader, 100) == b"starling-py: what is wrong\n"
    os.close(reader)


@pytest.mark.parametrize("state", ["full", "closed by its reader"])
def test_who_tells_waits_for_no_reader(state: str) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while state == "full":
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    if state != "full":
        os.close(reader)
    assert run(TELL, stderr=writer) == 0
    os.close(writer)
    if state == "full":
        os.close(reader)


@pytest.mark.parametrize("closed", [(), (0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_no_file_gets_a_standard_descriptor(tmp_path: Path, closed: tuple[int, ...]) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    told, standard = tmp_path / "told", tmp_path / "standard"
    with standard.open("w+") as file:
        done = subprocess.run(
            [sys.executable, "-c", OPEN, str(told)],
            env=environment(),
            stdin=file,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=close,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 0
    *targets, opened = told.read_text().split()
    expected = ["/dev/null" if each in closed else str(standard) for each in range(3)]
    assert targets == expected
    assert int(opened) > 2
    said = standard.read_text()
    # What is meant for one of them does not come out of the other.
    assert ("what is wrong" in said) == (2 not in closed)
    assert ("all is well" in said) == (1 not in closed)
