"""What the tests of ``starling-journal`` start from."""

import pytest

from tests.offline.journals import Command


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    """Give the command."""
    return Command(capsys)
