"""The worked examples of CONTRIBUTING.md, each applied to a copy of the package and asked there."""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from starling_py.journal.format import segment
from tests.process.server_process import ROOT, ServerProcess, run

PAGE = ROOT / "CONTRIBUTING.md"
EXAMPLES = ("A setting", "A command", "A statistic", "The journal's format")
Change = tuple[str, str, str]
"""A file, what stands in it, and what is to stand there instead."""


def changes(heading: str) -> list[Change]:
    """Return what the blocks below a heading change."""
    _, _, rest = PAGE.read_text().partition(f"\n### {heading}\n")
    assert rest, heading
    found: list[Change] = []
    text = re.split(r"\n##", rest)[0]
    for block in re.findall(r"^```diff\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for file in re.split(r"^--- ", block, flags=re.MULTILINE)[1:]:
            path, *hunks = re.split(r"^@@\n|\n@@\n", file.rstrip("\n"), flags=re.MULTILINE)
            found += [(path.strip(), *sides(hunk)) for hunk in hunks]
    assert found
    return found


def sides(hunk: str) -> tuple[str, str]:
    """Return the lines before and after a change."""
    lines = [line or " " for line in hunk.splitlines()]
    assert all(line[0] in " +-" for line in lines), hunk
    before, after = ("\n".join(each[1:] for each in lines if each[0] != no) for no in "+-")
    return before + "\n", after + "\n"


def apply(heading: str, copy: Path) -> None:
    """Change a copy of the package as an example says."""
    for path, before, after in changes(heading):
        text = (copy / path).read_text()
        assert text.count(before) == 1, f"{path} has this {text.count(before)} times:\n{before}"
        (copy / path).write_text(text.replace(before, after))


def ask(server: ServerProcess, sent: bytes) -> bytes:
    """Send lines and then ``quit``; return all that is answered."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as sock:
        sock.sendall(sent + b"quit\r\n")
        with sock.makefile("rb") as replies:
            return replies.read()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with a copy of the package, as source."""
    copy = tmp_path / "copy"
    sources_only = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "starling_py", copy / "starling_py", ignore=sources_only)
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def test_the_examples_go_together_and_please_linter_and_type_checker(copy: Path) -> None:
    for heading in EXAMPLES:
        apply(heading, copy)
    for tool in ("ruff check", "ruff format --check", "mypy --cache-dir cache"):
        command = [sys.executable, "-m", *tool.split(), "starling_py"]
        done = subprocess.run(command, cwd=copy, capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_example_is_tested() -> None:
    _, _, rest = PAGE.read_text().partition("\n## Worked examples\n")
    assert tuple(re.findall(r"^### (.*)$", rest, re.MULTILINE)) == EXAMPLES


def test_the_setting_refuses_what_it_says(tmp_path: Path, copy: Path) -> None:
    apply("A setting", copy)
    conf = tmp_path / "starling.yml"
    conf.write_text("starling:\n  port: 0\nqueues:\n  q:\n    refuse_empty: true\n")
    assert "refuse_empty" in run("-f", conf, "--check-config").stderr
    with ServerProcess(tmp_path / "spool", "-f", conf, source=copy) as server:
        replies = ask(server, b"set q 0 0 1\r\n1\r\nset q 0 0 0\r\n\r\nset other 0 0 0\r\n\r\n")
        assert replies == b"STORED\r\nSERVER_ERROR items without data are refused\r\nSTORED\r\n"
        assert b"refuse_empty=true" in ask(server, b"dump_config q\r\n")


def test_the_command_is_answered(server: ServerProcess, tmp_path: Path, copy: Path) -> None:
    lines = b"length jobs\r\nset jobs 0 0 1\r\n1\r\nlength jobs\r\nlength jobs/peek\r\n"
    assert ask(server, lines).startswith(b"ERROR\r\nSTORED\r\nERROR\r\n")
    apply("A command", copy)
    with ServerProcess(tmp_path / "other", source=copy) as changed:
        replies = ask(changed, lines).split(b"\r\n")
        assert replies[:3] == [b"0", b"STORED", b"1"]
        assert replies[3].startswith(b"CLIENT_ERROR")


def test_the_statistic_counts(tmp_path: Path, copy: Path) -> None:
    apply("A statistic", copy)
    with ServerProcess(tmp_path / "spool", source=copy) as server:
        replies = ask(server, b"monitor q 0\r\nstats\r\nstats reset\r\nstats\r\n")
    told = re.findall(rb"^STAT cmd_monitor (\d+)\r$", replies, re.MULTILINE)
    assert told == [b"1", b"0"]


def test_the_format_is_written_and_read_and_refused_by_older_servers(
    server: ServerProcess, tmp_path: Path, copy: Path
) -> None:
    spool = tmp_path / "spool"
    assert ask(server, b"set jobs 0 0 1\r\n1\r\n") == b"STORED\r\n"
    server.kill()
    apply("The journal's format", copy)
    with ServerProcess(spool, source=copy) as changed:
        assert ask(changed, b"get jobs+child\r\nset jobs 0 0 1\r\n2\r\n") == b"END\r\nSTORED\r\n"
        changed.restart()
        assert ask(changed, b"get jobs+child\r\nget jobs\r\nget jobs\r\n").count(b"VALUE") == 3
        assert ask(changed, b"get jobs+other\r\n") == b"END\r\n"
        changed.restart()
        assert b"STAT queue_jobs+other_items 0" in ask(changed, b"stats queues\r\n")
        assert changed.stop() == 0
    newer = f"newer than this server's {segment.VERSION}"
    with ServerProcess(spool) as older:
        assert ask(older, b"set jobs 0 0 1\r\n3\r\n").startswith(
            b"SERVER_ERROR the queue is refused"
        )
        assert newer in "".join(older.log)
    main = "import sys; from starling_py.offline.cli import main; sys.exit(main(sys.argv[1:]))"
    dump = [sys.executable, "-c", main, "dump", str(spool / "jobs%2bother")]
    told = subprocess.run(dump, cwd=copy, capture_output=True, check=True, text=True).stdout
    assert "make" in [line.split()[2] for line in told.splitlines()], told
