"""Rows on one server: started on a fresh spool, attacked, and looked at all the while."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import yaml

from bench import LoadError
from bench.hostile import BrokenError, RefusedError
from bench.hostile.innocent import Bystander, Felt
from bench.hostile.row import Scene
from bench.hostile.watch import forget_peak, memory, peak
from bench.process import PATIENCE, await_start, cpu_seconds, free_port, spawn
from bench.secured import LOG_IN, USER, users_file
from bench.servers import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.hostile.row import Row
    from bench.servers import Server

BASELINE = (1.5, 0.2)  # seconds without an attack, in the whole form and in the quick one
SETTLING = (1.0, 0.1)  # seconds after it, in which what is left behind may still be felt
LEAVING = 5.0  # seconds that memory has to come back
TIME_LIMITS = (600.0, 60.0)  # seconds for a row
TRACEBACK = re.compile(r"^\w[\w.]*(?:Error|Exception)\b.*", re.MULTILINE)


@dataclass
class Outcome:
    """What a row gave on a server."""

    row: str
    server: str
    baseline: Felt = field(default_factory=Felt)
    attacked: Felt = field(default_factory=Felt)
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


class Trial:
    """A server, and an innocent client of it, on which rows are tried one after the other.

    It is a context. Its settings are those that all of the rows need together.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        server: Server,
        core: int | None,
        directory: Path,
        *,
        quick: bool,
        users: bool = False,
    ) -> None:
        """With `users`, the server has users whatever the rows say."""
        self._users = users or any(row.users for row in rows)
        self._greeting = LOG_IN if self._users else b""
        self._rows, self._server, self._quick = rows, server, quick
        self._core, self._directory = core, directory
        self._stack = ExitStack()
        self._standing: set[bytes] = set()

    def __enter__(self) -> Self:
        """Start the server. Raises `LoadError`."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self._directory)))
            self._log = folder / "log"
            self._port, self._process = stack.enter_context(self._started(folder))
            self._innocent = stack.enter_context(
                Bystander(self._port, self._process.pid, self._greeting)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, row: Row) -> Outcome:
        """Return what a row gave; what went wrong with it is its trouble."""
        outcome = Outcome(row.name, self._server.name)
        deadline = time.perf_counter() + TIME_LIMITS[self._quick]
        address, spare = (HOST, self._port), BASELINE[self._quick] * 1.5 + 0.3
        scene = Scene(address, self._process.pid, deadline, self._standing, spare, self._greeting)
        try:
            self._attack(row, scene, outcome)
        except RefusedError as error:
            outcome.trouble = f"refused: {error}"
        except (LoadError, OSError) as error:
            outcome.trouble = f"broke off: {error}{self._why()}"
        finally:
            scene.hang_up()
        return outcome

    def _attack(self, row: Row, scene: Scene, outcome: Outcome) -> None:
        quick, pid = self._quick, scene.pid
        attack = row.attack(scene, **row.size(quick=quick))
        next(attack)
        self._innocent.felt()
        time.sleep(BASELINE[quick])
        outcome.baseline = self._innocent.felt()

        def begin() -> tuple[float, float, float]:
            forget_peak(pid)
            return memory(pid), cpu_seconds(pid), time.perf_counter()

        outcome.before, cpu, began = begin()
        for _ in attack:
            # It says only now that what came before was its set-up.
            outcome.before, cpu, began = begin()
        scene.hang_up()
        outcome.seconds = time.perf_counter() - began
        time.sleep(SETTLING[quick])
        outcome.attacked = self._innocent.felt()
        outcome.cpu = cpu_seconds(pid) - cpu
        outcome.peak, outcome.after = peak(pid), _left(pid, outcome.before, row.stays)
        outcome.note = "; ".join(scene.notes)
        if not outcome.attacked.requests:
            raise BrokenError("the innocent client asked for nothing meanwhile")
        if outcome.attacked.odd and not row.odd:
            raise RefusedError(f"the innocent client was answered {outcome.attacked.first_odd}")

    def _why(self) -> str:
        """Return what is known of the server's end, or the last error in its log."""
        code = self._process.poll()
        ended = "" if code is None else f"; the server ended with {code}"
        errors = TRACEBACK.findall(self._log.read_text(errors="replace"))
        return f"{ended}; its log: {errors[-1]}" if errors else ended

    @contextmanager
    def _started(self, folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
        config, port = folder / "conf.yml", free_port()
        settings = self._settings()
        if self._users:
            settings = {**settings, **users_of(folder, settings)}
        config.write_text(yaml.safe_dump(settings))
        command = [*self._server.command(folder, port), "-f", str(config)]
        process = spawn(command, self._log, self._core)
        try:
            await_start(process, (HOST, port), time.perf_counter() + PATIENCE, self._log)
            yield port, process
        finally:
            # Nothing is wanted of it any more, and its spool goes with the folder.
            process.kill()
            process.wait()

    def _settings(self) -> dict[str, object]:
        server: dict[str, object] = {"host": HOST}
        queues: dict[str, object] = {}
        routes: dict[str, object] = {}
        for row in self._rows:
            known = {name: pair[self._quick] for name, pair in row.wishes.items()}
            known = {n: each for n, each in known.items() if knows(self._server, n, each)}
            server |= {**row.server, **known}
            queues |= row.queues
            routes |= row.routes
        whole = {"starling": server, "queues": queues, "routes": routes}
        # Without YAML's marks of what is the same object.
        plain: dict[str, object] = json.loads(json.dumps(whole))
        return {name: part for name, part in plain.items() if part}


def users_of(folder: Path, settings: dict[str, object]) -> dict[str, object]:
    """Return what a server is told that has one user, who may do everything."""
    rights = {"put": "#", "get": "#", "admin": True}
    server = {**cast("dict[str, object]", settings["starling"]), **users_file(folder)}
    return {"starling": server, "users": {USER: rights}}


def _left(pid: int, before: float, stays: float | None) -> float:
    """Return the memory that is not given back within some time."""
    end = time.perf_counter() + LEAVING
    while stays is not None and memory(pid) > before + stays and time.perf_counter() < end:
        time.sleep(0.1)
    return memory(pid)


@cache
def knows(server: Server, name: str, value: object) -> bool:
    """Tell whether a server takes a setting. Raises `LoadError` if it cannot be asked."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "conf.yml"
        config.write_text(yaml.safe_dump({"starling": {name: value}}))
        command = [*server.command(Path(folder), 1), "-f", str(config), "--check-config"]
        try:
            asked = subprocess.run(
                command, capture_output=True, timeout=PATIENCE, check=False, cwd=folder
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LoadError(f"{server.name}: cannot be asked for its settings: {error}") from error
    return asked.returncode == 0
