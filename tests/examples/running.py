"""Runs examples as a person runs them: each a process, whose output is read as it comes."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Self

from tests.process.server_process import ROOT, environment

EXAMPLES = ROOT / "examples"
PATIENCE = 60.0
"""Seconds in which an example must say something or end, however busy the machine is."""


class Example:
    """One example at work."""

    def __init__(self, name: str, *options: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *map(str, options)],
            env=environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        """What it has printed until now."""
        self.errors: list[str] = []
        """What it has written to standard error until now."""
        self._seen = 0
        self._readers = [
            threading.Thread(target=_read, args=each)
            for each in (
                (self._process.stdout, self.lines.append),
                (self._process.stderr, self.errors.append),
            )
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def wait_for(self, text: str) -> str:
        """Return the next line that has this text in it, once it has been printed."""
        deadline = time.monotonic() + PATIENCE
        alive = True
        while alive and time.monotonic() < deadline:
            time.sleep(0.002)
            alive = self._process.poll() is None
            if not alive:
                self.kill()  # and read the rest of what it said
            while self._seen < len(self.lines):
                self._seen += 1
                if text in self.lines[self._seen - 1]:
                    return self.lines[self._seen - 1]
        raise AssertionError(f"it did not say {text!r}, but {self.lines} and {self.errors}")

    def check_good_end(self) -> list[str]:
        """Return all that it printed, once it has ended well."""
        assert (self.ended(), self.errors) == (0, [])
        return self.lines

    def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        try:
            return self._process.wait(PATIENCE)
        finally:
            self.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it where it stands, if it has not ended."""
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()


def run(name: str, *options: object) -> list[str]:
    """Run an example to its end and return what it printed."""
    return Example(name, *options).check_good_end()


def _read(stream: IO[str], tell: Callable[[str], None]) -> None:
    with stream:
        for line in stream:
            tell(line.rstrip("\n"))
