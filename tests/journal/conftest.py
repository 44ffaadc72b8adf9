"""What the tests of the journal share."""

import pytest

from tests.journal.simulated_disk import SimulatedDisk
from tests.journal.spool_harness import empty_disk


@pytest.fixture
def disk() -> SimulatedDisk:
    """Return a disk with an empty spool on it."""
    return empty_disk()
