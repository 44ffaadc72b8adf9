"""The servers that can be measured, and how each is started on a fresh folder and a port.

Each appears once for every way in which it makes what it was told safe. A queue server that
answers before it has written is never compared with one that answers after: each names the
policy of this server (its peer) that promises about as much.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import LoadError
from bench.dialects import Beanstalk, Dialect, Nats, Redis, Text, Way, exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Command = Callable[[Path, int], list[str]]
    """The command for a folder, which exists and is empty, and a port."""

HOST = "127.0.0.1"
OURS = "starling"
GROUP = "group"
SYNCS = ("never", "50ms", "always")
WHOLE_ITEM = 1 << 20  # bytes; the largest item that every server takes here


@dataclass(frozen=True, slots=True)
class Server:
    """One server under one policy."""

    name: str
    """The family, a dash and the policy."""
    dialect: Dialect
    command: Command
    version: tuple[str, ...]
    """The command that prints its version."""
    peer: str
    """The policy of this server that promises about as much."""

    @property
    def family(self) -> str:
        """What it is, whatever its policy."""
        return self.name.partition("-")[0]

    @property
    def is_ours(self) -> bool:
        """Whether it is this checkout's server, alone or in a group."""
        return self.family in (OURS, GROUP)

    def says_version(self) -> str:
        """Return the first line it prints when asked for its version."""
        try:
            asked = subprocess.run(self.version, capture_output=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"unknown ({error})"
        lines = (asked.stdout + asked.stderr).decode(errors="replace").split("\n")
        return lines[0].strip()


def starling_command(
    sync: str, folder: Path, port: int, host: str = HOST, program: str | None = None
) -> list[str]:
    """Return how a server of this kind is started, on a spool below the folder.

    `program` is the `starling-py` of another version; without it, this checkout's is meant.
    """
    start = [sys.executable, "-m", "starling_py"] if program is None else [program]
    spool = ("--queue_path", str(folder / "spool"))
    return [*start, *spool, "--host", host, "--port", str(port), "--sync", sync]


def find(named: Mapping[str, str]) -> tuple[list[Server], dict[str, str]]:
    """Return the servers that are there, and why each missing family is not.

    `named` are programs that are nowhere to be searched for, by their family's name.
    """
    found, missing = list(ours()), {}
    for family, make in FAMILIES.items():
        program, searched = named.get(family), SEARCHED.get(family)
        if program is None and searched is not None:
            program = shutil.which(searched) or shutil.which(searched, path="/usr/sbin:/sbin")
        if program is None:
            where = f"{searched} is not installed" if searched else f"--{family} names no program"
            missing[family] = where
        elif shutil.which(program) is None:
            missing[family] = f"{program} cannot be run"
        else:
            # Absolute, as it is started in a folder of its own.
            found += make(str(Path(shutil.which(program) or program).absolute()))
    return found, missing


def ours() -> list[Server]:
    """Return this checkout's server under each policy."""

    def command(sync: str) -> Command:
        return lambda folder, port: starling_command(sync, folder, port)

    version = (sys.executable, "-m", "starling_py", "--version")
    return [Server(f"{OURS}-{sync}", Text(), command(sync), version, sync) for sync in SYNCS]


def before(program: str) -> list[Server]:
    """Return another version of this server, such as the one before a change."""

    def command(sync: str) -> Command:
        return lambda folder, port: starling_command(sync, folder, port, program=program)

    version = (program, "--version")
    return [Server(f"before-{sync}", Text(), command(sync), version, sync) for sync in SYNCS]


def group(program: str) -> list[Server]:
    """Return this checkout's server as the owner of a group, which no other one follows.

    `program` is the nats-server of which there are three, on all cores.
    """

    def command(sync: str) -> Command:
        wrapper = [sys.executable, str(Path(__file__).with_name("group.py")), program]
        return lambda folder, port: [
            *(*wrapper, str(folder), sync),
            *starling_command(sync, folder, port),
        ]

    version = (program, "--version")
    return [
        Server(f"{GROUP}-{sync}", Text(), command(sync), version, sync)
        for sync in SYNCS
        if sync != "never"
    ]


def redis(program: str) -> list[Server]:
    """Return Redis with an append-only file, which is not rewritten meanwhile: at its best.

    Its protected mode would refuse visitors, which come from other addresses than 127.0.0.1.
    """

    def command(sync: str) -> Command:
        return lambda folder, port: [
            *(program, "--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", ""),
            *("--appendonly", "yes", "--appendfsync", sync, "--auto-aof-rewrite-percentage", "0"),
            *("--protected-mode", "no"),
        ]

    peers = {"no": "never", "everysec": "50ms", "always": "always"}
    return [
        Server(f"redis-{sync}", Redis(), command(sync), (program, "--version"), peer)
        for sync, peer in peers.items()
    ]


def beanstalkd(program: str) -> list[Server]:
    """Return beanstalkd with a binlog."""

    def command(option: str) -> Command:
        return lambda folder, port: [
            *(program, "-l", HOST, "-p", str(port), "-b", str(folder), option),
            *("-z", str(WHOLE_ITEM + 2)),
        ]

    peers = {"-F": "never", "-f1000": "50ms", "-f0": "always"}
    return [
        Server(f"beanstalkd{option}", Beanstalk(), command(option), (program, "-v"), peer)
        for option, peer in peers.items()
    ]


def memcached(program: str) -> list[Server]:
    """Return memcached, which keeps nothing and is no queue: the protocol's ceiling."""

    def command(_: Path, port: int) -> list[str]:
        limits = ("-t", "1", "-c", "4096", "-m", "1024", "-I", "2m")
        user = ("-u", "root") if os.geteuid() == 0 else ()  # it asks for a name then
        return [program, "-l", HOST, "-p", str(port), "-U", "0", *limits, *user]

    dialect = Text(frozenset((Way.POP,)), is_queue=False)
    return [Server("memcached", dialect, command, (program, "-V"), "never")]


def nats(program: str) -> list[Server]:
    """Return NATS JetStream, whose streams are synced every two minutes."""

    def command(folder: Path, port: int) -> list[str]:
        settings = folder / "nats.conf"
        settings.write_text(
            f'listen: "{HOST}:{port}"\nping_interval: "10m"\nping_max: 1000\n'
            f'jetstream {{ store_dir: "{folder}/streams" }}\n'
        )
        return [program, "-c", str(settings)]

    return [Server("nats", Nats(), command, (program, "-v"), "50ms")]


def ruby(program: str) -> list[Server]:
    """Return a Ruby Starling, which never syncs and takes items in one way."""

    def command(folder: Path, port: int) -> list[str]:
        spool = folder / "spool"
        spool.mkdir()
        files = ("-P", str(folder / "pid"), "-L", str(folder / "starling.log"))
        return [program, "-h", HOST, "-p", str(port), "-q", str(spool), *files]

    return [Server("ruby", Text(frozenset((Way.POP,))), command, (program, "-V"), "never")]


def darner(program: str) -> list[Server]:
    """Return a Darner, which syncs when LevelDB does. It listens on every address."""

    def command(folder: Path, port: int) -> list[str]:
        return [program, "--port", str(port), "--data", str(folder)]

    return [Server("darner", Text(echoes=False), command, (program, "--version"), "never")]


def siberite(program: str) -> list[Server]:
    """Return a Siberite, which syncs when LevelDB does and cannot wait."""

    def command(folder: Path, port: int) -> list[str]:
        return [program, "-listen", f"{HOST}:{port}", "-data", str(folder)]

    dialect = Text(frozenset(Way) - {Way.WAIT}, echoes=False)
    return [Server("siberite", dialect, command, (program, "-version"), "never")]


FAMILIES = {
    "before": before,
    "group": group,
    "redis": redis,
    "beanstalkd": beanstalkd,
    "memcached": memcached,
    "nats": nats,
    "ruby": ruby,
    "darner": darner,
    "siberite": siberite,
}
SEARCHED = {
    "redis": "redis-server",
    "beanstalkd": "beanstalkd",
    "memcached": "memcached",
    "nats": "nats-server",
}


def choose(servers: list[Server], names: list[str]) -> list[Server]:
    """Return the servers of these names, or of these families. Raises `LoadError`."""
    chosen = [
        server for name in names for server in servers if name in (server.name, server.family)
    ]
    unknown = [name for name in names if not any(name in (s.name, s.family) for s in servers)]
    if unknown:
        known = ", ".join(server.name for server in servers)
        raise LoadError(f"no server {', '.join(unknown)}; there are {known}")
    return list(dict.fromkeys(chosen))


def await_serving(look: Callable[[], socket.socket], deadline: float) -> None:
    """Return once this checkout's server has its queues, which only then tells of syncs."""
    while True:
        try:
            with look() as client:
                fsyncs(client)
        except (LoadError, OSError):
            if time.perf_counter() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def fsyncs(client: socket.socket) -> int:
    """Return how many files this checkout's server has synced since its start."""
    reply = exchange(client, b"stats\r\n", b"END\r\n")
    for line in reply.split(b"\r\n"):
        if line.startswith(b"STAT fsyncs "):
            return int(line.split()[2])
    raise LoadError("the server tells no fsyncs")
