"""A server as a process of its own, started by its command as a person starts it."""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from pymemcache.client.base import Client

ROOT = Path(__file__).parent.parent.parent
COMMAND = (sys.executable, "-m", "starling_py")
PATIENCE = 60.0
"""Seconds in which a process must start, stop or answer, however busy the machine is."""


def environment(source: Path = ROOT) -> dict[str, str]:
    """Return an environment in which the package below ``source`` is found from any directory.

    What is compiled is kept there: compiling would be a fifth of a start, and there are hundreds.
    """
    path = os.pathsep.join(filter(None, (str(source), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""}


def run(*options: object, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; for what is expected not to serve."""
    return subprocess.run(
        [*COMMAND, *map(str, options)],
        capture_output=True,
        check=False,
        env=environment(),
        text=True,
        timeout=timeout,
    )


def obey_sigint() -> None:
    """Let a new process obey SIGINT; what is started in the background may have to ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


HELD = """\
import os
listed = os.listdir
def listdir(path="."):
    if str(path) == {spool!r}:
        open({pipe!r}).close()
    return listed(path)
os.listdir = listdir
"""


def environment_that_holds(folder: Path, spool: Path) -> dict[str, str]:
    """Return an environment in which a server waits for ever when it begins to read its spool.

    A module that Python loads when it begins lets it open a pipe into which nobody writes.
    """
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    held = folder / "held"
    held.mkdir()
    (held / "sitecustomize.py").write_text(HELD.format(spool=str(spool), pipe=str(pipe)))
    usual = environment()
    return {**usual, "PYTHONPATH": os.pathsep.join((str(held), usual["PYTHONPATH"]))}


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """Keep a port, on which nobody listens, for a server of one's own.

    Linux gives a port that is bound to nobody else, but lets a server listen there that asks for
    this very port. Others do not, so there somebody else may be given it.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield port


def connect(port: int, **options: object) -> Client:
    """Return a client that insists on replies and gives up some day."""
    settings = {"default_noreply": False, "timeout": PATIENCE, **options}
    return Client(("127.0.0.1", port), **settings)


def answers(port: int) -> bool:
    """Tell whether a server answers on the port."""
    client = connect(port)
    try:
        return bool(client.version())
    except OSError:
        return False
    finally:
        client.close()


def settings_file(folder: Path, **settings: object) -> Path:
    """Write a configuration with these settings, and return its path."""
    path = folder / "starling.yml"
    path.write_text("".join(["starling:\n", *(f"  {k}: {v}\n" for k, v in settings.items())]))
    return path


def expect_refusal(code: int, *options: object) -> str:
    """Run the command, and return the one line with which it refuses."""
    done = run(*options)
    lines = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert (done.returncode, done.stdout, len(lines)) == (code, "", 1), done.stderr
    assert lines[0].startswith("starling-py: ")
    return lines[0]


@contextlib.contextmanager
def starting(spool: Path, *options: object) -> Iterator["subprocess.Popen[str]"]:
    """Start a server that has just begun to read its queues back; it is gone at the end."""
    process = subprocess.Popen(
        [*COMMAND, "-q", spool, "-p", "0", *map(str, options)],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            assert f"spool {spool}" in process.stderr.readline()
            yield process
        finally:
            process.kill()


def seconds(what: Callable[[], object]) -> float:
    """Return how long something takes."""
    begin = time.monotonic()
    what()
    return time.monotonic() - begin


def wait_until(what: Callable[[], bool]) -> None:
    """Return when something holds, as it soon must."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.002)


def wait_until_it_answers(port: int) -> None:
    """Return when a server answers on the port."""
    wait_until(lambda: answers(port))


def wait_until_gone(pid: int) -> None:
    """Return when a process that is no child of this one has ended."""
    wait_until(lambda: _is_gone(pid))


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # Where nobody collects orphans, as in some containers, it stays behind as a zombie.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return state == "Z"


class ServerProcess:
    """A server in the foreground; its log is read from standard error.

    It may be started again after it has ended, on the same port and with the same options.
    """

    def __init__(
        self,
        spool: Path,
        *options: object,
        patience: float = PATIENCE,
        source: Path | None = None,
        port: int | None = None,
    ) -> None:
        """``patience`` is in seconds: how long it may take to start, and to stop.

        ``port`` is one that the configuration says; without it, a free one is chosen.

        ``source`` holds another package than the checkout's, and is the working directory then.
        """
        self._keeper = contextlib.ExitStack()
        self.port = self._keeper.enter_context(free_port()) if port is None else port
        self._is_told = port is None
        self._patience = patience
        self._source = source
        self.log: list[str] = []
        """Everything it has said on standard error, over all its lives."""
        self._options = ("-q", spool, *options)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
        self._keeper.close()

    @property
    def pid(self) -> int:
        """The process id of its present life."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it listens and obeys signals."""
        command = [*COMMAND, *map(str, self._options)]
        command += ["--port", str(self.port)] if self._is_told else []
        self._process = subprocess.Popen(
            command,
            cwd=self._source,
            stderr=subprocess.PIPE,
            env=environment(self._source or ROOT),
            text=True,
        )
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(self._process, lines))
        self._reader.start()
        try:
            while "listening on" not in (line := lines.get(timeout=self._patience)):
                assert line, f"it ended at once: {''.join(self.log)}"
        except BaseException:
            self.kill()
            raise
        self.port = int(line.rpartition(":")[2])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it in order and return its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._end()

    def kill(self) -> None:
        """Kill it where it stands."""
        assert self._process is not None
        self._process.kill()
        self._end()

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def client(self, **options: object) -> Client:
        """Return a client of it."""
        return connect(self.port, **options)

    def stat(self, name: str) -> int:
        """Return one number of its statistics."""
        with contextlib.closing(self.client()) as client:
            return int(client.stats()[name.encode()])

    def _end(self) -> int:
        assert self._process is not None
        assert self._reader is not None
        code = self._process.wait(self._patience)
        self._reader.join(self._patience)
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._process = self._reader = None
        return code

    def _read(self, process: "subprocess.Popen[str]", lines: "queue.SimpleQueue[str]") -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.log.append(line)
            lines.put(line)
        lines.put("")


@contextlib.contextmanager
def daemon_cleared_away(pid_file: Path) -> Iterator[None]:
    """Kill what a daemon's pid file still names at the end, so that no test leaves one behind."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(pid_file.read_text()), signal.SIGKILL)
