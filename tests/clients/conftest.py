"""Collects what came of the rows, and shows it as a table when all is done."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.table import Result, markdown, write_into
from tests.process.server_process import ServerProcess, settings_file

_RESULTS = pytest.StashKey[list[Result]]()


@pytest.fixture
def flushed_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Start a server that really flushes: foreign tests begin with that."""
    config = settings_file(tmp_path, allow_flush_all=True)
    with ServerProcess(tmp_path / "spool", "--config", config) as process:
        yield process


@pytest.fixture(scope="session")
def results(pytestconfig: pytest.Config) -> list[Result]:
    """Return the results of the rows so far."""
    return pytestconfig.stash.setdefault(_RESULTS, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the table; also in a page, if CLIENTS_TABLE names one."""
    if results := config.stash.get(_RESULTS, []):
        terminalreporter.section("clients")
        terminalreporter.write(markdown(results))
        if page := os.environ.get("CLIENTS_TABLE"):
            write_into(Path(page), markdown(results))
