"""What the tests of sessions share: puts, the replies to a get, and a disk that is full."""

from tests.core import Client
from tests.queues.parts import Queues

NO_ROOM = b"SERVER_ERROR journal cannot be written: No space left on device\r\n"


def check_put(client: Client, *items: bytes, queue: bytes = b"q") -> None:
    for item in items:
        command = b"set %b 0 0 %d\r\n%b\r\n" % (queue, len(item), item)
        assert client.ask(command) == b"STORED\r\n"


def value(key: bytes, data: bytes, cas: int | None = None) -> bytes:
    number = b"" if cas is None else b" %d" % cas
    return b"VALUE %b 0 %d%b\r\n%b\r\n" % (key, len(data), number, data)


def item(key: bytes, data: bytes, cas: int | None = None) -> bytes:
    return value(key, data, cas) + b"END\r\n"


def on_a_full_disk(queues: Queues, client: Client, command: bytes, only: str = "") -> bytes:
    """Ask while nothing can be written, and heal everything afterwards."""
    queues.failing.error, queues.failing.only = OSError(28, "No space left on device"), only
    reply = client.ask(command)
    queues.failing.error = None
    for _ in range(2):
        queues.background.do_all()
        queues.clock.advance(2)
        queues.commits.sync_if_due()
        queues.commit()
    return reply
