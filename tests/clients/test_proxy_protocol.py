"""HAProxy tells the server for whom it connects, in both versions of the PROXY header."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pymemcache
import pytest

from tests.clients.proxies import proxy
from tests.clients.rows import TIER
from tests.process.server_process import ServerProcess, settings_file, wait_until

pytestmark = pytest.mark.skipif(
    TIER in {"checkout", "always"} and shutil.which("haproxy") is None,
    reason="haproxy is not installed",
)
VERSIONS = {
    "1": "send-proxy",
    "2": "send-proxy-v2",
    "2, with a checksum and an id": "send-proxy-v2 proxy-v2-options crc32c,unique-id",
}


@contextlib.contextmanager
def behind_haproxy(
    folder: Path, options: str, check: str = "", **settings: object
) -> Iterator[tuple[ServerProcess, int]]:
    """Give a server, and the port of an HAProxy in front of it."""
    config = settings_file(folder, **settings)
    with (
        ServerProcess(folder / "spool", "--config", config) as server,
        proxy("haproxy", server.port, folder, options, check) as port,
    ):
        yield server, port


@contextlib.contextmanager
def connected(port: int) -> Iterator[pymemcache.Client]:
    client = pymemcache.Client(("127.0.0.1", port), default_noreply=False, timeout=30)
    with contextlib.closing(client):
        yield client


def address_of(client: pymemcache.Client) -> str:
    assert client.sock is not None
    return "{}:{}".format(*client.sock.getsockname())


@pytest.mark.parametrize("options", VERSIONS.values(), ids=VERSIONS)
def test_behind_haproxy_every_client_has_its_own_address(tmp_path: Path, options: str) -> None:
    with (
        behind_haproxy(tmp_path, options, "send-proxy", proxy_protocol="true") as behind,
        connected(behind[1]) as one,
        connected(behind[1]) as two,
    ):
        wait_until(lambda: is_up(one))
        assert one.set("jobs", b"1")
        assert two.get("jobs/open") == b"1"
        told = one.stats("conns").values()
        assert {f"tcp:{address_of(each)}".encode() for each in (one, two)} <= {*told}
        assert one.stats("queue", "jobs")[b"open_1_holder"].decode() == address_of(two)
        checked = one.stats()[b"total_connections"] + 5
        wait_until(lambda: one.stats()[b"total_connections"] > checked)
        assert "PROXY" not in "".join(behind[0].log)


@pytest.mark.parametrize("options", VERSIONS.values(), ids=VERSIONS)
def test_without_the_setting_haproxys_clients_are_refused(tmp_path: Path, options: str) -> None:
    with behind_haproxy(tmp_path, options) as (server, port):
        wait_until(lambda: server.stat("total_connections") > 2)  # the checks need no header
        with (
            connected(port) as client,
            pytest.raises((pymemcache.exceptions.MemcacheError, OSError)),
        ):
            client.set("jobs", b"1")
        assert server.stat("curr_items") == 0
        assert server.stat("protocol_errors") > 0


def is_up(client: pymemcache.Client) -> bool:
    """Tell whether HAProxy has found the server."""
    try:
        client.version()
    except (pymemcache.exceptions.MemcacheError, OSError):
        return False
    return True
