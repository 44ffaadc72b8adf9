"""The power fails under the NATS servers' disks: what ``sync_interval: always`` is needed for.

Each NATS server has a disk of its own, an image that forgets what was not synced. The servers of
the queues keep running: what is at stake is the stream.
"""

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import nats
import nats.errors
import nats.js.errors
import pytest

from tests.process.mounted_disk import MountedDisk, mounted_image, needs
from tests.replica.group import Load, Servers, wait_until
from tests.replica.nats_cluster import NatsCluster, NatsServer
from tests.replica.test_kills import check_load

pytestmark = needs("ext4")


@contextlib.contextmanager
def on_images(folder: Path, sync: str) -> Iterator[tuple[NatsCluster, list[MountedDisk]]]:
    """Run three NATS servers, each with its files on a disk of its own."""
    with contextlib.ExitStack() as stack:
        disks = []
        for at in range(3):
            own = folder / f"disk{at}"
            own.mkdir()
            disks.append(stack.enter_context(mounted_image(own, "ext4", 256)))
        stores = [each.path / "store" for each in disks]
        for each in stores:
            each.mkdir()
        (folder / "nats").mkdir()
        cluster = stack.enter_context(NatsCluster(folder / "nats", sync=sync, stores=stores))
        yield cluster, disks


def cut_the_power(pairs: Sequence[tuple[NatsServer, MountedDisk]]) -> None:
    """Let machines lose their power at once, and start them again."""
    for _, disk in pairs:
        disk.cut_the_power()
    for server, _ in pairs:
        server.signal(signal.SIGKILL)
    for server, disk in pairs:
        disk.come_back()
        server.store.resolve().mkdir(exist_ok=True)
        server.start()


def check_survives_power_cuts(
    folder: Path, sync: str, which: Sequence[int], name: str, times: int = 1
) -> None:
    """Cut the power of some NATS servers under load, and expect that nothing was lost."""
    with (
        on_images(folder, sync) as (cluster, disks),
        Servers(cluster, folder) as group,
        Load([each.port for each in group.nodes]) as load,
    ):
        leader = group.stream_leader()
        chosen = [(leader + each) % 3 for each in which]

        def cut() -> None:
            cut_the_power([(cluster.servers[each], disks[each]) for each in chosen])
            wait_until(lambda: group.find_owner() is not None)
            wait_until(group.is_whole)

        check_load(load, name, cut, times)


def test_a_power_cut_of_all_nats_servers_that_sync_always_loses_nothing(tmp_path: Path) -> None:
    check_survives_power_cuts(tmp_path, "always", (0, 1, 2), "power cut of all three, always")


@pytest.mark.long
def test_a_power_cut_of_one_machine_loses_nothing_whatever_the_sync(tmp_path: Path) -> None:
    check_survives_power_cuts(tmp_path, "2m", (0,), "power cut of the leader, 2 minutes", 1)


@pytest.mark.long
def test_power_cuts_of_all_nats_servers_again_and_again_lose_nothing(tmp_path: Path) -> None:
    check_survives_power_cuts(tmp_path, "always", (0, 1, 2), "power cuts of all three, always", 3)


async def last_of_stream(urls: str) -> int:
    """Return the number of the last message that the NATS servers have; 0 if there is no stream."""
    client = await nats.connect(urls.split(","))
    try:
        info = await client.jetstream(timeout=2).stream_info("starling")
    except nats.js.errors.NotFoundError:
        return 0
    except (nats.errors.Error, OSError):
        return -1
    finally:
        await client.close()
    return info.state.last_seq


@pytest.mark.long
def test_a_power_cut_of_all_nats_servers_that_sync_rarely_loses_the_stream(tmp_path: Path) -> None:
    with (
        on_images(tmp_path, "2m") as (cluster, disks),
        Servers(cluster, tmp_path) as group,
    ):
        with Load([each.port for each in group.nodes]) as load:
            wait_until(lambda: len(load.acknowledged) > 500)
        before = asyncio.run(last_of_stream(cluster.urls))
        cut_the_power(list(zip(cluster.servers, disks, strict=True)))
        wait_until(lambda: asyncio.run(last_of_stream(cluster.urls)) >= 0)
        after = asyncio.run(last_of_stream(cluster.urls))
        print(f"power cut of all three, 2 minutes: {before} messages were told, {after} are left")
        assert after < before
