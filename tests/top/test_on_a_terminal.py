"""starling-top on a terminal, at a server that is there: looked at, and acted through."""

import os
import pty
import re
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from tests.process.server_process import PATIENCE, ServerProcess, environment
from tests.readable import is_readable

COMMAND = [sys.executable, "-W", "error", "-m", "starling_py.top"]
_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|[\x0e\x0f]")


class Terminal:
    """A terminal that starling-top runs on, and all that it has written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = b""

    def expect(self, words: str) -> None:
        """Read until some words have been written since the last ones that were expected."""
        end = time.monotonic() + PATIENCE
        while (at := _ESCAPES.sub(b"", self._seen).find(words.encode())) < 0:
            assert time.monotonic() < end, (words, self._seen)
            if is_readable(self._descriptor, 1):
                self._seen += os.read(self._descriptor, 65536)
        self._seen = _ESCAPES.sub(b"", self._seen)[at + len(words.encode()) :]

    def type(self, keys: str) -> None:
        """Type keys, each a character."""
        for key in keys:
            os.write(self._descriptor, key.encode())


@contextmanager
def watching(server: ServerProcess, width: int = 80) -> Iterator[Terminal]:
    """Run starling-top until it ends by itself, and expect it to leave the terminal as it was."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, width))
    before = termios.tcgetattr(theirs)
    arguments = [*COMMAND, f"127.0.0.1:{server.port}", "-d", "0.1", "--sort", "queue"]
    env = {**environment(), "TERM": "xterm", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(arguments, stdin=theirs, stdout=theirs, env=env) as process:
        try:
            yield Terminal(ours)
            end = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < end:
                if is_readable(ours, 0.1):
                    os.read(ours, 65536)
            assert process.poll() == 0
        finally:
            process.kill()
        assert termios.tcgetattr(theirs) == before
    os.close(theirs)
    os.close(ours)


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """Return where clients are closed in the end."""
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("width", [60, 120])
def test_queues_are_watched_looked_into_and_acted_on(
    server: ServerProcess, clients: ExitStack, width: int
) -> None:
    client = clients.enter_context(closing(server.client()))
    for number in range(776):
        client.set("jobs", f"job {number}")
    client.set("mail", b"\x1b[31mred")
    with watching(server, width) as terminal:
        terminal.expect("jobs")
        terminal.expect("2 queues")
        client.set("jobs", "one more")  # changes are seen without a key
        terminal.expect("778")
        terminal.type("\r")
        terminal.expect("job 0")
        terminal.type("p")
        terminal.expect("Pause jobs?")
        terminal.type("y")
        terminal.expect("pause jobs: OK")
        assert client.get("jobs") is None, "it is paused"
        terminal.type("p")
        terminal.expect("Resume jobs?")
        terminal.type("y")
        terminal.expect("resume jobs: OK")
        terminal.type("mother 2\r")
        terminal.expect("Move 2 items of jobs to other?")
        terminal.type("n")
        terminal.expect("nothing was changed")
        terminal.type("mother 2\ry")
        terminal.expect("MOVED 2")
        terminal.type("Fjobs\r")
        terminal.expect("flush jobs: END")
        terminal.type("q/mail\r")
        terminal.expect("/mail")
        terminal.expect("1 of 3 queues")
        terminal.type("\r")
        terminal.expect(r"\x1b[31mred")
        terminal.type("qq")
    assert client.get("jobs") is None
    assert [client.get("other"), client.get("other")] == [b"job 0", b"job 1"]


def test_a_server_that_goes_and_comes_is_told_and_asked_anew(
    server: ServerProcess, clients: ExitStack
) -> None:
    clients.enter_context(closing(server.client())).set("jobs", "one")
    with watching(server) as terminal:
        terminal.expect("jobs")
        server.stop()
        terminal.expect("DOWN since")
        server.start()
        terminal.expect("restarted at")
        clients.enter_context(closing(server.client())).set("later", "one")
        terminal.expect("later")
        terminal.type("q")


def test_the_end_of_the_terminal_ends_it_without_a_traceback(server: ServerProcess) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    arguments = [*COMMAND, f"127.0.0.1:{server.port}", "-d", "0.1"]
    env = {**environment(), "TERM": "xterm"}
    with subprocess.Popen(
        arguments, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=env
    ) as process:
        os.close(theirs)
        Terminal(ours).expect("0 queues")
        os.close(ours)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, b"")
