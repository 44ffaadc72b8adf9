"""The proxies that stand between a client and the server."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.process.server_process import free_port, wait_until


@contextlib.contextmanager
def proxy(
    program: str, server: int, folder: Path, options: str = "", check: str = ""
) -> Iterator[int]:
    """Start ``nutcracker`` or ``haproxy`` in front of the port of a server; give its own port.

    HAProxy asks the server for its version every 100 ms; ``options`` are those of its server, and
    ``check`` those of the connection on which it asks.
    """
    config = folder / f"{program}.conf"
    with free_port() as port, free_port() as stats_port:
        if program == "nutcracker":
            config.write_text(_twemproxy_config(port, server))
            command = [program, "-c", str(config), "-s", str(stats_port), "-a", "127.0.0.1"]
        else:
            config.write_text(_haproxy_config(port, server, options, check))
            command = [program, "-f", str(config), "-db"]
        with (folder / f"{program}.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        with process:
            try:
                wait_until(lambda: _listens(port))
                yield port
            finally:
                process.kill()


def _twemproxy_config(port: int, server: int) -> str:
    return f"""
queues:
  listen: 127.0.0.1:{port}
  hash: fnv1a_64
  distribution: ketama
  auto_eject_hosts: false
  timeout: 60000
  servers:
   - 127.0.0.1:{server}:1
"""


def _haproxy_config(port: int, server: int, options: str, check: str) -> str:
    return f"""
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen queues
  bind 127.0.0.1:{port}
  option tcp-check
  tcp-check connect {check}
  tcp-check send "version\\r\\n"
  tcp-check expect string VERSION
  server starling 127.0.0.1:{server} check inter 100ms {options}
"""


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
