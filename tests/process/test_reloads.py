"""What a reload cannot change is told, and what it can is not."""

import os
import signal
from pathlib import Path

from tests.process.server_process import ServerProcess, wait_until


def test_a_reload_tells_which_settings_need_a_restart(tmp_path: Path) -> None:
    config = tmp_path / "starling.yml"
    config.write_text("starling: {sync: 50ms, memory_max: 1g}\n")
    with ServerProcess(tmp_path / "spool", "-f", config) as server:
        config.write_text("starling: {sync: always, allow_drain: true, memory_max: 2g}\n")
        begin = len(server.log)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: any("allow_drain" in line for line in server.log[begin:]))
        told = [line.partition(": ")[2].strip() for line in server.log[begin:] if "WARNING" in line]
    assert sorted(told) == [
        "allow_drain: false \u2192 true: this needs a restart",
        "sync: 50ms \u2192 always: this needs a restart",
    ]
