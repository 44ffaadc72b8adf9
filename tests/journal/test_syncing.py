"""Where a journal's files are found."""

from starling_py.journal.syncing import is_there
from tests.journal.simulated_disk import SimulatedDisk
from tests.journal.spool_harness import DIRECTORY

FINAL = f"{DIRECTORY}/0000000000000001.segment"


def test_a_segment_that_gets_its_name_meanwhile_is_there() -> None:
    for calls in range(4):
        disk = SimulatedDisk.holding({f"{FINAL}.new": b"x"})
        left = calls

        def name_it(disk: SimulatedDisk = disk) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                disk.before_call = None
                disk.rename(f"{FINAL}.new", FINAL)

        disk.before_call = name_it
        assert is_there(disk, (FINAL, None)), f"named before call {calls}"
