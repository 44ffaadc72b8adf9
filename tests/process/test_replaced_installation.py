"""While a server runs, its installation is replaced: it needs nothing more of that to serve.

The server runs from links to everything that Python and the server are made of, and these are taken
away. What has not been loaded by then cannot be. Another server tells by itself what it imports and
opens while it serves.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.server_process import (
    PATIENCE,
    ROOT,
    free_port,
    settings_file,
    wait_until,
    wait_until_it_answers,
)

SETTINGS = {
    "allow_flush_all": "true",
    "allow_shutdown": "true",
    "allow_reload": "true",
    "allow_drain": "true",
    "max_connections": 20,
    "item_size_max": 1000,
}
TEXT = rb"""set new 0 0 1
x
set new/sync 0 0 1
x
set new/delay=0.01 0 1 1
x
set late 0 1700000000000 1
x
set + 0 0 1
x
set a+b 0 0 1
x
set a 0 0 1
x
add new 0 0 1
x
replace new 0 0 1
x
append new 0 0 1
x
prepend new 0 0 1
x
cas new 0 0 1 1
x
get new
gets new
get new/open/lease=5
get new/close/open
get new/abort/delay=0.01
get new/peek/n=3
get nothing/t=1
gat 5 new/open
touch new 5
get new/nonsense
get \x1b\x00\xff\xe9/wr\xf6ng
set \xff\x1b/nonsense 0 0 1
x
set \xff/nonsense 0 0 1 noreply
x
set toolarge 0 0 1001
set bad 0 0 x
incr new 1
decr new x
delete \xc3\xa9
verbosity 1
version
nonsense \xff
monitor new 1 1
confirm new 1
flush new
flush_expired new
flush_all_expired
flush_all
flush_all noreply
stats
stats settings
stats conns
stats queues
stats queue new
stats items
stats sizes
stats detail dump
stats reset
stats \xff
dump_stats
dump_stats new
dump_config
dump_config new
status
status readonly
set refused 0 0 1
x
status up
status \xff
mn
ms meta 1 S0
x
ms \xff 1
x
mg meta s v t f k q O1
mg bWV0YQ== v b
md meta q
me meta
ma meta
mg a/\xff v
reload
delete new
"""


def binary(opcode: int, key: bytes, extras: bytes = b"", value: bytes = b"") -> bytes:
    """Return a request of the binary protocol."""
    size = len(extras) + len(key) + len(value)
    head = bytes([0x80, opcode]) + len(key).to_bytes(2, "big") + bytes([len(extras), 0, 0, 0])
    return head + size.to_bytes(4, "big") + bytes(12) + extras + key + value


def every_kind_of_request(port: int) -> None:
    """Ask for everything, in all dialects, each in a connection that ends after a while."""
    everything = [line + b"\r\n" for line in TEXT.split(b"\n")]
    packets = [
        binary(opcode, key, extras, value)
        for opcode in range(0x40)
        for key in (b"", b"bin", b"\xff\x1b bin", b"bin/nonsense")
        for extras, value in ((b"", b""), (bytes(8), b"x"), (bytes(4), b""), (bytes(20), b""))
        if opcode not in (0x07, 0x17)  # quit
    ]
    for requests in (everything, [b"\x80" + bytes(100)], [b"GET / HTTP/1.1\r\n"], packets):
        for request in (b"".join(requests), *requests):
            with (
                contextlib.suppress(ConnectionResetError, BrokenPipeError),
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock,
            ):
                sock.sendall(request)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1 << 16):
                    pass


class Installation:
    """Links to Python, to the libraries and to the server, which can be taken away."""

    def __init__(self, folder: Path) -> None:
        library = Path(sysconfig.get_path("stdlib"))
        home = folder / "home"
        self._links = {
            home / "lib" / library.name: library,
            folder / "libraries": Path(sysconfig.get_path("purelib")),
            folder / "server": ROOT,
        }
        for link, target in self._links.items():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
        self.environment = {
            "PYTHONHOME": str(home),
            "PYTHONPATH": os.pathsep.join([str(folder / "server"), str(folder / "libraries")]),
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        # Not the one of the virtual environment, which knows where its libraries are.
        self.python = getattr(sys, "_base_executable", sys.executable)

    def take_away(self) -> None:
        """Take all of it away."""
        for link in self._links:
            link.unlink()


@contextlib.contextmanager
def running(
    folder: Path, python: str, environment: dict[str, str], *command: str
) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Run a server by a command, and return its process and its port."""
    conf = settings_file(folder, **SETTINGS)
    options = ("-f", conf, "-q", folder / "spool", "-L", folder / "log", "-P", folder / "pid")
    with free_port() as port:
        process = subprocess.Popen(
            [python, *command, *map(str, options), "-p", str(port)],
            env=environment,
            cwd=folder,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                wait_until(lambda: (folder / "log").exists() or process.poll() is not None)
                assert process.poll() is None, process.communicate()
                wait_until_it_answers(port)
                yield process, port
            finally:
                process.kill()


DEFECT = """
def fail(*_):
    raise ValueError("a defect")


from starling_py.protocol import commands
from starling_py.session import session

session._HANDLERS[commands.FlushExpired] = fail
"""
SERVE = """
import sys
from starling_py import cli

sys.exit(cli.main())
"""


@pytest.mark.parametrize("defect", ["", DEFECT], ids=["as it is", "with a defect"])
@pytest.mark.patches
def test_a_server_whose_installation_is_taken_away_serves_everything(
    tmp_path: Path, defect: str
) -> None:
    script = tmp_path / "serve.py"
    script.write_text(defect + SERVE)
    installation = Installation(tmp_path)
    log = tmp_path / "log"
    with running(tmp_path, installation.python, installation.environment, "-S", str(script)) as (
        process,
        port,
    ):
        installation.take_away()
        every_kind_of_request(port)
        process.send_signal(signal.SIGHUP)
        log.rename(tmp_path / "log.1")
        process.send_signal(signal.SIGUSR1)
        wait_until(log.exists)
        every_kind_of_request(port)
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
            sock.sendall(b"stats\r\n")
            stats = b""
            while not stats.endswith(b"END\r\n"):
                stats += sock.recv(1 << 16)
            assert defect or b"STAT session_errors 0\r\n" in stats
            sock.sendall(b"shutdown\r\n")
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        (said,) = process.stderr.read().splitlines()
        assert said.startswith(b"starling-py: serves ")
    told = (tmp_path / "log.1").read_text() + log.read_text()
    # There are about as many lines of some kinds as are logged in ten seconds; how many were more
    # is told at the end.
    lines = [line for line in told.splitlines() if " more lines of this kind: " not in line]
    assert lines[-1].endswith("stopped")
    assert ("Traceback" in told) == ("ValueError: a defect" in told) == bool(defect)


WATCHED = """
import sys

seen = []
told = []


def watch(event, args):
    if seen and event == "import":
        told.append(f"import {args[0]}")
    elif seen and event == "open" and str(args[0]).endswith((".py", ".pyc", ".so")):
        told.append(f"open {args[0]}")


import attrs

from starling_py.server import server

run = server.Server.run


async def watched(self, *args, **kwargs):
    serving = self._around.on_serving

    def begin():
        serving()
        seen.append(True)

    self._around = attrs.evolve(self._around, on_serving=begin)
    await run(self, *args, **kwargs)


server.Server.run = watched
sys.addaudithook(watch)
from starling_py import cli

code = cli.main()
seen.clear()
print(*told, sep="\\n", file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("defect", ["", DEFECT], ids=["as it is", "with a defect"])
@pytest.mark.patches
def test_nothing_is_imported_while_a_server_serves(tmp_path: Path, defect: str) -> None:
    script = tmp_path / "watched.py"
    script.write_text(defect + WATCHED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with running(tmp_path, sys.executable, environment, str(script)) as (process, port):
        every_kind_of_request(port)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)
        every_kind_of_request(port)
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    told = [line for line in said.decode().splitlines() if line and ": serves " not in line]
    # A traceback shows lines of the source, if they are there.
    assert [line for line in told if not (defect and line.startswith("open "))] == []
    assert ("ValueError: a defect" in (tmp_path / "log").read_text()) == bool(defect)
