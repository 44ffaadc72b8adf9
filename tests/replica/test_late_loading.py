"""The servers of a group load nothing more of their installation, whatever becomes of them."""

import signal
from pathlib import Path

import pytest

from tests.process.loading import Loading
from tests.replica.group import Servers, ask, hand_over, numbers_of, until_ready, wait_until
from tests.replica.nats_cluster import NatsCluster


def test_the_servers_of_a_group_load_nothing_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = Loading(tmp_path / "loading")
    monkeypatch.setenv("PYTHONPATH", str(loading.folder))
    (tmp_path / "nats").mkdir()
    with NatsCluster(tmp_path / "nats", 1) as cluster, Servers(cluster, tmp_path) as group:
        loading.begin()
        for node in group.nodes:
            ask(node.port, b"set jobs 0 0 1\r\nx\r\n")
            ask(node.port, b"nonsense\r\n")
            ask(node.port, b"mg jobs v\r\n")
        until_ready(group)
        before = hand_over(group)
        wait_until(lambda: group.find_owner() not in (None, before))
        group.until_all_follow()
        group.owner.signal(signal.SIGKILL)
        assert numbers_of(before.port)["replica_role"] == "owner"
    assert loading.told == []
