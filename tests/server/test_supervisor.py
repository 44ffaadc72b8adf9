"""What systemd is told: that the server serves, is well and stops; by a server that really runs."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from starling_py.server.supervisor import READY, STOPPING, WATCHDOG, Supervisor
from tests.process.server_process import COMMAND, PATIENCE, environment


class Listener:
    """Listens where systemd would."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(PATIENCE)

    def heard(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def is_silent(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.heard()
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_server_tells_when_it_serves_is_well_and_stops(tmp_path: Path, kind: str) -> None:
    is_path = kind == "path"
    name = str(tmp_path / "notify") if is_path else f"@starling-test-{os.getpid()}"
    listener = Listener(name if is_path else f"\0{name[1:]}")
    told = {**environment(), "NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"}
    with subprocess.Popen(
        [*COMMAND, "-q", str(tmp_path / "spool"), "-p", "0"], env=told, stderr=subprocess.DEVNULL
    ) as server:
        ready, status = listener.heard()
        assert ready == READY
        assert status.startswith("STATUS=listening on 127.0.0.1:")
        for _ in range(3):
            assert listener.heard() == [WATCHDOG]
        server.send_signal(signal.SIGTERM)
        while (heard := listener.heard()) != [STOPPING]:
            assert heard == [WATCHDOG]
        assert server.wait(PATIENCE) == 0
    listener.socket.close()


def supervisor(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Supervisor:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Supervisor()


def test_a_loop_that_does_not_come_round_is_not_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listener = Listener(str(tmp_path / "notify"))
    variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "4000000"}
    made = supervisor(monkeypatch, **variables)
    made.is_well(1, 100.0)
    assert listener.heard() == [WATCHDOG]
    made.is_well(1, 200.0)  # time has passed, but nothing was done
    made.is_well(2, 100.5)  # something was done, but it is too soon
    assert listener.is_silent()
    made.is_well(2, 101.0)
    assert listener.heard() == [WATCHDOG]
    listener.socket.close()
    made.is_well(3, 300.0)
    made.tell(READY)  # nobody listens any more, and that is nobody's trouble
    assert "NOTIFY_SOCKET" not in os.environ


@pytest.mark.parametrize("variables", [{}, {"WATCHDOG_USEC": "1"}, {"WATCHDOG_PID": "1"}])
def test_without_a_supervisor_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    made = supervisor(monkeypatch, **variables)
    made.tell(READY)
    made.is_well(1, 100.0)


def test_a_watchdog_for_another_process_is_not_answered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listener = Listener(str(tmp_path / "notify"))
    made = supervisor(
        monkeypatch,
        NOTIFY_SOCKET=str(tmp_path / "notify"),
        WATCHDOG_USEC="1000",
        WATCHDOG_PID=str(os.getpid() + 1),
    )
    made.is_well(1, 100.0)
    assert listener.is_silent()
    listener.socket.close()
