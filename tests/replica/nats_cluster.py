"""Real NATS servers on loopback, with stores of their own, for tests that kill them."""

import contextlib
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs

from tests.process.server_process import PATIENCE, free_port

if TYPE_CHECKING:
    from tests.replica.machines import Machines

CONFIGURATION = """\
server_name: {name}
listen: 127.0.0.1:{port}
jetstream {{ store_dir: "{store}", sync_interval: {sync} }}
cluster {{ name: test, no_advertise: true, listen: 127.0.0.1:{route}, routes: [{routes}] }}
"""
ALONE = """\
server_name: {name}
listen: 127.0.0.1:{port}
jetstream {{ store_dir: "{store}", sync_interval: {sync} }}
"""


def command() -> str:
    """Return the path of the server that comes with the tests."""
    path = Path(sysconfig.get_path("scripts")) / "nats-server"
    return str(path if path.exists() else shutil.which("nats-server"))


@attrs.define
class NatsServer:
    """One server."""

    name: str
    port: int
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None
    enter: tuple[str, ...] = ()
    """What a command begins with that is run on its machine."""

    def start(self) -> None:
        """Start it, again if it was killed."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.enter, command(), "-c", self.folder / "conf"], stdout=log, stderr=log
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; wait for its end if that kills it."""
        assert self.process is not None
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait(PATIENCE)
            self.process = None

    def wipe(self) -> None:
        """Lose its disk."""
        shutil.rmtree(self.store)

    @property
    def store(self) -> Path:
        """Where it has its files."""
        return self.folder / "store"


class NatsCluster:
    """Some servers that form one cluster, or one alone."""

    def __init__(
        self,
        folder: Path,
        size: int = 3,
        sync: str = "always",
        stores: Sequence[Path] = (),
        machines: "Machines | None" = None,
    ) -> None:
        """Make some servers; ``stores``: folders for their files, on disks of their own maybe.

        With ``machines``, each server is on one of these.
        """
        self._ports = contextlib.ExitStack()
        self._machines = machines
        ports = [self._ports.enter_context(free_port()) for _ in range(2 * size)]
        routes = ", ".join(f"nats://127.0.0.1:{each}" for each in ports[size:])
        self.servers = []
        for at in range(size):
            name = f"n{at}"
            own = folder / name
            own.mkdir()
            text = (CONFIGURATION if size > 1 else ALONE).format(
                name=name,
                port=ports[at],
                route=ports[size + at],
                routes=routes,
                store=own / "store",
                sync=sync,
            )
            if stores:
                (own / "store").symlink_to(stores[at])
            server = NatsServer(name, ports[at], own)
            if machines is not None:
                text = machines.placed(text, at)
                server.enter = machines.enter(at)
            (own / "conf").write_text(text)
            self.servers.append(server)

    @property
    def urls(self) -> str:
        """Return where the servers are."""
        hosts = ["127.0.0.1"] * len(self.servers)
        if self._machines is not None:
            hosts = [self._machines.host(at) for at in range(len(self.servers))]
        pairs = zip(hosts, self.servers, strict=True)
        return ",".join(f"nats://{host}:{each.port}" for host, each in pairs)

    def __enter__(self) -> Self:
        for each in self.servers:
            each.start()
        for at, each in enumerate(self.servers):
            host = "127.0.0.1" if self._machines is None else self._machines.host(at)
            until_connected(each.port, host)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.servers:
            if each.process is not None:
                each.process.kill()
                each.process.wait()
        self._ports.close()


def until_connected(port: int, host: str = "127.0.0.1") -> None:
    """Return when somebody listens at a port."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "nobody listens"
            time.sleep(0.05)


def leader(answer: dict[str, Any]) -> str:
    """Return the name of the server that leads a stream, of the answer about it."""
    return str(answer["cluster"]["leader"])
