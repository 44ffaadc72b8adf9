"""Far more queues than files that the server may have open at the same time."""

import contextlib
import faulthandler
import resource
from pathlib import Path

import pytest

from tests.process import server_process
from tests.process.raw_client import Given, RawClient
from tests.process.server_process import PATIENCE, ServerProcess

OPEN_FILES = 256
A_QUEUE = 0.005
"""Seconds that a queue may cost a start, beside ``PATIENCE``: its segment and its directory are
synced, and a disk that others use as well takes milliseconds for each."""


@pytest.fixture
def _few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start servers with a limit on open files that they cannot raise."""
    limited = ("sh", "-c", f'ulimit -n {OPEN_FILES} && exec "$@"', "sh")
    monkeypatch.setattr(server_process, "COMMAND", (*limited, *server_process.COMMAND))


def check_many_queues(spool: Path, count: int) -> None:
    """Put to so many queues and get from them, over a kill and a stop."""
    queues = [b"queue-%d" % number for number in range(count)]
    patience = PATIENCE + count * A_QUEUE
    with ServerProcess(spool, patience=patience) as server:
        limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        assert limits == (OPEN_FILES, OPEN_FILES)
        with RawClient(server.port, patience) as client:
            for what in (b"first", b"second", b"third"):
                client.check_put_all(Given(queue, what + b" of " + queue) for queue in queues)
            expected = [b"first of " + queue for queue in queues]
            assert client.get_all(queues) == expected
        server.restart()
        with RawClient(server.port, patience) as client:
            stats = client.stats()
            assert int(stats[b"curr_queues"]) == count
            assert int(stats[b"curr_items"]) == 2 * count
            # Not in the order in which they were made, so no file is open by luck.
            queues.reverse()
            assert client.get_all(queues) == [b"second of " + queue for queue in queues]
            client.check_put_all(Given(queue, b"fourth of " + queue) for queue in queues)
        assert server.stop() == 0
        server.start()
        with RawClient(server.port, patience) as client:
            assert client.get_all(queues) == [b"third of " + queue for queue in queues]
            assert client.get_all(queues) == [b"fourth of " + queue for queue in queues]
            assert client.get_all(queues) == [None] * count
            assert client.stat(b"journal_failures") == 0
        assert server.stop() == 0
    log = "".join(server.log)
    assert "Too many open files" not in log
    assert "Traceback" not in log
    assert " ERROR " not in log


@pytest.mark.usefixtures("_few_open_files")
def test_a_thousand_queues_are_served_with_few_open_files(tmp_path: Path) -> None:
    check_many_queues(tmp_path / "spool", 1_000)


@pytest.mark.usefixtures("_few_open_files")
def test_many_clients_are_served_beside_many_queues_with_few_open_files(tmp_path: Path) -> None:
    """Open journals take no descriptor that a client needs, nor the other way round."""
    queues = [b"queue-%d" % number for number in range(2 * OPEN_FILES)]
    with ServerProcess(tmp_path / "spool") as server, contextlib.ExitStack() as stack:
        with RawClient(server.port) as client:
            client.check_put_all(Given(queue, b"1") for queue in queues)
        clients = [stack.enter_context(RawClient(server.port)) for _ in range(OPEN_FILES // 2)]
        for each in clients:
            each.check_put_all(Given(queue, b"2") for queue in queues[:10])
        for queue, each in zip(queues, clients * 4, strict=True):
            assert each.get_one(queue) == b"1"
        assert "Too many open files" not in "".join(server.log)
        assert server.stop() == 0


@pytest.mark.long
@pytest.mark.usefixtures("_few_open_files")
def test_ten_thousand_queues_are_served_with_few_open_files(tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()
    check_many_queues(tmp_path / "spool", 10_000)


@pytest.mark.usefixtures("_few_open_files")
def test_the_queues_have_their_files_however_many_clients_idle(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "spool") as server, contextlib.ExitStack() as stack:
        client = stack.enter_context(RawClient(server.port))
        client.check_put_all([Given(b"old", b"1")])
        for _ in range(OPEN_FILES + 44):
            stack.enter_context(RawClient(server.port))
        for number in range(60):
            queue = b"new-%d" % number
            client.check_put_all(
                [Given(b"old", b"2"), Given(queue, b"x"), Given(b"old/sync", b"3")]
            )
            assert client.get_all([queue]) == [b"x"]
        stats = client.stats()
        assert int(stats[b"max_connections"]) < OPEN_FILES - 32
        assert int(stats[b"rejected_connections"]) > 50
        assert stats[b"journal_failures"] == b"0"
        assert server.stop() == 0
    log = "".join(server.log)
    assert "Too many open files" not in log
    assert f"as the process may have {OPEN_FILES} files open" in log
