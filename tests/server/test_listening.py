"""Listening on all addresses of a name that there are, on one port."""

import errno
import socket
from collections.abc import Iterator

import pytest

from starling_py.server import listening
from starling_py.server.errors import StartError
from starling_py.server.listening import listen
from tests.process.server_process import free_port


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> "Names":
    return Names(monkeypatch)


class Names:
    """Lets a name have several addresses of IPv4."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, *hosts: str) -> None:
        """Let every name have these addresses."""

        def found(_: str, port: int, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in hosts]

        self._monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.fixture
def port() -> Iterator[int]:
    with free_port() as kept:
        yield kept


def close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


@pytest.mark.patches
def test_an_address_that_is_not_here_is_skipped_and_told(resolve: Names, port: int) -> None:
    resolve("198.51.100.1", "127.0.0.1", "198.51.100.2")
    skipped: list[str] = []
    sockets = listen("name", port, skipped.append)
    assert [each.getsockname() for each in sockets] == [("127.0.0.1", port)]
    assert skipped == [
        f"cannot listen on {host}:{port}: Cannot assign requested address"
        for host in ("198.51.100.1", "198.51.100.2")
    ]
    close(sockets)


@pytest.mark.patches
def test_where_no_address_is_here_it_is_refused(resolve: Names) -> None:
    resolve("198.51.100.1", "198.51.100.2")
    with pytest.raises(StartError, match=r"cannot listen on 198\.51\.100\.1:0: Cannot assign"):
        listen("name", 0)


@pytest.mark.patches
@pytest.mark.parametrize("order", [1, -1])
def test_an_address_in_use_is_fatal_whatever_the_others_are(
    resolve: Names, order: int, port: int
) -> None:
    with socket.create_server(("127.0.0.2", port)):
        resolve(*["127.0.0.1", "198.51.100.1", "127.0.0.2"][::order])
        with pytest.raises(StartError) as refused:
            listen("name", port)
    assert str(refused.value) == f"cannot listen on 127.0.0.2:{port}: Address already in use"
    close(listen("127.0.0.1", port))  # nothing was left open


@pytest.mark.patches
def test_all_addresses_have_one_port_if_the_system_chooses_it(resolve: Names) -> None:
    resolve("198.51.100.1", "127.0.0.1", "127.0.0.2", "127.0.0.3")
    sockets = listen("name", 0)
    assert len({each.getsockname()[1] for each in sockets}) == 1
    assert len(sockets) == 3
    close(sockets)


@pytest.mark.patches
def test_a_port_that_one_address_does_not_have_free_is_not_chosen(
    resolve: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve("127.0.0.1", "127.0.0.2")
    tried: list[int] = []
    real = listening._listening

    def taken_at_first(family: int, address: tuple[object, ...]) -> socket.socket:
        if address[0] == "127.0.0.2":
            tried.append(int(str(address[1])))
            if len(tried) < 4:
                raise OSError(errno.EADDRINUSE, "Address already in use")
        return real(family, address)

    monkeypatch.setattr(listening, "_listening", taken_at_first)
    sockets = listen("name", 0)
    assert [each.getsockname()[1] for each in sockets] == [tried[-1]] * 2
    assert len(tried) == 4
    close(sockets)


@pytest.mark.patches
def test_when_no_port_is_free_everywhere_it_is_refused(
    resolve: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve("127.0.0.1", "127.0.0.2")
    real = listening._listening

    def taken(family: int, address: tuple[object, ...]) -> socket.socket:
        if address[0] == "127.0.0.2":
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return real(family, address)

    monkeypatch.setattr(listening, "_listening", taken)
    with pytest.raises(StartError, match="no port is free for all of its addresses"):
        listen("name", 0)


@pytest.mark.parametrize("host", ["\\xad", "a" * 64, "no-such-name.invalid"])
def test_a_name_that_is_none_is_refused_in_one_line(host: str) -> None:
    with pytest.raises(StartError, match=r"^cannot listen on .*: .*$"):
        listen(host, 0)
