"""One row on one server: started on a fresh spool, attacked, and looked at all the while."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from bench import LoadError
from bench.hostile import BrokenError, RefusedError
from bench.hostile.innocent import Felt
from bench.hostile.row import Scene
from bench.hostile.watch import forget_peak, memory, peak
from bench.process import PATIENCE, await_start, cpu_seconds, free_port, said, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.hostile.row import Row
    from bench.servers import Server

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[2]
BASELINE = (1.5, 0.2)  # seconds without an attack, in the whole form and in the quick one
SETTLING = (1.0, 0.1)  # seconds after it, in which what is left behind may still be felt
LEAVING = 5.0  # seconds that memory has to come back
TIME_LIMITS = (600.0, 60.0)
NO_SUCH_FEATURE = ("MemoryError",)


@dataclass
class Outcome:
    """What a row gave on a server."""

    row: str
    server: str
    baseline: Felt
    felt: Felt
    cpu: float = 0.0
    """CPU seconds of the server during the attack, all threads, the innocent client's included."""
    seconds: float = 0.0
    before: float = 0.0
    """MB of resident memory."""
    peak: float = 0.0
    after: float = 0.0
    note: str = ""
    trouble: str = ""
    """Why the row says nothing; empty if it does."""


@cache
def knows(server: Server, setting: str, setting_value: object) -> bool:
    """Tell whether a server takes a setting."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "conf.yml"
        config.write_text(yaml.safe_dump({"starling": {setting: setting_value}}))
        command = [*server.command(Path(folder), 1), "-f", str(config), "--check-config"]
        try:
            asked = subprocess.run(
                command, capture_output=True, timeout=PATIENCE, check=False, cwd=ROOT
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LoadError(f"{server.name}: cannot be asked for its settings: {error}") from error
    return asked.returncode == 0


class Trial:
    """A server that one row is tried on."""

    def __init__(self, row: Row, server: Server, core: int | None, *, quick: bool) -> None:
        self._row, self._server, self._core, self._quick = row, server, core, quick
        self.deadline = time.perf_counter() + TIME_LIMITS[quick]

    def run(self, directory: Path) -> Outcome:
        """Return what the row gave; what went wrong with it is its trouble."""
        outcome = Outcome(self._row.name, self._server.name, Felt(), Felt())
        try:
            with tempfile.TemporaryDirectory(dir=directory, prefix="hostile-") as folder:
                self._run(Path(folder), outcome)
        except RefusedError as error:
            outcome.trouble = f"refused: {error}"
        except LoadError as error:
            outcome.trouble = f"broke off: {error}"
        except OSError as error:
            outcome.trouble = f"failed: {error}"
        return outcome

    def _run(self, folder: Path, outcome: Outcome) -> None:
        quick = self._quick
        with ExitStack() as stack:
            port, process, log = stack.enter_context(self._started(folder))
            scene = Scene((HOST, port), process.pid, self.deadline)
            stack.callback(scene.hang_up)
            try:
                attack = self._row.attack(scene, **self._row.size(quick=quick))
                next(attack)
                innocent = stack.enter_context(_innocent(port, process.pid))
                time.sleep(BASELINE[quick])
                outcome.baseline = _felt(innocent)
                self._attack(attack, scene, innocent, outcome)
            except (LoadError, OSError) as error:
                code = process.poll()
                if code is None:
                    raise
                raise BrokenError(f"the server ended with {code}: {error}; {said(log)}") from error

    def _attack(
        self,
        attack: Iterator[None],
        scene: Scene,
        innocent: subprocess.Popen[str],
        outcome: Outcome,
    ) -> None:
        pid, quick = scene.pid, self._quick
        forget_peak(pid)
        outcome.before = memory(pid)
        cpu, began = cpu_seconds(pid), time.perf_counter()
        for _ in attack:
            # It has said that its set-up ends only here.
            forget_peak(pid)
            outcome.before = memory(pid)
            cpu, began = cpu_seconds(pid), time.perf_counter()
        scene.hang_up()
        outcome.seconds = time.perf_counter() - began
        time.sleep(SETTLING[quick])
        outcome.felt = _felt(innocent)
        outcome.cpu = cpu_seconds(pid) - cpu
        outcome.peak, outcome.after = peak(pid), self._left(pid, outcome.before)
        outcome.note = "; ".join(scene.notes)
        if outcome.felt.odd and not self._row.odd:
            raise RefusedError(f"the innocent client was answered {outcome.felt.first_odd}")

    def _left(self, pid: int, before: float) -> float:
        """Return the memory that is not given back within some time."""
        if self._row.stays is None:
            return memory(pid)
        end = time.perf_counter() + LEAVING
        while memory(pid) > before + self._row.stays and time.perf_counter() < end:
            time.sleep(0.1)
        return memory(pid)

    @contextmanager
    def _started(self, folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes], Path]]:
        config, port, log = folder / "conf.yml", free_port(), folder / "log"
        config.write_text(yaml.safe_dump(self._settings()))
        process = spawn([*self._server.command(folder, port), "-f", str(config)], log, self._core)
        try:
            await_start(process, (HOST, port), time.perf_counter() + PATIENCE, log)
            yield port, process, log
        finally:
            # Nothing is wanted of it any more, and its spool goes with the folder.
            process.kill()
            process.wait()

    def _settings(self) -> dict[str, object]:
        row = self._row
        server = dict(row.server)
        for name, pair in row.wishes.items():
            if knows(self._server, name, pair[self._quick]):
                server[name] = pair[self._quick]
        whole = {"starling": server, "queues": row.queues, "routes": row.routes}
        plain = {name: json.loads(json.dumps(part)) for name, part in whole.items() if part}
        return plain or {"starling": {"host": HOST}}


@contextmanager
def _innocent(port: int, pid: int) -> Iterator[subprocess.Popen[str]]:
    """Run the innocent client on this process's core, until it is left."""
    command = [sys.executable, "-m", "bench.hostile.innocent", str(port), str(pid)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=_environment()
    ) as process:
        try:
            _line(process)
            yield process
        finally:
            process.kill()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _felt(innocent: subprocess.Popen[str]) -> Felt:
    """Return what the innocent client has felt since it was asked the last time."""
    assert innocent.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        innocent.stdin.write("\n")
        innocent.stdin.flush()
    return replace(Felt(), **json.loads(_line(innocent)))


def _line(innocent: subprocess.Popen[str]) -> str:
    assert innocent.stdout is not None
    line = innocent.stdout.readline()
    if not line:
        raise BrokenError("the innocent client ended")
    return line
