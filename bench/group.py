"""One server of a group with three servers of NATS, started as one command for the bench.

The servers of NATS run on all cores, with stores of their own, and end with the server that is
measured, which takes this process's place. They sync each message
(``sync_interval: always``), as a group with ``sync: always`` needs; under an interval, as often as
they do by themselves.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
CONFIGURATION = """\
server_name: n{at}
listen: 127.0.0.1:{port}
jetstream {{ store_dir: "{folder}/n{at}"{sync} }}
cluster {{ name: bench, no_advertise: true, listen: 127.0.0.1:{route}, routes: [{routes}] }}
"""
SIZE = 3


def die_with_parent() -> None:
    """Have the system end this process when the one that has started it ends."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))


def start(program: str, folder: Path, sync: str) -> list[str]:
    """Start the servers; return their URLs."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(2 * SIZE)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = [probe.getsockname()[1] for probe in probes]
    routes = ", ".join(f"nats://127.0.0.1:{each}" for each in ports[SIZE:])
    for at in range(SIZE):
        file = folder / f"n{at}.conf"
        file.write_text(
            CONFIGURATION.format(
                at=at,
                port=ports[at],
                route=ports[SIZE + at],
                folder=folder,
                routes=routes,
                sync=", sync_interval: always" if sync == "always" else "",
            )
        )
        with (folder / f"n{at}.log").open("ab") as log:
            subprocess.Popen(
                [program, "-c", str(file)], stdout=log, stderr=log, preexec_fn=die_with_parent
            )
    return [f"nats://127.0.0.1:{each}" for each in ports[:SIZE]]


def main() -> None:
    """Take the path of nats-server, a folder, the policy, and the command of the server.

    It stands alone, as the working directory is not that of the bench.
    """
    program, folder, sync, *command = sys.argv[1:]
    urls = start(program, Path(folder), sync)
    group = ["--engine", "jetstream", "--servers", ",".join(urls)]
    os.execv(command[0], [*command, *group])


if __name__ == "__main__":
    main()
