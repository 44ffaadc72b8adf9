"""Real servers of NATS and of the queues are killed under load: nothing that was told is lost."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.replica.cut import BOTH, FROM_NATS, TO_NATS
from tests.replica.group import Load, Servers, wait_until
from tests.replica.nats_cluster import NatsCluster


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    (tmp_path / "nats").mkdir()
    with NatsCluster(tmp_path / "nats") as cluster, Servers(cluster, tmp_path) as group:
        yield group


def kill_owner(group: Servers) -> None:
    """Kill the owner, wait for another one, and start it again."""
    owner = group.owner
    owner.signal(signal.SIGKILL)
    wait_until(lambda: group.find_owner() is not None)
    owner.start()
    group.until_all_follow()


def stop_owner(group: Servers) -> None:
    """Stop the owner in order, and start it again."""
    owner = group.owner
    owner.signal(signal.SIGTERM)
    wait_until(lambda: group.find_owner() is not None)
    owner.start()
    group.until_all_follow()


def freeze_owner(group: Servers) -> None:
    """Let the owner sleep until another one has taken over, then let it go on."""
    owner = group.owner
    owner.signal(signal.SIGSTOP)
    others = [each for each in group.nodes if each is not owner]
    wait_until(lambda: any(each.role == "owner" for each in others))
    owner.signal(signal.SIGCONT)
    group.until_all_follow()


def kill_leader(group: Servers) -> None:
    """Kill the NATS server that leads the stream, and start it again."""
    server = group.cluster.servers[group.stream_leader()]
    server.signal(signal.SIGKILL)
    wait_until(lambda: group.find_owner() is not None)
    server.start()


def kill_nats_follower(group: Servers) -> None:
    """Kill a NATS server that does not lead, and start it again."""
    server = group.cluster.servers[(group.stream_leader() + 1) % 3]
    server.signal(signal.SIGKILL)
    time.sleep(1)
    server.start()


def kill_machine(group: Servers) -> None:
    """Kill the owner and the stream's leader at once."""
    server = group.cluster.servers[group.stream_leader()]
    server.signal(signal.SIGKILL)
    kill_owner(group)
    server.start()


def wipe_leader(group: Servers) -> None:
    """Kill the stream's leader, and lose its disk."""
    server = group.cluster.servers[group.stream_leader()]
    server.signal(signal.SIGKILL)
    server.wipe()
    server.start()
    # Two of three disks that are lost at once are a majority.
    wait_until(group.is_whole)


def kill_all_nats(group: Servers) -> None:
    """Kill all NATS servers, and start them again."""
    for each in group.cluster.servers:
        each.signal(signal.SIGKILL)
    time.sleep(1)
    for each in group.cluster.servers:
        each.start()


def cut_off(group: Servers, way: str) -> None:
    """Let the owner hear nothing of NATS, or say nothing, until another one has taken over."""
    first, second = group.nodes
    while group.owner is not first:  # the second one is seldom elected twice
        stop_owner(group)
    before = first.log
    group.cuts.cut = way
    wait_until(lambda: second.role == "owner")
    # Whoever was connected to the old one must not be told anything by it.
    wait_until(lambda: "the clients are let go" in first.log.removeprefix(before))
    group.cuts.cut = None
    group.until_all_follow()


def cut_off_both_ways(group: Servers) -> None:
    """Cut the owner off from NATS."""
    cut_off(group, BOTH)


def let_owner_say_nothing(group: Servers) -> None:
    """Cut the way from the owner to NATS."""
    cut_off(group, TO_NATS)


def let_owner_hear_nothing(group: Servers) -> None:
    """Cut the way from NATS to the owner."""
    cut_off(group, FROM_NATS)


SHORT = (kill_owner, stop_owner, freeze_owner, cut_off_both_ways, kill_leader)
LONG = (
    let_owner_say_nothing,
    let_owner_hear_nothing,
    kill_nats_follower,
    kill_machine,
    wipe_leader,
    kill_all_nats,
)


def check_load(load: Load, name: str, what: Callable[[], None], times: int) -> None:
    """Have something done under load, tell what came of it, and expect that nothing was lost."""
    for _ in range(times):
        before = len(load.acknowledged)
        wait_until(lambda before=before: len(load.acknowledged) > before + 200)  # type: ignore[misc]
        what()
        before = len(load.acknowledged)
        wait_until(lambda before=before: len(load.acknowledged) > before + 100)  # type: ignore[misc]
    load.finish()
    print(
        f"{name}: {len(load.acknowledged)} acknowledged,"
        f" {len(set(load.acknowledged) - set(load.taken))} lost, {load.twice} twice,"
        f" {len(load.confirmed_again)} of them confirmed, {len(load.disordered)} out of order,"
        f" {load.outage:.2f} s without an answer"
    )
    load.check()


def check_survives(group: Servers, what: Callable[[Servers], None], times: int) -> None:
    """Have something done to a group under load, and expect that nothing was lost."""
    with Load([each.port for each in group.nodes]) as load:
        check_load(load, what.__name__, lambda: what(group), times)


@pytest.mark.parametrize("what", SHORT)
def test_nothing_is_lost_when_a_server_ends(
    servers: Servers, what: Callable[[Servers], None]
) -> None:
    check_survives(servers, what, 1)


@pytest.mark.long
@pytest.mark.parametrize("what", SHORT + LONG)
def test_nothing_is_lost_when_servers_end_again_and_again(
    servers: Servers, what: Callable[[Servers], None]
) -> None:
    check_survives(servers, what, 3)
