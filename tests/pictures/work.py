"""Work for the server in the pictures: queues of a shop that are put to and taken from."""

import contextlib
import random
import threading
from typing import Final

from tests.process.server_process import ServerProcess

QUEUES: Final = {
    "orders.eu": 6, "orders.us": 6, "mail.out": 4, "thumbnails": 3, "search.index": 5,
    "billing": 2, "push.ios": 3, "push.android": 3, "webhooks.retry": 1, "audit": 1,
}  # fmt: skip
"""Queues, and how much is put into each."""
LEFT: Final = {"orders.eu": 0.97, "webhooks.retry": 0.5, "audit": 0.0}
"""How much is taken from those that are not emptied."""


class Work(threading.Thread):
    """Puts and takes until it is told to end."""

    def __init__(self, server: ServerProcess) -> None:
        super().__init__()
        self._server = server
        self._over = threading.Event()
        self._random = random.Random(2008)

    def run(self) -> None:
        """Put and take some items, rest, and so on."""
        names, weights = list(QUEUES), list(QUEUES.values())
        with contextlib.closing(self._server.client()) as client:
            while not self._over.wait(0.02):
                for name in self._random.choices(names, weights, k=self._random.randint(5, 15)):
                    client.set(name, b'{"id": 4711, "kind": "example", "to": "somebody"}')
                    if self._random.random() < LEFT.get(name, 1.0):
                        client.get(name)

    def end(self) -> None:
        """End it."""
        self._over.set()
        self.join()
