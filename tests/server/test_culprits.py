"""Who has what a server needs is told where the system tells it, and else there is no error."""

import os
import socket
import sys
from pathlib import Path

import pytest

from starling_py.journal.disk.files import Files
from starling_py.server import culprits

linux = sys.platform == "linux"


def test_who_has_locked_a_file_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / ".lock")
    assert culprits.of_file(path) == ""
    files = Files()
    lock = files.lock(path)
    told = culprits.of_file(path)
    files.close(lock)
    assert told.startswith(f" (process {os.getpid()}, since 20") or not linux
    assert culprits.of_file(path) == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_listens_on_a_port_is_told(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        told = culprits.of_port(port)
    assert told.startswith(f" (process {os.getpid()}, since 20") or not linux
    # Somebody else may listen there by now.
    assert culprits.of_port(port) != told or not linux
