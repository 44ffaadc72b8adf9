"""Groups on three real NATS servers: no majority for a while, and a stream that stays short."""

import asyncio
import hashlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from tests.process.raw_client import RawClient
from tests.replica.group import Node, Servers, ask, numbers_of, wait_until
from tests.replica.nats_cluster import NatsCluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    (tmp_path / "nats").mkdir()
    with NatsCluster(tmp_path / "nats") as servers:
        yield servers


def files_of(node: Node) -> dict[str, str]:
    """Return what the files of a node's queues are, in short."""
    return {
        str(path.relative_to(node.spool)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(node.spool.glob("*/*.segment"))
    }


def test_without_a_majority_all_wait_and_go_on_with_the_files_as_they_were(
    cluster: NatsCluster, tmp_path: Path
) -> None:
    with Servers(cluster, tmp_path, takeover="2s") as group:
        owner = group.owner
        assert ask(owner.port, b"set jobs 0 0 5\r\nfirst\r\n") == b"STORED\r\n"
        leader = group.stream_leader()
        frozen = [cluster.servers[leader], cluster.servers[(leader + 1) % 3]]
        for each in frozen:
            each.signal(signal.SIGSTOP)
        told: dict[bytes, tuple[bytes, float]] = {}

        def wait_for(command: bytes) -> None:
            begun = time.monotonic()
            told[command] = ask(owner.port, command), time.monotonic() - begun

        commands = (b"set jobs 0 0 6\r\nsecond\r\n", b"get jobs/open\r\n")
        threads = [threading.Thread(target=wait_for, args=(each,)) for each in commands]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # What was under way has no outcome, and nobody is told one.
        assert {reply for reply, _ in told.values()} <= {
            b"",
            b"SERVER_ERROR the cluster does not answer\r\n",
        }
        assert min(seconds for _, seconds in told.values()) > 2
        before = files_of(owner)
        for command in commands:
            assert ask(owner.port, command) == b"SERVER_ERROR the cluster does not answer\r\n"
        assert files_of(owner) == before
        for each in frozen:
            each.signal(signal.SIGCONT)
        owner = group.owner
        items = {ask(owner.port, b"get jobs\r\n") for _ in range(3)} - {b"END\r\n"}
        assert items <= {
            b"VALUE jobs 0 5\r\nfirst\r\nEND\r\n",
            b"VALUE jobs 0 6\r\nsecond\r\nEND\r\n",
        }
        assert b"VALUE jobs 0 5\r\nfirst\r\nEND\r\n" in items
        numbers = numbers_of(owner.port)
        assert (numbers["journal_failures"], numbers["journals_healed"]) == ("0", "0")


async def size_of_stream(urls: str) -> int:
    """Return how many bytes the stream has."""
    client = await nats.connect(urls.split(","))
    try:
        return int((await client.jetstream().stream_info("starling")).state.bytes)
    finally:
        await client.close()


def test_over_many_puts_and_gets_the_stream_stays_short(
    cluster: NatsCluster, tmp_path: Path
) -> None:
    """Three times the bound and more go through the queue; 1 MB of another one stays."""
    rounds, item = 26, b"x" * 100_000
    most = 0
    # Segments are smaller than usual, so that what is taken goes soon.
    with (
        Servers(cluster, tmp_path, takeover="10s", more="  segment_size: 4m\n") as group,
        RawClient(group.owner.port) as client,
    ):
        put = b"set %s 0 0 %d\r\n%s\r\n"
        client.send(put % (b"kept", len(item), item) * 10)
        for _ in range(10):
            client.expect_stored()
        for _ in range(rounds):
            client.send(put % (b"jobs", len(item), item) * 100)
            for _ in range(100):
                client.expect_stored()
            for _ in range(100):
                assert client.get_one(b"jobs") == item
            most = max(most, asyncio.run(size_of_stream(cluster.urls)))
        live = sum(path.stat().st_size for path in group.owner.spool.glob("*/*.segment"))
        bound = 2 * live + (64 << 20)
        wait_until(lambda: asyncio.run(size_of_stream(cluster.urls)) <= bound)
        after = asyncio.run(size_of_stream(cluster.urls))
        written = rounds * 100 * len(item)
        print(f"{written:,} bytes put, {live:,} live; the stream has {after:,}, at most {most:,}")
        assert after < written / 2
        # What is put within the two seconds between two looks comes on top.
        assert most < written / 2
