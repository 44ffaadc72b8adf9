"""Proxies between one server and those of NATS, which let nothing through when they are told to."""

import contextlib
import selectors
import socket
import threading
from typing import Self

BOTH, TO_NATS, FROM_NATS = "both", "to NATS", "from NATS"


class Proxies:
    """One listening socket for each port; what is cut off stays connected, and hears nothing."""

    def __init__(self, ports: list[int]) -> None:
        self.cut: str | None = None
        """Which way nothing goes; bytes wait where they are."""
        self._selector = selectors.DefaultSelector()
        self._ends = threading.Event()
        self._pairs: dict[socket.socket, tuple[socket.socket, str]] = {}
        self.ports = []
        for port in ports:
            listener = socket.create_server(("127.0.0.1", 0))
            self.ports.append(listener.getsockname()[1])
            self._selector.register(listener, selectors.EVENT_READ, port)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    @property
    def is_running(self) -> bool:
        """Whether it has begun and not ended."""
        return self._thread.is_alive()

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ends.is_set():
            for key, _ in self._selector.select(0.02):
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if key.data is not None:
                    self._accept(source, key.data)
                else:
                    self._pass_on(source)
            if self.cut is not None:
                self._ends.wait(0.02)  # what is not read makes the selector busy

    def _accept(self, listener: socket.socket, port: int) -> None:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", port), 1)
        except OSError:
            client.close()
            return
        self._pairs[client] = server, TO_NATS
        self._pairs[server] = client, FROM_NATS
        for each in (client, server):
            each.settimeout(5)
            self._selector.register(each, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        if source not in self._pairs:
            return
        target, way = self._pairs[source]
        if self.cut in (BOTH, way):
            return
        data = b""
        with contextlib.suppress(OSError):
            more = source.recv(1 << 16)
            target.sendall(more)
            data = more  # without all of it, what came later would make no sense
        if not data:
            for each in (source, target):
                self._selector.unregister(each)
                del self._pairs[each]
                each.close()
