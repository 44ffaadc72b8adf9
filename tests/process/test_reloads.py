"""What a reload cannot change is told, and what it can is not."""

import os
import signal
from pathlib import Path

from tests.process.raw_client import RawClient
from tests.process.server_process import ServerProcess, wait_until


def warnings(log: list[str]) -> list[str]:
    """Return what a log warns of."""
    return [line.partition(": ")[2].strip() for line in log if "WARNING" in line]


def test_a_reload_tells_which_settings_need_a_restart(tmp_path: Path) -> None:
    config = tmp_path / "starling.yml"
    config.write_text("starling: {sync: 50ms, memory_max: 1g, allow_reload: true}\n")
    with ServerProcess(tmp_path / "spool", "-f", config) as server:
        config.write_text(
            "starling: {sync: always, allow_drain: true, memory_max: 2g, allow_reload: true}\n"
        )
        begin = len(server.log)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: len(warnings(server.log[begin:])) >= 2)
        assert server.stop() == 0
        told = warnings(server.log[begin:])
    assert sorted(told) == [
        "allow_drain: false \u2192 true: this needs a restart",
        "sync: 50ms \u2192 always: this needs a restart",
    ]


def test_who_asks_for_a_reload_is_told_what_needs_a_restart(tmp_path: Path) -> None:
    config = tmp_path / "starling.yml"
    config.write_text("starling: {sync: 50ms, allow_reload: true}\n")
    with (
        ServerProcess(tmp_path / "spool", "-f", config) as server,
        RawClient(server.port) as client,
    ):
        assert client.ask(b"reload\r\n") == b"Reloaded config."
        config.write_text("starling: {sync: always, allow_reload: true}\nhttp: {metrics: true}\n")
        told = client.ask(b"reload\r\n")
        assert told.startswith(
            b"Reloaded config. This needs a restart: sync: 50ms -> always; http.listen: none ->"
        )
        config.write_text("starling: {sync: 50ms, allow_reload: true}\n")
        assert client.ask(b"reload\r\n") == b"Reloaded config."
