"""The command as a process: it starts, serves any client, stops in order, and starts again."""

import os
import random
import signal
import socket
import threading
from pathlib import Path

import pytest
from pymemcache.client.base import Client, PooledClient
from pymemcache.exceptions import MemcacheError

from starling_py import described
from tests.process.server_process import (
    PATIENCE,
    ServerProcess,
    daemon_cleared_away,
    run,
    wait_until,
    wait_until_gone,
    wait_until_it_answers,
)

THE_BOOK = """\
starling:
  port: {port}
  pid_file: {folder}/starling.pid
  queue_path: {folder}/spool
  timeout: 0
  logger: {folder}/log/starling.log
  log_level: DEBUG
  daemonize: {daemonize}
"""


def drained(client: Client, queue: str) -> list[bytes]:
    items: list[bytes] = []
    while (item := client.get(queue)) is not None:
        items.append(item)
    return items


# What it says of itself


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_it_tells_its_version(option: str) -> None:
    done = run(option)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"starling-py {described()}\n", "")


@pytest.mark.parametrize("option", ["--help", "-?"])
def test_it_tells_its_options(option: str) -> None:
    done = run(option)
    assert done.returncode == 0
    assert "--queue_path" in done.stdout
    assert not done.stderr


# Starting and stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_and_its_pid_file_goes(
    tmp_path: Path, number: signal.Signals
) -> None:
    pid_file = tmp_path / "starling.pid"
    with ServerProcess(tmp_path / "spool", "--pid", pid_file) as server:
        client = server.client()
        client.set("q", b"1")
        assert pid_file.read_text() == f"{server.pid}\n"
        assert server.stop(number) == 0
        assert not pid_file.exists()
        assert "Traceback" not in "".join(server.log)
        client.close()


def test_a_stop_under_load_loses_nothing_that_was_acknowledged(server: ServerProcess) -> None:
    acknowledged: list[int] = []

    def produce() -> None:
        client = server.client()
        try:
            for number in range(1_000_000):
                client.set("q", b"%d" % number)
                acknowledged.append(number)
        except (OSError, MemcacheError):
            return
        finally:
            client.close()

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    wait_until(lambda: len(acknowledged) >= 500)
    assert server.stop() == 0
    producer.join(PATIENCE)
    server.start()
    client = server.client()
    items = [int(item) for item in drained(client, "q")]
    client.close()
    assert items[: len(acknowledged)] == acknowledged
    # The reply to the last one may have been lost.
    assert len(items) - len(acknowledged) in (0, 1)


def test_a_waiting_client_gets_its_miss_when_the_server_is_stopped(server: ServerProcess) -> None:
    client = server.client()
    answers: list[bytes | None] = []
    waiter = threading.Thread(target=lambda: answers.append(client.get("q/t=60000")), daemon=True)
    waiter.start()
    observer = server.client()
    wait_until(lambda: b"waiting" in observer.stats("conns").values())
    assert server.stop() == 0
    waiter.join(PATIENCE)
    assert answers == [None]
    client.close()
    observer.close()


def test_items_flags_and_ids_are_kept_over_a_restart_and_over_a_kill(
    server: ServerProcess,
) -> None:
    class Flagged:
        """Gives each value flags of its own, and hands back both."""

        def serialize(self, _: bytes, value: tuple[bytes, int]) -> tuple[bytes, int]:
            return value

        def deserialize(self, _: bytes, value: bytes, flags: int) -> tuple[bytes, int]:
            return value, flags

    values = [(b"plain", 0), (b"", 1), (b"\r\nEND\r\n", 0x80000000), (b"\0\xff", 2**32 - 1)]
    client = server.client(serde=Flagged())
    for value in values:
        assert client.set("q", value)
    client.close()
    assert server.stop() == 0
    server.start()
    client = server.client(serde=Flagged())
    assert client.get("q") == values[0]
    client.close()
    server.restart()
    client = server.client(serde=Flagged())
    assert client.gets("q") == (values[1], b"2")
    assert [client.get("q") for _ in range(3)] == [values[2], values[3], None]
    client.close()


def test_a_server_that_is_killed_again_and_again_keeps_everything(server: ServerProcess) -> None:
    dice = random.Random(5)
    expected: list[bytes] = []
    for life in range(5):
        client = server.client()
        for number in range(dice.randrange(50)):
            item = b"%d.%d " % (life, number) + dice.randbytes(dice.randrange(3000))
            assert client.set("q", item)
            expected.append(item)
        for _ in range(dice.randrange(20)):
            assert client.get("q") == (expected.pop(0) if expected else None)
        client.close()
        server.restart()
    client = server.client()
    assert drained(client, "q") == expected
    client.close()


# Any client


def test_pymemcache_works_with_replies(server: ServerProcess) -> None:
    client = server.client()
    assert client.version() == b"1.0.0"
    assert client.set("q", b"1") is True
    assert client.add("q", b"2") is False
    assert client.replace("absent", b"2") is False
    assert client.append("absent", b"2") is False
    assert client.prepend("q", b"0") is True
    assert client.get("q") == b"0"
    assert client.cas("q", b"2", b"1") is None
    assert client.incr("absent", 1) is None
    assert client.decr("absent", 1) is None
    assert client.touch("q", 1) is False
    assert client.set_many({"a": b"1", "b": b"2", "c": b"3"}) == []
    assert client.get_many(["a", "none", "b"]) == {"a": b"1", "b": b"2"}
    assert client.gets_many(["c"]) == {"c": (b"3", b"1")}
    assert client.gets("q") == (b"1", b"1")
    assert client.get("q/t=10", default=b"nothing") == b"nothing"
    assert client.delete("q") is True
    assert client.delete("q") is False
    assert client.flush_all() is True
    assert client.stats("settings")[b"maxconns"] == 4096
    assert client.stats()[b"curr_connections"] == 1
    client.quit()


def test_pymemcaches_defaults_never_shift_a_reply(server: ServerProcess) -> None:
    client = server.client(default_noreply=True)
    for number in range(10_000):
        client.set("q", b"%d" % number)
        if number % 1000 == 0:
            client.delete("none")
            client.touch("q")
            client.flush_all()
            client.add("other", b"x")
    for number in range(10_000):
        assert client.get("q") == b"%d" % number
    assert client.get("q") is None
    assert client.version() == b"1.0.0"
    client.close()


def test_a_pool_of_threads_takes_every_item_once(server: ServerProcess) -> None:
    pool = PooledClient(("127.0.0.1", server.port), default_noreply=False, max_pool_size=4)
    for number in range(1000):
        assert pool.set("q", b"%d" % number)
    taken: list[bytes] = []

    def consume() -> None:
        while (item := pool.get("q")) is not None:
            taken.append(item)

    threads = [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    pool.close()
    assert sorted(map(int, taken)) == list(range(1000))


def test_what_netcat_sends_is_answered_in_full(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock:
        sock.sendall(b"set q 0 0 3\r\none\r\nget q\nget q/t=60000\n")
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as file:
            assert file.read() == b"STORED\r\nVALUE q 0 3\r\none\r\nEND\r\nEND\r\n"


# The configuration of the book


def test_the_configuration_of_the_book_starts_a_daemon(tmp_path: Path, port: int) -> None:
    pid_file = tmp_path / "starling.pid"
    conf = tmp_path / "starling.yml"
    conf.write_text(THE_BOOK.format(port=port, folder=tmp_path, daemonize="true"))
    with daemon_cleared_away(pid_file):
        done = run("-f", conf)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        wait_until_it_answers(port)
        pid = int(pid_file.read_text())
        assert os.getsid(pid) not in (os.getsid(0), 0)
        client = Client(("127.0.0.1", port), default_noreply=False)
        assert client.set("hello", b"world")
        os.kill(pid, signal.SIGTERM)
        wait_until_gone(pid)
        client.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "spool", "starling.yml"]
    log = (tmp_path / "log" / "starling.log").read_text()
    assert f"listening on 127.0.0.1:{port}" in log
    assert "queue hello: created" in log
    assert log.endswith("stopped\n")
    # And what was stored is there for the next one, in the foreground this time.
    conf.write_text(THE_BOOK.format(port=port, folder=tmp_path, daemonize="false"))
    again = run("-f", conf, "--check-config")
    assert again.returncode == 0
    with ServerProcess(tmp_path / "spool") as server:
        client = server.client()
        assert client.get("hello") == b"world"
        client.close()


def test_daemonizing_by_options_works_anywhere_with_relative_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.chdir(tmp_path)
    pid_file = tmp_path / "pid"
    with daemon_cleared_away(pid_file):
        done = run("-d", "-q", "spool", "-P", "pid", "-L", "log", "-p", port)
        assert (done.returncode, done.stderr) == (0, "")
        wait_until_it_answers(port)
        pid = int(pid_file.read_text())
        assert os.path.realpath(f"/proc/{pid}/cwd") == "/"
        os.kill(pid, signal.SIGHUP)
        wait_until_it_answers(port)
        os.kill(pid, signal.SIGINT)
        wait_until_gone(pid)
    assert not pid_file.exists()


def test_a_daemon_keeps_its_spool_to_itself(tmp_path: Path, port: int) -> None:
    pid_file, spool = tmp_path / "pid", tmp_path / "spool"
    with daemon_cleared_away(pid_file):
        run("-d", "-q", spool, "-P", pid_file, "-L", tmp_path / "log", "-p", port)
        wait_until_it_answers(port)
        pid = int(pid_file.read_text())
        refused = run("-q", spool, "-p", 0)
        assert refused.returncode == 1
        assert "another server is using this spool" in refused.stderr
        os.kill(pid, signal.SIGTERM)
        wait_until_gone(pid)


def test_a_detached_server_keeps_its_locks_and_its_reserve(tmp_path: Path, port: int) -> None:
    pid_file, spool = tmp_path / "pid", tmp_path / "spool"
    with daemon_cleared_away(pid_file):
        run("-d", "-q", spool, "-P", pid_file, "-L", tmp_path / "log", "-p", port)
        wait_until_it_answers(port)
        pid = int(pid_file.read_text())
        paths = {os.path.realpath(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
        assert {str(spool), str(spool / ".lock"), str(spool / ".reserve")} <= paths
        os.kill(pid, signal.SIGTERM)
        wait_until_gone(pid)


def test_a_log_file_that_is_moved_away_is_begun_anew(tmp_path: Path, port: int) -> None:
    log, pid_file = tmp_path / "starling.log", tmp_path / "pid"
    with daemon_cleared_away(pid_file):
        run("-d", "-q", tmp_path / "spool", "-P", pid_file, "-L", log, "-p", port)
        wait_until_it_answers(port)
        log.rename(tmp_path / "starling.log.1")
        client = Client(("127.0.0.1", port), default_noreply=False)
        client.set("q", b"1")
        client.close()
        wait_until(lambda: log.exists() and "queue q: created" in log.read_text())
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        wait_until_gone(pid)
