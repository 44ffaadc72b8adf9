"""Connecting to a server as commands of operators do."""

import socket
from pathlib import Path

import pytest

from starling_py.connecting import connect


def test_a_unix_socket_is_connected_to(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with connect("", 0, path, 5) as connection:
            assert connection.getpeername() == path


def test_a_unix_socket_that_is_not_there_leaves_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        connect("", 0, str(tmp_path / "none"), 5)
