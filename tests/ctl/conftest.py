"""The command on the core of a server: no sockets, no process, and a clock that a test moves."""

import dataclasses
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from starling_py import stats
from starling_py.connecting.address import Address
from starling_py.ctl import cli
from starling_py.ctl.command import Context
from starling_py.ctl.output import Output
from starling_py.ctl.remote import Remote
from starling_py.session.client import Policy
from tests.core import Client, CoreHarness, ManualClock


class CoreWire:
    """A wire to a core in the same process."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._told = b""

    def send(self, data: bytes) -> None:
        self._told += self.client.ask(data)

    def receive(self) -> bytes:
        told, self._told = self._told, b""
        return told

    def close(self) -> None:
        """Let the connection be."""


@attrs.frozen
class Done:
    """What a command did."""

    status: int
    data: bytes
    err: str

    @property
    def out(self) -> str:
        return self.data.decode()

    def lines(self) -> list[str]:
        return self.out.splitlines()

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


Ctl = Callable[..., Done]


class Core(CoreHarness):
    """The core of a server that tells of enough connections to be well."""

    def snapshot(self) -> stats.Snapshot:
        return dataclasses.replace(super().snapshot(), max_connections=100)


@pytest.fixture
def core(tmp_path: Path) -> CoreHarness:
    """Return a core whose clock shows the time of the command, until a test moves it."""
    clock = ManualClock(time.time_ns() // 1_000_000)
    return Core(tmp_path / "spool", clock=clock, policy=Policy(1 << 20, False, False, True, True))


@pytest.fixture
def remote(core: CoreHarness) -> Remote:
    """Return a server that is asked through a wire."""
    return Remote.over(CoreWire(core.client()), "here")


@pytest.fixture
def ctl(core: CoreHarness, monkeypatch: pytest.MonkeyPatch) -> Ctl:
    """Return a function that runs the command with words, and perhaps with standard input."""

    def connect(_address: Address, _timeout: float) -> Remote:
        return Remote.over(CoreWire(core.client()), "here")

    def run(*words: object, given: bytes = b"") -> Done:
        out, err = io.BytesIO(), io.StringIO()
        with monkeypatch.context() as streams:
            streams.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
            streams.setattr("sys.stdout", io.TextIOWrapper(out, encoding="utf-8"))
            streams.setattr("sys.stderr", err)
            try:
                options = cli.build_parser().parse_args([str(word) for word in words])
                status = cli.run(Context(options, Output(as_json=options.json), connect))
            except SystemExit as end:
                status = int(end.code or 0)
            sys.stdout.flush()
            return Done(status, out.getvalue(), err.getvalue())

    return run
