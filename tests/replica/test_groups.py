"""Groups of real servers: what they refuse, what clients are told, and who comes back."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from starling_py.client import AsyncStarling, Starling
from tests.process.raw_client import RawClient
from tests.process.server_process import COMMAND, environment, expect_refusal, free_port
from tests.replica.group import Servers, ask, hand_over, numbers_of, stats_of, wait_until
from tests.replica.nats_cluster import NatsCluster

READY = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[NatsCluster]:
    (tmp_path / "nats").mkdir()
    with NatsCluster(tmp_path / "nats", 1) as cluster:
        yield cluster


def test_without_an_answer_clients_wait_and_then_are_told(
    alone: NatsCluster, tmp_path: Path
) -> None:
    group = Servers(alone, tmp_path, size=1, takeover="1s")
    with free_port() as web:
        with (tmp_path / "starling.yml").open("a") as file:
            file.write(f"http: {{listen: '127.0.0.1:{web}'}}\n")
        group.__enter__()
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.push(group.__exit__)
        port = group.owner.port
        assert ask(port, b"set jobs 0 0 5\r\nfirst\r\n") == b"STORED\r\n"
        assert ask(web, READY).startswith(b"HTTP/1.1 200 ")
        begun = time.monotonic()
        alone.servers[0].signal(signal.SIGSTOP)
        # Its outcome is not known, so it is told nothing.
        assert ask(port, b"set jobs 0 0 6\r\nsecond\r\n") == b""
        assert time.monotonic() - begun > 0.5
        assert ask(port, b"get jobs\r\n") == b"SERVER_ERROR the cluster does not answer\r\n"
        assert time.monotonic() - begun > 3
        told = ask(web, READY)
        assert told.startswith(b"HTTP/1.1 503 ")
        assert told.endswith(b"the cluster does not answer\n")
        alone.servers[0].signal(signal.SIGCONT)
        numbers_of(port)
        assert ask(port, b"get jobs\r\n") == b"VALUE jobs 0 5\r\nfirst\r\nEND\r\n"
        assert ask(port, b"get jobs\r\n") in (b"VALUE jobs 0 6\r\nsecond\r\nEND\r\n", b"END\r\n")
        assert numbers_of(port)["journal_failures"] == "0"


def test_all_that_a_queue_knows_is_the_same_after_a_fail_over(
    alone: NatsCluster, tmp_path: Path
) -> None:
    with Servers(alone, tmp_path) as group:
        owner = group.owner
        with RawClient(owner.port) as client:
            for number in range(8):
                client.send(b"set jobs %d 0 1\r\n%d\r\n" % (number, number))
                assert client._replies.readline() == b"STORED\r\n"
            client.send(b"get jobs\r\nget jobs/open\r\npause mail 100\r\n")
            client.send(b"set later/delay=3600 0 0 1\r\nx\r\n")
            client.send(b"set jobs/once=token 0 0 1\r\n8\r\n")
            told = [client._replies.readline() for _ in range(9)]
            assert told[-1] == b"STORED\r\n", told
            owner.signal(signal.SIGKILL)
        wait_until(lambda: group.find_owner() is not None)
        port = group.owner.port
        assert ask(port, b"set jobs/once=token 0 0 1\r\n8\r\n") == b"STORED\r\n"
        numbers = numbers_of(port)
        assert numbers["queue_jobs_items"] == "8"
        assert numbers["queue_later_delayed"] == "1"
        assert int(numbers["replica_last_takeover"]) > 0
        for number in range(1, 9):
            flags = number if number < 8 else 0
            expected = b"VALUE jobs %d 1\r\n%d\r\nEND\r\n" % (flags, number)
            assert ask(port, b"get jobs\r\n") == expected


def test_a_spool_that_exists_becomes_the_beginning_of_the_stream(
    alone: NatsCluster, tmp_path: Path
) -> None:
    with free_port() as port:
        spool = tmp_path / "spool0"
        local = subprocess.Popen(
            [*COMMAND, "-p", str(port), "-q", str(spool)],
            env=environment(),
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: "pid" in stats_of(port))
        assert ask(port, b"set jobs 0 0 3\r\nold\r\n") == b"STORED\r\n"
        local.terminate()
        local.wait()
    group = Servers(alone, tmp_path)
    first, second = group.nodes
    try:
        group.cuts.__enter__()
        first.start()
        wait_until(lambda: first.role == "owner")
        second.start()
        wait_until(lambda: second.is_ready)
        first.signal(signal.SIGKILL)
        wait_until(lambda: second.role == "owner")
        assert ask(second.port, b"get jobs\r\n") == b"VALUE jobs 0 3\r\nold\r\nEND\r\n"
    finally:
        group.__exit__()


def test_the_client_finds_the_owner_in_a_list(alone: NatsCluster, tmp_path: Path) -> None:
    with Servers(alone, tmp_path) as group:
        names = [f"127.0.0.1:{each.port}" for each in group.nodes]
        with Starling(names, timeout=20) as client:
            for number in range(20):
                client.set("jobs", number)
            group.owner.signal(signal.SIGKILL)
            client.set("jobs", 20, once="token")
            client.set("jobs", 20, once="token")
            assert [client.get("jobs", timeout=20) for _ in range(21)] == list(range(21))
            assert client.get("jobs", timeout=0) is None


def test_what_a_group_must_not_be_built_on_is_refused(alone: NatsCluster, tmp_path: Path) -> None:
    options = ("--engine", "jetstream", "-q", tmp_path / "spool", "-p", "0")
    assert "needs 'servers'" in expect_refusal(2, *options)
    joined = (*options, "--servers", alone.urls)
    assert "not never" in expect_refusal(2, *joined, "--sync", "never")
    with Servers(alone, tmp_path, size=1):
        pass
    assert "has 1 replicas" in expect_refusal(1, *joined)


def test_a_spool_with_queues_is_not_thrown_away_for_a_stream(
    alone: NatsCluster, tmp_path: Path
) -> None:
    with Servers(alone, tmp_path) as group:
        owner = group.owner
        assert ask(owner.port, b"set jobs 0 0 1\r\nx\r\n") == b"STORED\r\n"
        follower = group.followers[0]
        wait_until(lambda: (follower.spool / "jobs").exists())
        follower.signal(signal.SIGTERM)
        (follower.spool / ".replica").unlink()
        follower.start()
        assert follower.process is not None
        assert follower.process.wait(60) == 1
        follower.process = None
        assert "has queues that are not of the stream" in follower.log
        assert (follower.spool / "jobs").exists()


def test_the_client_for_trio_finds_the_owner_in_a_list_too(
    alone: NatsCluster, tmp_path: Path
) -> None:
    with Servers(alone, tmp_path) as group:
        names = [f"127.0.0.1:{each.port}" for each in group.nodes]

        async def put_and_take() -> list[object]:
            client = AsyncStarling(names, timeout=20)
            for number in range(20):
                await client.set("jobs", number)
            await trio.to_thread.run_sync(group.owner.signal, signal.SIGKILL)
            await client.set("jobs", 20, once="token")
            found = [await client.get("jobs", timeout=20) for _ in range(21)]
            assert await client.sizeof("jobs") == 0
            await client.aclose()
            return found

        assert trio.run(put_and_take) == list(range(21))


def test_the_client_goes_where_the_queues_were_handed_over(
    alone: NatsCluster, tmp_path: Path
) -> None:
    with Servers(alone, tmp_path, takeover="5s") as group:
        names = [f"127.0.0.1:{each.port}" for each in group.nodes]
        with Starling(names, timeout=20) as client:
            for turn in range(3):
                client.set("jobs", turn)
                owner = hand_over(group)
                assert client.get("jobs", timeout=20) == turn
                wait_until(lambda owner=owner: owner.role == "follower")  # type: ignore[misc]
                wait_until(lambda: group.find_owner() is not None)
            assert client.sizeof() == {"jobs": 0}
            assert client.available_queues() == ["jobs"]
            roles = {each["replica_role"] for each in client.stats().values()}
            assert roles == {"owner", "follower"}
