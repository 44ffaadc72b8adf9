"""HAProxy with what docs/cluster.md says finds the owner, also after a hand-over and a kill."""

import contextlib
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.server_process import PATIENCE, ROOT, free_port
from tests.replica.group import Servers, ask, until_ready, wait_until
from tests.replica.nats_cluster import NatsCluster
from tests.replica.test_handover import check_handed_over

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")

_BACKEND = re.compile(r"```text\n(backend queues\n.*?)```", re.DOTALL)
BY_HTTP, BY_PEEK = _BACKEND.findall((ROOT / "docs/cluster.md").read_text())
HEAD = """\
defaults
  timeout connect 2s
  timeout client 1m
  timeout server 1m
frontend queues
  mode tcp
  bind 127.0.0.1:{port}
  default_backend queues
"""


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[NatsCluster]:
    (tmp_path / "nats").mkdir()
    with NatsCluster(tmp_path / "nats", 1) as cluster:
        yield cluster


@pytest.mark.parametrize("backend", [BY_HTTP, BY_PEEK])
def test_haproxy_finds_the_owner(alone: NatsCluster, tmp_path: Path, backend: str) -> None:
    with free_port() as front, free_port() as one, free_port() as two:
        group = Servers(alone, tmp_path)
        lines = backend.splitlines()
        for at, (node, port) in enumerate(zip(group.nodes, (one, two), strict=True)):
            settings = tmp_path / f"{at}.yml"
            told = (tmp_path / "starling.yml").read_text()
            settings.write_text(f"{told}http: {{listen: '127.0.0.1:{port}'}}\n")
            node.options = ("-f", str(settings), *node.options[2:])
            asked = lines[at - 2].replace("port 22123", f"port {port}")
            lines[at - 2] = re.sub(r"10\.0\.0\.\d:22122", f"127.0.0.1:{node.port}", asked)
        file = tmp_path / "haproxy.cfg"
        file.write_text(HEAD.format(port=front) + "\n".join([*lines, ""]))

        def stores() -> bool:
            with contextlib.suppress(OSError):
                return ask(front, b"set jobs 0 0 1\r\nx\r\n") == b"STORED\r\n"
            return False

        with group:
            proxy = subprocess.Popen(["haproxy", "-db", "-f", file], stderr=subprocess.DEVNULL)
            try:
                wait_until(stores)
                before = check_handed_over(group)
                wait_until(stores)
                assert group.owner is not before
                until_ready(group)
                group.owner.signal(signal.SIGKILL)
                wait_until(lambda: before.role == "owner")
                wait_until(stores)
            finally:
                proxy.terminate()
                proxy.wait(PATIENCE)
