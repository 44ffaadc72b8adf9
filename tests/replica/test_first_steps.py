"""The commands of docs/cluster.md do on one machine what the page says, as they are printed."""

import os
import re
import subprocess
import sysconfig
from pathlib import Path

from tests.process.server_process import ROOT, free_port

PATIENCE = 120


def test_a_group_on_one_machine_holds_against_a_kill(tmp_path: Path) -> None:
    page = (ROOT / "docs/cluster.md").read_text()
    section = page.partition("## Try it")[2].partition("\n## ")[0]
    lines = "".join(re.findall(r"```console\n(.*?)```", section, re.DOTALL)).splitlines()
    with free_port() as nats, free_port() as one, free_port() as two:
        places = {"4222": nats, "22122": one, "22123": two, "/tmp/": f"{tmp_path}/"}
        replaced = re.compile("4222|22122|22123|/tmp/")
        lines = [replaced.sub(lambda found: str(places[found[0]]), line) for line in lines]
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    script = tmp_path / "script"
    text = "\n".join([*commands, "wait", ""])
    script.write_text(text.replace("sleep ", "sleep 1"))  # ten seconds more, on a busy machine
    done = subprocess.run(
        ["bash", "-m", script],
        env={**os.environ, "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    expected = [line for line in lines if not line.startswith("$ ")]
    told = [re.sub(r"after \d.*", "after", line) for line in done.stdout.splitlines()]
    assert told == [re.sub(r"after \d.*", "after", line) for line in expected], done.stderr
