"""The commands of docs/operations.md do what they say, in their order, at a real server."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.process.server_process import PATIENCE, ROOT, ServerProcess, environment

PAGE = (ROOT / "docs/operations.md").read_text()
PROGRAMS = {
    "starling-py": "starling_py.cli",
    "starling-ctl": "starling_py.ctl.cli",
    "starling-journal": "starling_py.offline.cli",
}
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
QUESTIONS = 24
"""Those of a first month; upgrading and going back are one, so are a service and its like."""


def commands() -> list[str]:
    """Return the commands of the page."""
    lines = [line for block in BLOCKS for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines), lines
    return [line[2:] for line in lines]


def programs(folder: Path) -> Path:
    """Make the commands as an installation has them."""
    folder.mkdir()
    for name, module in PROGRAMS.items():
        call = f"import sys; from {module} import main; sys.exit(main())"
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{call}" "$@"\n')
        path.chmod(0o755)
    return folder


def test_the_page_answers_each_question_of_a_first_month() -> None:
    assert len(re.findall(r"^### ", PAGE, re.MULTILINE)) >= QUESTIONS
    anchors = {
        re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


def test_every_command_of_the_page_works(tmp_path: Path) -> None:
    config = re.search(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert config is not None
    (tmp_path / "starling.yml").write_text(config[1])
    (tmp_path / "backup").mkdir()
    spool = tmp_path / "spool"
    with ServerProcess(spool, "-f", tmp_path / "starling.yml") as server:
        prelude = "set -e; for n in 1 2 3 4 5 6; do starling-ctl put jobs item$n; done"
        script = "\n".join([prelude, "set -x", *commands()])
        usual = environment()
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", script],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            env={
                **usual,
                "PATH": f"{programs(tmp_path / 'bin')}{os.pathsep}{usual['PATH']}",
                "STARLING_SERVER": f"127.0.0.1:{server.port}",
                "SPOOL": str(spool),
                "CONFIG": str(tmp_path / "starling.yml"),
                "BACKUP": str(tmp_path / "backup"),
            },
            text=True,
            timeout=4 * PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        assert "failed: 1 item moved" in done.stdout
        assert server.stat("queue_again_items") == 1
