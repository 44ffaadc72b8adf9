"""Answers HTTP while nothing else can: the queues are read back, or another server has them.

That may take long, and who watches the process should see that it lives and is not ready. A
thread answers one client after the other, each within a moment: ``/healthz`` that it is well, all
else why it is not ready. Invariant: when the ``with`` block ends, the thread touches no listening
socket any more; who came too late to be answered waits for the server.
"""

import contextlib
import logging
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Final

from starling_py.server import signals

log = logging.getLogger(__name__)

_PATIENCE: Final = 0.2
"""Seconds in which a client must have asked."""
_MOST: Final = 8192
"""Bytes of a request that are read."""
_WELL: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
_UNREADY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\nRetry-After: 1\r\n"
    b"Connection: close\r\n\r\n%b\n"
)


@contextlib.contextmanager
def answering(
    listeners: Sequence[socket.socket],
    why: str = "starting",
    secured: ssl.SSLContext | None = None,
) -> Iterator[None]:
    """Answer who asks at some listening sockets, within the ``with`` block.

    ``why`` is why the server is not ready, in ASCII. ``secured`` is what TLS begins with, if it is
    spoken there.
    """
    told = _UNREADY % (len(why) + 1, why.encode("ascii"))
    if not listeners:
        yield
        return
    over, end = socket.socketpair()
    with over, end:
        thread = threading.Thread(
            target=_answer_all, args=(listeners, over, told, secured), name="start", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            end.send(b"\0")
            thread.join()


def _answer_all(
    listeners: Sequence[socket.socket],
    over: socket.socket,
    told: bytes,
    secured: ssl.SSLContext | None,
) -> None:
    signals.hold()  # they are for the main thread
    with selectors.DefaultSelector() as selector:
        for each in (over, *listeners):
            selector.register(each, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if over in ready:
                return
            for listener in listeners:
                if listener in ready:
                    _accept(listener, told, secured)


def _accept(listener: socket.socket, told: bytes, secured: ssl.SSLContext | None) -> None:
    try:
        client = listener.accept()[0]
    except OSError as error:
        log.debug("http: nobody is accepted: %s", error)
        time.sleep(_PATIENCE)
        return
    with client, contextlib.suppress(OSError):
        if secured is None:
            _answer(client, told)
            return
        client.settimeout(_PATIENCE)
        with secured.wrap_socket(client, server_side=True) as shaken:
            _answer(shaken, told)


def _answer(client: socket.socket, told: bytes) -> None:
    until = time.monotonic() + _PATIENCE
    asked = b""
    while b"\n\r\n" not in asked and len(asked) < _MOST:
        client.settimeout(max(0.001, until - time.monotonic()))
        data = client.recv(_MOST)
        if not data:
            break
        asked += data
    path = asked.split(b" ", 2)[1:2]
    client.sendall(_WELL if path == [b"/healthz"] else told)
