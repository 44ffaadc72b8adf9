"""What tests of every kind may start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core import Client, Core
from tests.process.server_process import ServerProcess, free_port


@pytest.fixture
def core(tmp_path: Path) -> Core:
    """Return the synchronous core of a server, on a spool of its own."""
    return Core(tmp_path / "spool")


@pytest.fixture
def client(core: Core) -> Client:
    """Return a client of that."""
    return core.client()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Start a server as a process of its own, on a spool of its own."""
    with ServerProcess(tmp_path / "spool") as process:
        yield process


@pytest.fixture
def port() -> Iterator[int]:
    """Return a port on which nobody listens, unless the test starts somebody there."""
    with free_port() as kept:
        yield kept
