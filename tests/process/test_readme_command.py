"""The server as the README says to start it, driven by a plain memcached client."""

import queue
import signal
import subprocess
import threading
from pathlib import Path

from tests.process.server_process import PATIENCE, ROOT, connect

SETTING_UP = 240.0
"""Seconds that setting everything up may take on a fresh machine."""


def test_the_readmes_command_sets_everything_up_and_starts_a_server(tmp_path: Path) -> None:
    command = [ROOT / "scripts" / "server", "-p", "0", "-q", tmp_path / "spool"]
    assert "    scripts/server\n" in (ROOT / "README.md").read_text()
    process = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)
    ports: queue.SimpleQueue[int] = queue.SimpleQueue()
    reader = threading.Thread(target=_read_log, args=(process, ports))
    reader.start()
    try:
        client = connect(ports.get(timeout=SETTING_UP))
        assert client.set("jobs", b"first") is True
        assert client.set("jobs", b"second") is True
        assert [client.get("jobs") for _ in range(3)] == [b"first", b"second", None]
        assert client.stats()[b"queue_jobs_total_items"] == 2
        client.close()
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE)
        reader.join(PATIENCE)
    assert code == 0


def _read_log(process: "subprocess.Popen[str]", ports: "queue.SimpleQueue[int]") -> None:
    """Read the log to its end, and tell the port that the server says it listens on."""
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            if "listening on" in line:
                ports.put(int(line.rpartition(":")[2]))
