"""An owner hands over to a server that is ready: at once, without a loss, and otherwise not."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.server_process import PATIENCE, environment
from tests.replica.group import Load, Node, Servers, stats_of, wait_until
from tests.replica.nats_cluster import NatsCluster
from tests.replica.test_groups import ask

NOBODY = b"SERVER_ERROR no other server is ready to take over; nothing has changed\r\n"


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[NatsCluster]:
    (tmp_path / "nats").mkdir()
    with NatsCluster(tmp_path / "nats", 1) as cluster:
        yield cluster


def ctl(node: Node) -> "subprocess.CompletedProcess[str]":
    """Have a node hand over, as an operator does."""
    return subprocess.run(
        [sys.executable, "-m", "starling_py.ctl", "-s", f"127.0.0.1:{node.port}", "handover"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def until_ready(group: Servers) -> None:
    """Return when the owner knows that another server is ready."""
    wait_until(lambda: stats_of(group.owner.port).get("replica_standbys", "") not in ("", "-"))


def test_an_owner_hands_over_under_load_again_and_again(alone: NatsCluster, tmp_path: Path) -> None:
    with Servers(alone, tmp_path) as group:
        with Load([each.port for each in group.nodes]) as load:
            for turn in range(4):
                until_ready(group)
                before = len(load.acknowledged)
                wait_until(lambda before=before: len(load.acknowledged) > before + 100)  # type: ignore[misc]
                owner, other = group.owner, group.followers[0]
                done = ctl(owner)
                assert done.returncode == 0, done.stderr
                assert done.stdout.startswith(f"127.0.0.1:{other.port} serves now"), turn
                assert (owner.role, other.role) == ("follower", "owner")
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
    with Servers(alone, tmp_path) as group:
        owner, other = group.owner, group.followers[0]
        until_ready(group)
        other.signal(signal.SIGTERM)
        wait_until(lambda: stats_of(owner.port)["replica_standbys"] == "-")
        assert ask(owner.port, b"set jobs 0 0 1\r\nx\r\n") == b"STORED\r\n"
        epoch = stats_of(owner.port)["replica_epoch"]
        assert ask(owner.port, b"handover\r\nget jobs\r\n").startswith(NOBODY)
        done = ctl(owner)
        assert (done.returncode, done.stdout) == (1, "")
        assert "no other server is ready to take over; nothing has changed" in done.stderr
        assert stats_of(owner.port)["replica_epoch"] == epoch
        assert owner.role == "owner"
        done = ctl(other)
        assert done.returncode == 4


def test_an_owner_that_handed_over_to_nobody_is_it_again(
    alone: NatsCluster, tmp_path: Path
) -> None:
    with Servers(alone, tmp_path) as group:
        owner, other = group.owner, group.followers[0]
        until_ready(group)
        assert ask(owner.port, b"set jobs 0 0 1\r\nx\r\n") == b"STORED\r\n"
        other.signal(signal.SIGSTOP)
        assert ask(owner.port, b"handover\r\n") == b"OK\r\n"
        wait_until(lambda: "handed over" in owner.log and owner.role == "owner")
        assert ask(owner.port, b"get jobs\r\n") == b"VALUE jobs 0 1\r\nx\r\nEND\r\n"
        other.signal(signal.SIGCONT)
        wait_until(lambda: other.is_ready)


def test_clients_in_the_middle_of_something_do_not_delay_it(
    alone: NatsCluster, tmp_path: Path
) -> None:
    with Servers(alone, tmp_path, "--set", "grace_time=60") as group:
        until_ready(group)
        owner, other = group.owner, group.followers[0]
        with socket.create_connection(("127.0.0.1", owner.port)) as midway:
            midway.sendall(b"set jobs 0 0 100\r\nhalf of it")
            begun = time.monotonic()
            assert ctl(owner).returncode == 0
            assert time.monotonic() - begun < 30
            assert midway.recv(100) == b""
        until_ready(group)
        with socket.create_connection(("127.0.0.1", other.port)) as midway:
            midway.sendall(b"set jobs 0 0 100\r\nhalf of it")
            wait_until(lambda: stats_of(other.port)["curr_connections"] == "2")
            other.signal(signal.SIGTERM)
            wait_until(lambda: owner.role == "owner")
            assert time.monotonic() - begun < 50
