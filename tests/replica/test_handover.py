"""An owner hands over to a server that is ready: at once, without a loss, and otherwise not."""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.server_process import PATIENCE, environment
from tests.replica.group import (
    NOBODY,
    Load,
    Node,
    Servers,
    ask,
    numbers_of,
    stats_of,
    until_ready,
    wait_until,
)
from tests.replica.nats_cluster import NatsCluster


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[NatsCluster]:
    (tmp_path / "nats").mkdir()
    with NatsCluster(tmp_path / "nats", 1) as cluster:
        yield cluster


def ctl(node: Node) -> "subprocess.CompletedProcess[str]":
    """Have a node hand over, as an operator does, and give the other one time to take over."""
    server = f"127.0.0.1:{node.port}"
    return subprocess.run(
        [sys.executable, "-m", "starling_py.ctl", "-s", server, "handover", "--for", "60"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )


def check_handed_over(group: Servers) -> Node:
    """Have the owner hand over as an operator does, and return who that was.

    It is asked again if it knows of nobody by then: what it heard of others counts for a while.
    """
    owner = group.owner
    until_ready(group)
    done = ctl(owner)
    while "no other server is ready" in done.stderr:
        until_ready(group)
        done = ctl(owner)
    assert done.returncode == 0, done.stderr
    (other,) = (each for each in group.nodes if each is not owner)
    assert done.stdout.startswith(f"127.0.0.1:{other.port} serves now")
    wait_until(lambda: (owner.role, other.role) == ("follower", "owner"))
    return owner


def test_an_owner_hands_over_under_load_again_and_again(alone: NatsCluster, tmp_path: Path) -> None:
    with Servers(alone, tmp_path, takeover="5s") as group:
        with Load([each.port for each in group.nodes]) as load:
            for _ in range(4):
                before = len(load.acknowledged)
                wait_until(lambda before=before: len(load.acknowledged) > before + 100)  # type: ignore[misc]
                check_handed_over(group)
            load.finish()
        print(f"{len(load.acknowledged)} acknowledged, {load.outage:.2f} s without an answer")
        load.check()
        assert all("built anew" not in each.log.split("follow", 3)[-1] for each in group.nodes)


def test_a_reload_holds_for_who_follows_and_for_who_serves_again(
    alone: NatsCluster, tmp_path: Path
) -> None:
    with Servers(alone, tmp_path) as group:
        until_ready(group)
        file = tmp_path / "starling.yml"
        file.write_text(file.read_text() + "queues: {jobs: {max_items: 1}}\n")
        for node in group.nodes:
            node.signal(signal.SIGHUP)
        wait_until(lambda: all("were read again" in each.log for each in group.nodes))
        assert ask(group.owner.port, b"set jobs 0 0 1\r\nx\r\n") == b"STORED\r\n"
        for _ in range(2):
            until_ready(group)
            owner, other = group.owner, group.followers[0]
            assert ctl(owner).returncode == 0
            wait_until(lambda other=other: other.role == "owner")  # type: ignore[misc]
            assert ask(other.port, b"set jobs 0 0 1\r\ny\r\n") == b"NOT_STORED\r\n"


def test_without_a_server_that_is_ready_nothing_happens(alone: NatsCluster, tmp_path: Path) -> None:
    with Servers(alone, tmp_path, takeover="5s") as group:
        owner, other = group.owner, group.followers[0]
        until_ready(group)
        other.signal(signal.SIGTERM)
        wait_until(lambda: stats_of(owner.port).get("replica_standbys") == "-")
        assert ask(owner.port, b"set jobs 0 0 1\r\nx\r\n") == b"STORED\r\n"
        epoch = numbers_of(owner.port)["replica_epoch"]
        assert ask(owner.port, b"handover\r\nget jobs\r\n").startswith(NOBODY)
        done = ctl(owner)
        assert (done.returncode, done.stdout) == (1, "")
        assert "no other server is ready to take over; nothing has changed" in done.stderr
        numbers = numbers_of(owner.port)
        assert (numbers["replica_epoch"], numbers["replica_role"]) == (epoch, "owner")
        done = ctl(other)
        assert done.returncode == 4


def test_an_owner_that_handed_over_to_nobody_is_it_again(
    alone: NatsCluster, tmp_path: Path
) -> None:
    with Servers(alone, tmp_path, takeover="5s") as group:
        owner, other = group.owner, group.followers[0]
        until_ready(group)
        assert ask(owner.port, b"set jobs 0 0 1\r\nx\r\n") == b"STORED\r\n"
        epoch = int(numbers_of(owner.port)["replica_epoch"])
        other.signal(signal.SIGSTOP)
        assert ask(owner.port, b"handover\r\n") == b"OK\r\n"
        # Until it has ended, it says that it is the owner, of the epoch before.
        wait_until(lambda: int(numbers_of(owner.port)["replica_epoch"]) > epoch)
        assert ask(owner.port, b"get jobs\r\n") == b"VALUE jobs 0 1\r\nx\r\nEND\r\n"
        other.signal(signal.SIGCONT)
        group.until_all_follow()


def test_clients_in_the_middle_of_something_do_not_delay_it(
    alone: NatsCluster, tmp_path: Path
) -> None:
    # Whoever waited for these clients would not be ready in time.
    with Servers(alone, tmp_path, "--set", "grace_time=600", takeover="5s") as group:
        with midway_through_a_put(group.owner) as client:
            owner = check_handed_over(group)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(100) == b""
        until_ready(group)
        other = group.owner
        with midway_through_a_put(other):
            until_ready(group)
            other.signal(signal.SIGTERM)
            wait_until(lambda: owner.role == "owner")


@contextlib.contextmanager
def midway_through_a_put(node: Node) -> Iterator[socket.socket]:
    """Send half of a put, and give the connection."""
    with socket.create_connection(("127.0.0.1", node.port), PATIENCE) as client:
        client.sendall(b"set jobs 0 0 100\r\nhalf of it")
        wait_until(lambda: stats_of(node.port).get("curr_connections") == "2")
        yield client
