"""Collects what came of the rows, and shows it as a table when all is done."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.rows import PAGE, ROWS, is_in_effect
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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of a tier that is not in effect."""
    left_out = [
        item
        for item in items
        if (mark := item.get_closest_marker("tier")) is not None and not is_in_effect(mark.args[0])
    ]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the table; also in the documentation, if CLIENTS_WRITE says so."""
    if results := config.stash.get(_RESULTS, []):
        terminalreporter.section("clients")
        terminalreporter.write(markdown(results))
        if "CLIENTS_WRITE" in os.environ:
            write_into(PAGE, results, [row.name for row in ROWS])
