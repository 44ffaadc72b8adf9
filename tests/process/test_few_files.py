"""A server that may have few files open serves with those, or says that they are too few."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from starling_py.server.file_limit import FEWEST, FEWEST_CLIENTS, GUESTS
from tests.process import server_process
from tests.process.raw_client import Given, RawClient
from tests.process.server_process import PATIENCE, ServerProcess, expect_refusal

QUEUES = 60


@pytest.fixture
def limit_files(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Start servers with a limit on open files that they cannot raise."""
    command = server_process.COMMAND

    def limit(files: int) -> None:
        limited = ("sh", "-c", f'ulimit -n {files} && exec "$@"', "sh")
        monkeypatch.setattr(server_process, "COMMAND", (*limited, *command))

    return limit


@pytest.mark.parametrize("files", [8, 16, 24, FEWEST - 1])
def test_a_start_with_too_few_files_is_refused_in_one_line(
    tmp_path: Path, files: int, limit_files: Callable[[int], None]
) -> None:
    limit_files(files)
    line = expect_refusal(1, "-q", tmp_path / "spool", "-p", 0)
    assert line.startswith(
        f"starling-py: the process may have {files} files open, and needs {FEWEST} at least"
    )
    assert not (tmp_path / "spool").exists()


def test_the_fewest_files_are_enough_for_all_queues_and_clients(
    tmp_path: Path, limit_files: Callable[[int], None]
) -> None:
    limit_files(FEWEST)
    queues = [b"queue-%d" % number for number in range(QUEUES)]
    with ServerProcess(tmp_path / "spool") as server:
        idle = [
            socket.create_connection(("127.0.0.1", server.port))
            for _ in range(FEWEST_CLIENTS + GUESTS - 1)
        ]
        with RawClient(server.port, PATIENCE) as client:
            client.check_put_all(Given(queue, b"of " + queue) for queue in queues)
            assert client.get_all(queues) == [b"of " + queue for queue in queues]
            assert client.stat(b"journal_failures") == 0
        for connection in idle:
            connection.close()
        assert server.stop() == 0
    assert "Too many open files" not in "".join(server.log)
