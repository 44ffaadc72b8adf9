"""Reads the conversations in docs/guide.md and holds them with a real server.

A heading of the guide begins a scenario: an empty server with the settings of the ``yaml`` block
that follows, if one does, and clients that stay connected. In a ``memcached`` block, ``> `` is
what a client sends and ``< `` what it is answered, ``2> `` and ``2< `` the same for another one,
and words in parentheses are what happens besides. ``< ...`` stands for any lines, ``{number}``
and ``{text}`` for a part of one. A ``yaml changed`` block changes the file under the server.
"""

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.process.server_process import (
    PATIENCE,
    ROOT,
    ServerProcess,
    wait_until,
    wait_until_gone,
)

GUIDE = ROOT / "docs" / "guide.md"

_STEP = re.compile(r"(?P<client>[2-9]?)(?P<direction>[<>])(?: (?P<text>.*))?")
_PLACEHOLDERS = {r"\{number\}": r"[0-9]+(\.[0-9]+)?", r"\{text\}": r".+"}
_ANY_LINES = "..."


@dataclass(frozen=True)
class Block:
    """A fenced block of the guide."""

    language: str
    first_line: int
    lines: list[str]


@dataclass
class Scenario:
    """What stands below one heading."""

    title: str
    settings: str | None = None
    blocks: list[Block] = field(default_factory=list)


def scenarios() -> list[Scenario]:
    """Return what there is to be acted out, in the order of the guide."""
    found = [Scenario("")]
    for heading, block in _parts(GUIDE.read_text().splitlines()):
        if heading:
            found.append(Scenario(heading))
        if block and block.language == "yaml":
            assert not found[-1].blocks, f"line {block.first_line}: settings come first"
            found[-1].settings = "\n".join(block.lines)
        elif block and block.language in ("memcached", "yaml changed"):
            found[-1].blocks.append(block)
    return [each for each in found if each.settings or each.blocks]


def _parts(lines: list[str]) -> Iterator[tuple[str, Block | None]]:
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        if line.startswith("```"):
            inside = []
            for _, each in numbered:
                if each.startswith("```"):
                    break
                inside.append(each)
            yield "", Block(line[3:], number + 1, inside)
        elif line.startswith("#"):
            yield line.lstrip("# "), None


def sent_lines() -> list[str]:
    """Return every line that a client sends in the guide."""
    conversations = (block for each in scenarios() for block in each.blocks)
    steps = (_STEP.fullmatch(line) for block in conversations for line in block.lines)
    return [step["text"] for step in steps if step and step["direction"] == ">" and step["text"]]


class Client:
    """One connection, line by line."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._lines = self._socket.makefile("rb")

    def send(self, text: str) -> None:
        """Send a line."""
        self._socket.sendall(text.encode() + b"\r\n")

    def line(self) -> str:
        """Return the next line of a reply; empty when the connection was closed."""
        line = self._lines.readline()
        assert line.endswith(b"\r\n") or not line, line
        return line.decode().removesuffix("\r\n") if line else "(closed)"

    def ask(self, text: str) -> str:
        """Send a line and return the one that answers it."""
        self.send(text)
        return self.line()

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()


class Actor:
    """Acts out one scenario."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self._scenario = scenario
        self._clients: dict[str, Client] = {}
        self._speaker = ""
        self._file = folder / "starling.yml"
        self._file.write_text(scenario.settings or "starling:\n")
        self._server = ServerProcess(folder / "spool", "--config", self._file)
        self._happenings: Mapping[str, Callable[..., None]] = {
            r"([0-9.]+) seconds? later": lambda seconds: time.sleep(float(seconds)),
            r"the (first|second|third) client hangs up": self._hang_up,
            r"the server closes the connection": self._expect_closed,
            r"the server stops": self._expect_stopped,
            r"the server is killed and started again": self._restart,
            r"the server gets (SIG[A-Z0-9]+)": self._signal,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()
        self._server.__exit__()

    def act(self) -> None:
        """Do everything that the scenario tells, and compare the replies."""
        for block in self._scenario.blocks:
            if block.language == "memcached":
                self._converse(block)
            else:
                self._file.write_text("\n".join(block.lines))
        for client in self._clients.values():
            assert client.ask("quit") == "(closed)", "there was more to be read"

    def _converse(self, block: Block) -> None:
        skipping = False
        for number, line in enumerate(block.lines, block.first_line):
            place = f"docs/guide.md:{number}"
            step = _STEP.fullmatch(line)
            if step is None:
                self._happen(line, place)
            elif step["direction"] == ">":
                self._client(step["client"]).send(step["text"] or "")
            elif step["text"] == _ANY_LINES:
                skipping = True
            else:
                self._expect(step, place, skipping=skipping)
                skipping = False

    def _expect(self, step: "re.Match[str]", place: str, *, skipping: bool) -> None:
        client = self._client(step["client"])
        text = step["text"] or ""
        pattern = re.escape(text)
        for placeholder, stands_for in _PLACEHOLDERS.items():
            pattern = pattern.replace(placeholder, stands_for)
        line = client.line()
        while skipping and not re.fullmatch(pattern, line):
            assert line not in ("END", "(closed)"), f"{place}: {text} does not come"
            line = client.line()
        assert re.fullmatch(pattern, line), f"{place}: expected {text}, got {line}"

    def _client(self, name: str) -> Client:
        """Return a client; what another one has sent has reached the server before."""
        if name != self._speaker:
            self._speaker = name
            self._wait_for_the_server()
        if name not in self._clients:
            self._clients[name] = Client(self._server.port)
        return self._clients[name]

    def _wait_for_the_server(self) -> None:
        with contextlib.closing(Client(self._server.port)) as observer:
            assert observer.ask("version").startswith("VERSION ")

    def _happen(self, line: str, place: str) -> None:
        if not line:
            return
        for pattern, action in self._happenings.items():
            if match := re.fullmatch(rf"\({pattern}\)", line):
                action(*match.groups())
                return
        raise AssertionError(f"{place}: nobody knows how to do this: {line}")

    def _hang_up(self, which: str) -> None:
        self._clients.pop({"first": "", "second": "2", "third": "3"}[which]).close()
        self._wait_for_the_server()

    def _expect_closed(self) -> None:
        client = self._clients.pop(self._speaker)
        assert client.line() == "(closed)", "the connection is still open"
        client.close()

    def _expect_stopped(self) -> None:
        self._expect_closed()
        wait_until_gone(self._server.pid)
        assert self._server.stop() == 0

    def _restart(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._server.restart()

    def _signal(self, name: str) -> None:
        said = len(self._server.log)
        os.kill(self._server.pid, signal.Signals[name])
        wait_until(lambda: len(self._server.log) > said)
        self._wait_for_the_server()
