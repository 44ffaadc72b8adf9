"""Runs a command beside servers on memcached's ports, in a network namespace of its own.

    PYTHONPATH=. unshare --net python tests/clients/in_namespace.py FOLDER PORT[,PORT] COMMAND...

Foreign suites have the port in their code, and the machine may have a memcached there.
"""

import contextlib
import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from tests.process.server_process import (
    COMMAND,
    environment,
    settings_file,
    wait_until_it_answers,
)

_SET_FLAGS = 0x8914
_UP = 0x1 | 0x40


def main() -> int:
    """Run the command; return its exit code."""
    folder, ports, *command = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP))
    with contextlib.ExitStack() as stack:
        for port in ports.split(","):
            own = Path(folder) / port
            own.mkdir()
            config = settings_file(own, allow_flush_all="true", sync="never")
            options = ("-q", str(own / "spool"), "--config", str(config), "-p", port)
            with (own / "log").open("w") as log:
                server = subprocess.Popen([*COMMAND, *options], stderr=log, env=environment())
            stack.callback(server.wait)
            stack.callback(server.kill)
            wait_until_it_answers(int(port))
        # What it finds is to be its own, not this project's.
        its = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            command, check=False, env=its | {"MEMCACHED_HOST": "127.0.0.1"}
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
