"""Machines of a group are cut off from the cluster, their clients still connected, and die."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.replica.group import wait_until
from tests.replica.machine_group import MachineServers
from tests.replica.machines import BOTH, IN, OUT, machines, needs_machines
from tests.replica.nats_cluster import NatsCluster
from tests.replica.test_kills import check_load

pytestmark = needs_machines


@pytest.fixture
def group(tmp_path: Path) -> Iterator[MachineServers]:
    (tmp_path / "nats").mkdir()
    with (
        machines() as those,
        NatsCluster(tmp_path / "nats", machines=those) as cluster,
        MachineServers(cluster, those, tmp_path) as servers,
    ):
        yield servers


def cut_owners_machine(group: MachineServers, way: str) -> None:
    """Cut the owner's machine off, its clients still connected, until another one is the owner."""
    owner = group.owner
    at = group.at(owner)
    others = [each for each in group.nodes if each is not owner]
    before = owner.log
    group.machines.cut(at, way)
    wait_until(lambda: any(each.role == "owner" for each in others))
    ended = ("the clients are let go", "another server")
    wait_until(lambda: any(each in owner.log.removeprefix(before) for each in ended))
    group.machines.mend(at, way)
    group.until_all_follow()


def cut_owners_machine_off(group: MachineServers) -> None:
    """Pull the cable of the owner's machine."""
    cut_owners_machine(group, BOTH)


def let_owners_machine_say_nothing(group: MachineServers) -> None:
    """Let nothing go out of the owner's machine to the cluster."""
    cut_owners_machine(group, OUT)


def let_owners_machine_hear_nothing(group: MachineServers) -> None:
    """Let nothing come in from the cluster."""
    cut_owners_machine(group, IN)


def cut_leaders_machine_off(group: MachineServers) -> None:
    """Pull the cable of the machine whose NATS server leads the stream."""
    at = group.stream_leader()
    group.machines.cut(at, BOTH)
    others = [each for each in group.nodes if each is not group.nodes[at]]
    wait_until(lambda: any(each.role == "owner" for each in others))
    group.machines.mend(at, BOTH)
    group.until_all_follow()


def cut_followers_machine_off(group: MachineServers) -> None:
    """Pull the cable of a machine that has neither the owner nor the stream's leader."""
    owner, leader = group.at(group.owner), group.stream_leader()
    at = next(each for each in range(3) if each not in (owner, leader))
    group.machines.cut(at, BOTH)
    wait_until(lambda: group.nodes[at].role != "owner")
    group.machines.mend(at, BOTH)
    group.until_all_follow()


def kill_owners_machine(group: MachineServers) -> None:
    """Kill both servers of the owner's machine at once."""
    owner = group.owner
    at = group.at(owner)
    server = group.cluster.servers[at]
    for each in (server, owner):
        assert each.process is not None
        each.process.send_signal(signal.SIGKILL)
    for each in (server, owner):
        each.signal(signal.SIGKILL)
    wait_until(lambda: group.find_owner() is not None)
    server.start()
    owner.start()
    group.until_all_follow()


SHORT = (cut_owners_machine_off,)
LONG = (
    let_owners_machine_say_nothing,
    let_owners_machine_hear_nothing,
    cut_leaders_machine_off,
    cut_followers_machine_off,
    kill_owners_machine,
)


@pytest.mark.parametrize("what", SHORT)
def test_nothing_is_lost_when_a_machine_is_cut_off(
    group: MachineServers, what: Callable[[MachineServers], None]
) -> None:
    with group.load() as load:
        check_load(load, what.__name__, lambda: what(group), 1)


@pytest.mark.long
@pytest.mark.parametrize("what", SHORT + LONG)
def test_nothing_is_lost_when_machines_are_cut_off_again_and_again(
    group: MachineServers, what: Callable[[MachineServers], None]
) -> None:
    with group.load() as load:
        check_load(load, what.__name__, lambda: what(group), 3)
