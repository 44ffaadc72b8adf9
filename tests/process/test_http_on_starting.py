"""What a server tells by HTTP while it reads its queues back, and what keeps it from starting."""

import contextlib
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.process.server_process import (
    COMMAND,
    PATIENCE,
    ServerProcess,
    environment,
    environment_that_holds,
    expect_refusal,
    free_port,
    wait_until,
)


def answer(port: int, path: str) -> tuple[int, str]:
    """Ask a server that has bound its port.

    While it starts, whoever does not ask within a moment is answered nothing, and asks again.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}{path}", timeout=PATIENCE
            ) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except ConnectionError:
            assert time.monotonic() < end


def config(folder: Path, port: int, *more: str) -> Path:
    path = folder / "starling.yml"
    lines = "".join(f"  {line}\n" for line in more)
    path.write_text(f"http:\n  listen: 127.0.0.1:{port}\n{lines}")
    return path


def listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        return answer(port, "/healthz")[0] == 200
    return False


def test_while_the_queues_are_read_back_it_is_alive_and_starts(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with free_port() as port, free_port() as own:
        options = ("-q", spool, "-p", own, "-f", config(tmp_path, port))
        process = subprocess.Popen(
            [*COMMAND, *map(str, options)],
            env=environment_that_holds(tmp_path, spool),
            stderr=subprocess.DEVNULL,
        )
        with process:
            try:
                wait_until(lambda: listens(port))
                assert answer(port, "/readyz") == (503, "starting\n")
                process.terminate()
                assert process.wait(PATIENCE) == 0
            finally:
                process.kill()


def test_a_server_that_serves_is_ready_and_tells_its_numbers(tmp_path: Path) -> None:
    with (
        free_port() as port,
        ServerProcess(tmp_path / "spool", "-f", config(tmp_path, port)) as server,
    ):
        with contextlib.closing(server.client()) as client:
            client.set("jobs", b"a")
        assert answer(port, "/readyz") == (200, "ready\n")
        assert 'starling_queue_items{queue="jobs"} 1\n' in answer(port, "/metrics")[1]
        assert answer(port, "/")[0] == 404
        assert server.stop() == 0


def test_a_server_that_has_no_queues_yet_is_alive_and_follows(tmp_path: Path) -> None:
    with free_port() as port, free_port() as own, free_port() as nobody:
        file = config(tmp_path, port)
        with file.open("a") as more:
            more.write(f"starling:\n  engine: jetstream\n  servers: nats://127.0.0.1:{nobody}\n")
        options = ("-q", tmp_path / "spool", "-p", own, "-f", file)
        command = [*COMMAND, *map(str, options)]
        with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: listens(port))
                assert answer(port, "/readyz") == (
                    503,
                    "this server does not know yet who the owner is\n",
                )
                process.terminate()
                assert process.wait(PATIENCE) == 0
            finally:
                process.kill()


def test_it_is_served_on_a_path_of_this_machine(tmp_path: Path) -> None:
    path, file = tmp_path / "http.sock", tmp_path / "starling.yml"
    file.write_text(f"http:\n  listen: unix:{path}\n")
    with ServerProcess(tmp_path / "spool", "-f", file) as server:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            client.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            told = b""
            while data := client.recv(4096):
                told += data
        assert told.endswith(b"\r\n\r\nready\n")
        assert server.stop() == 0
    assert not path.exists()


def test_a_port_that_is_taken_keeps_it_from_starting(tmp_path: Path) -> None:
    with free_port() as port, ServerProcess(tmp_path / "1", "-f", config(tmp_path, port)):
        told = expect_refusal(1, "-q", tmp_path / "2", "-p", 0, "-f", config(tmp_path, port))
    assert told.startswith(f"starling-py: http: cannot listen on 127.0.0.1:{port}: Address alr")
    assert "--port" not in told
    assert not (tmp_path / "2").exists()
