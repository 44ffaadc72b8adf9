"""A server that serves loads nothing more of its installation, whatever is asked of it.

An upgrade may replace the installation under it. What clients of memcached ask without users is in
``test_replaced_installation.py``.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.process.loading import Loading
from tests.process.server_process import (
    PATIENCE,
    ROOT,
    free_port,
    wait_until,
)
from tests.process.test_replaced_installation import DEFECT, SERVE, TEXT, binary
from tests.server import certificates
from tests.server.test_gate import hashed, sasl, token
from tests.server.test_nothing_left import client_hello

CONFIGURATION = """
starling:
  listen: ["127.0.0.1:{plain}", "tls:127.0.0.1:{secured}", "unix:{folder}/socket"]
  queue_path: {folder}/spool
  users_file: {folder}/users
  tls_cert: {folder}/cert.pem
  tls_key: {folder}/key.pem
  logger: {folder}/log
  audit_log: {folder}/audit
  log_format: {form}
  log_level: DEBUG
  max_connections: 40
  allow_flush_all: true
  allow_reload: true
  allow_drain: true
  allow_snapshot: true
users:
  anna: {{put: [jobs], get: [jobs], max_connections: 2}}
  boss: {{put: ["#"], get: ["#"], admin: true}}
http:
  listen: {speaks}127.0.0.1:{web}
  dashboard: true
  actions: true
  metrics_max_queues: 1
  token_file: {folder}/tokens
{more}"""
MORE = {
    "plain": {},
    "json, HTTP by TLS": {
        "form": "json",
        "more": "  tls_cert: {folder}/cert.pem\n  tls_key: {folder}/key.pem\n",
    },
}
TOKEN = "a-token-that-is-long"
PATHS = (
    "/",
    "/page.js",
    "/icon.svg",
    "/metrics",
    "/healthz",
    "/readyz",
    "/nonsense",
    "/queue?name=jobs",
    "/queue?name=%ff%1b",
    "/item?name=jobs&id=1",
    "/events?sort=nonsense",
    "/%ff?x=%fe",
)
VERBS = ("pause", "resume", "drop", "bury", "move", "flush", "delete", "nonsense")
ADMIN = rb"""refresh_certs
snapshot one
snapshot one
snapshot ../no
hello \xc3\xa9
pause jobs 1
resume jobs
browse jobs 1 10
drop jobs 1
move jobs other 1
stats changed
stats consumers jobs
monitor jobs 1
delete other
"""


@attrs.frozen
class Around:
    """Where a server listens, and how clients of HTTP come there."""

    plain: int
    secured: int
    web: int
    by_tls: bool

    def says(self, *said: bytes, tls: bool = False) -> bytes:
        """Say something on a connection, and return all that is answered."""
        port = self.secured if tls else self.plain
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        if tls:
            sock = certificates.client_context().wrap_socket(sock, server_hostname="localhost")
        answered = b""
        with sock, contextlib.suppress(ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            for each in said:
                sock.sendall(each)
            sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(1 << 16):
                answered += data
        return answered

    def breaks_off(self, port: int, said: bytes, *, resets: bool = False) -> None:
        """Say something, and hang up before it is answered."""
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(said)
            if resets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def asks(
        self, path: str, method: str = "GET", body: bytes = b"", token: str = TOKEN
    ) -> tuple[int, bytes]:
        """Ask by HTTP, and return the status and the beginning of what is answered."""
        headers = {"Authorization": f"Bearer {token}", "X-Starling": "1"}
        context = certificates.client_context()
        client = (
            http.client.HTTPSConnection("localhost", self.web, timeout=PATIENCE, context=context)
            if self.by_tls
            else http.client.HTTPConnection("localhost", self.web, timeout=PATIENCE)
        )
        with contextlib.closing(client):
            client.request(method, path, body or None, headers)
            answer = client.getresponse()
            return answer.status, answer.read1(100)


@contextlib.contextmanager
def serving(
    folder: Path, loading: Loading, before: str, **more: str
) -> Iterator[tuple["subprocess.Popen[bytes]", Around]]:
    """Run a server that has everything; ``before`` is run in it first."""
    certificates.write(folder)
    (folder / "tokens").write_text(f"boss:{TOKEN}\n")
    users = folder / "users"
    users.write_text("".join(f"{each}:{hashed('geheim')}\n" for each in ("anna", "boss")))
    users.chmod(0o600)
    (folder / "serve.py").write_text(before + SERVE)
    with contextlib.ExitStack() as ports:
        plain, secured, web = (ports.enter_context(free_port()) for _ in range(3))
        more = {"form": "text", "more": "", **more}
        by_tls = bool(more["more"])
        more["more"] = more["more"].format(folder=folder)
        (folder / "starling.yml").write_text(
            CONFIGURATION.format(
                folder=folder,
                plain=plain,
                secured=secured,
                web=web,
                speaks="tls:" if by_tls else "",
                **more,
            )
        )
        around = Around(plain, secured, web, by_tls)
        path = os.pathsep.join((str(loading.folder), str(ROOT)))
        process = subprocess.Popen(
            [sys.executable, folder / "serve.py", "-f", folder / "starling.yml"],
            env={**os.environ, "PYTHONPATH": path},
            cwd=folder,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                assert process.stderr is not None
                assert b"serves" in process.stderr.readline()
                yield process, around
            finally:
                process.kill()


def ask_for_everything(around: Around) -> None:
    """Have clients of memcached and of HTTP ask for everything, and break everything off."""
    lines = [line + b"\r\n" for line in (TEXT.replace(b"reload\n", b"") + ADMIN).split(b"\n")]
    for tls in (False, True):
        for name in ("anna", "boss"):
            around.says(token(name), *lines, tls=tls)
            around.says(sasl(name), binary(0x00, b"jobs"), binary(0x07, b""), tls=tls)
        around.says(token("boss", "wrong"), b"version\r\n", tls=tls)  # each costs a second
        around.says(*lines, tls=tls)
        around.says(binary(0x20, b""), binary(0x07, b""), tls=tls)
    for line in lines:  # as one of them may take those behind it for its body
        around.says(token("boss"), line)
    around.says(sasl("\u00e9\u4e2d"), binary(0x07, b""))
    hello = client_hello()
    for said in (b"", b"version\r\n", hello[:100], hello, hello + b"\x16\x03\x03\0\5wrong"):
        for resets in (False, True):
            around.breaks_off(around.secured, said, resets=resets)
            around.breaks_off(around.web, said, resets=resets)
            around.breaks_off(around.plain, said, resets=resets)
    for said in (b"PROXY TCP4 no\r\n", b"PROXY UNKNOWN\r\n", b"PROXY TCP6 ::1 ::1 1 2\r\n"):
        around.breaks_off(around.plain, said + b"version\r\n")
        around.breaks_off(around.secured, said + b"version\r\n")
    for each in PATHS:
        for method in ("GET", "HEAD", "PUT", "OPTIONS"):
            around.asks(each, method)
        around.asks(each, token="nobody's, and wrong")
    for verb in VERBS:
        for given in ({"queue": "jobs", "confirm": "jobs"}, {"queue": "\u00e9%ff x"}, {}):
            asked = {"verb": verb, "id": 1, "to": "other", **given}
            around.asks("/do", "POST", json.dumps(asked).encode())
    for body in (b"no JSON", b"\xff", b"x" * 100_000):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            around.asks("/do", "POST", body)
    status, began = around.asks("/events?queue=jobs")
    assert (status, began[:6]) == (200, b"data: ")


@pytest.mark.parametrize(
    ("kind", "defect"),
    [
        ("plain", ""),
        ("plain", DEFECT),
        ("json, HTTP by TLS", DEFECT),
    ],
)
@pytest.mark.patches
def test_nothing_is_loaded_late_whatever_is_asked_in_any_way(
    tmp_path: Path, kind: str, defect: str
) -> None:
    loading = Loading(tmp_path / "loading")
    with serving(tmp_path, loading, defect, **MORE[kind]) as (process, around):
        loading.begin()
        ask_for_everything(around)
        users = tmp_path / "users"
        users.write_text(users.read_text() + f"new:{hashed('geheim')}\n")
        config = tmp_path / "starling.yml"
        good = config.read_text()
        for text in (good + "queues:\n  jobs: {max_items: 5}\n", good + "nonsense: [", good):
            config.write_text(text)
            around.says(token("boss"), b"reload\r\n")
        for name in ("log", "audit"):
            (tmp_path / name).rename(tmp_path / f"{name}.1")
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGUSR2)
        process.send_signal(signal.SIGHUP)
        for name in ("log", "audit"):
            wait_until((tmp_path / name).exists)
        ask_for_everything(around)
        users.unlink()
        (tmp_path / "cert.pem").write_text("nonsense")
        around.says(token("boss"), b"reload\r\nrefresh_certs\r\n")
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert loading.told == []
    logged = (tmp_path / "log.1").read_text() + (tmp_path / "log").read_text()
    assert ("ValueError: a defect" in logged) == bool(defect)


LATE = DEFECT.replace('raise ValueError("a defect")', "import colorsys")


@pytest.mark.patches
def test_what_a_server_loads_late_is_noted(tmp_path: Path) -> None:
    loading = Loading(tmp_path / "loading")
    with serving(tmp_path, loading, LATE) as (_, around):
        loading.begin()
        around.says(token("boss"), b"flush_expired jobs\r\n")
    assert loading.told[0].startswith("import colorsys by serve.py:fail ")
