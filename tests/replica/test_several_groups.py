"""Two groups on the same NATS servers: docs/cluster.md's lines share queues out by their names."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from starling_py.client import Starling
from tests.process.server_process import ROOT
from tests.replica.group import Servers, numbers_of
from tests.replica.nats_cluster import NatsCluster
from tests.replica.test_handover import check_handed_over


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[NatsCluster]:
    (tmp_path / "nats").mkdir()
    with NatsCluster(tmp_path / "nats", 1) as cluster:
        yield cluster


def test_queues_go_to_the_group_of_their_names(alone: NatsCluster, tmp_path: Path) -> None:
    page = (ROOT / "docs/cluster.md").read_text()
    (text,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    folders = [tmp_path / name for name in ("mail", "orders")]
    for folder in folders:
        folder.mkdir()
    with (
        Servers(alone, folders[0], "--stream", "mail") as mail,
        Servers(alone, folders[1], "--stream", "orders") as orders,
    ):
        for group, port in ((mail, 22122), (orders, 22124)):
            for node, host in zip(group.nodes, ("10.0.0.1", "10.0.0.2"), strict=True):
                text = text.replace(f"{host}:{port}", f"127.0.0.1:{node.port}")
        told: dict[str, object] = {}
        exec(text, told)
        groups = told["GROUPS"]
        assert isinstance(groups, dict)
        first, second = groups.values()
        assert isinstance(first, Starling)
        try:
            check_handed_over(mail)
            second.set("orders", 1)
            assert first.get("mail.out", timeout=20) == {"to": "ann"}
            assert second.get("orders", timeout=20) == 1
            assert "queue_orders_items" not in numbers_of(mail.owner.port)
            assert "queue_mail.out_items" not in numbers_of(orders.owner.port)
        finally:
            first.close()
            second.close()
