"""What every test of the server in process starts from."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.in_process import Servers


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Servers]:
    """Give what starts servers; settings go by their names."""
    async with Servers.on(tmp_path / "spool") as servers:
        yield servers
