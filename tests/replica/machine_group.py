"""A group whose servers, of NATS and of the queues, are on machines of their own."""

from pathlib import Path

from tests.replica.group import Load, Node, Servers
from tests.replica.machines import Machines
from tests.replica.nats_cluster import NatsCluster

PORT = 22122


class MachineServers(Servers):
    """A server of the queues on each machine that has one of NATS."""

    def __init__(self, cluster: NatsCluster, machines: Machines, folder: Path) -> None:
        super().__init__(cluster, folder)
        self._ports.close()
        self.machines = machines
        options = self.nodes[1].options
        self.nodes = [
            Node(
                PORT,
                folder / f"spool{at}",
                (*options, "--host", machines.client_host(at), "--insecure"),
                host=machines.client_host(at),
                enter=machines.enter(at),
            )
            for at in range(len(cluster.servers))
        ]

    def load(self) -> Load:
        """Return clients that know all addresses."""
        hosts = tuple(each.host for each in self.nodes)
        return Load([each.port for each in self.nodes], hosts=hosts)

    def at(self, node: Node) -> int:
        """Return which machine a node is on."""
        return self.nodes.index(node)
