"""A server for an example that has a configuration of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.running import EXAMPLES
from tests.process.server_process import ServerProcess


@pytest.fixture
def configured_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    """Start a server with the file of this name from the examples, on a spool of its own."""
    with ServerProcess(tmp_path / "spool", "--config", EXAMPLES / request.param) as process:
        yield process
