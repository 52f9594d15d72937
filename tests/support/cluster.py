"""Three nodes of RabbitMQ on this machine, which are one broker."""

from __future__ import annotations

from broker import Broker


class Cluster:
    """A cluster: each node is a broker that tests may end."""

    def __init__(self) -> None:
        first = Broker()
        self.nodes = [first, Broker(first=first), Broker(first=first)]

    def start(self) -> Cluster:
        """Start all nodes, the first one alone: the others join it."""
        self.nodes[0].start()
        for node in self.nodes[1:]:
            node.launch()
        for node in self.nodes[1:]:
            node.wait()
        return self

    @property
    def urls(self) -> list[str]:
        return [f"{node.url}?heartbeat=2" for node in self.nodes]

    def close(self) -> None:
        for node in reversed(self.nodes):
            node.close()
