"""Snapshots of a server that goes on serving, and servers on copies of them."""

import functools
import shutil
import threading
from pathlib import Path

from starling_py.offline import cli
from tests.process.raw_client import Given, RawClient
from tests.process.server_process import ServerProcess, wait_until

QUEUES = 200


def has_passed(put: list[int], number: int) -> bool:
    """Tell whether more items than so many were put."""
    return put[0] > number


def check_copy(snapshot: Path, copy: Path, before: int, after: int) -> None:
    """Start a server on a copy of a snapshot, and look whether it is of one moment.

    Of item after item, each was put to two queues in turn: ``before`` of them before the snapshot
    was asked for, and ``after`` of them before it was told of.
    """
    shutil.copytree(snapshot, copy)
    assert cli.main(["verify", str(copy)]) == 0
    with ServerProcess(copy) as server, RawClient(server.port) as client:
        counts = []
        for queue in (b"first", b"second"):
            items = int(client.stats()[b"queue_%b_items" % queue])
            assert client.get_all([queue] * items) == [b"%d" % number for number in range(items)]
            counts.append(items)
        assert before <= counts[0] <= after
        assert counts[0] - counts[1] in (0, 1)
        assert client.get_all([b"queue-%d" % each for each in range(QUEUES)]) == [b"x"] * QUEUES
        assert server.stop() == 0


def test_a_snapshot_under_load_is_of_one_moment_between_two_puts(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    config = tmp_path / "starling.yml"
    config.write_text("starling:\n  allow_snapshot: local\n  segment_size: 4k\n")
    put, over = [0], threading.Event()

    def produce(port: int) -> None:
        with RawClient(port) as client:
            while not over.is_set():
                for queue in (b"first", b"second"):
                    client.check_put(Given(queue, b"%d" % put[0]))
                put[0] += 1

    with ServerProcess(spool, "--config", config) as server:
        producer = threading.Thread(target=produce, args=(server.port,))
        bounds = []
        with RawClient(server.port) as client:
            client.check_put_all(Given(b"queue-%d" % each, b"x") for each in range(QUEUES))
            producer.start()
            try:
                for name in ("one", "two"):
                    before = put[0]
                    wait_until(functools.partial(has_passed, put, before + 100))
                    before = put[0]
                    assert client.ask(b"snapshot %b\r\n" % name.encode()) == b"OK"
                    bounds.append((before, put[0] + 1))
            finally:
                over.set()
                producer.join()
            assert client.stat(b"internal_errors") == 0
        assert server.stop() == 0
    for name, (before, after) in zip(("one", "two"), bounds, strict=True):
        check_copy(spool / ".snapshots" / name, tmp_path / name, before, after)
    shutil.rmtree(spool / ".snapshots")
    with ServerProcess(spool) as server, RawClient(server.port) as client:
        assert int(client.stats()[b"queue_first_items"]) == put[0]


def test_what_a_killed_server_left_of_a_snapshot_is_removed_by_the_next(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    config = tmp_path / "starling.yml"
    config.write_text("starling:\n  allow_snapshot: local\n")
    snapshots = spool / ".snapshots"
    with ServerProcess(spool, "--config", config) as server:
        with RawClient(server.port) as client:
            client.check_put_all(Given(b"queue-%d" % each, b"x") for each in range(QUEUES))
            client.send(b"snapshot one\r\n")
            wait_until(lambda: snapshots.exists() and any(snapshots.iterdir()))
            server.kill()
        left = snapshots / ".unfinished-left" / "jobs"
        left.mkdir(parents=True)
        (left / "0000000000000001.segment").write_bytes(b"half")
        server.start()
        wait_until(lambda: not any(each.name.startswith(".") for each in snapshots.iterdir()))
        with RawClient(server.port) as client:
            assert client.ask(b"snapshot two\r\n") == b"OK"
        assert cli.main(["verify", str(snapshots / "two")]) == 0
