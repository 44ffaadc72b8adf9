"""What a server makes of its process: how far Python's collector looks."""

import gc
import subprocess
import sys

import trio

from tests.server.in_process import PATIENCE, Servers

SCRIPT = """
import gc
from starling_py.server import process

process.collect_only_the_young()
before = [each["collections"] for each in gc.get_stats()]
kept = [[] for _ in range(1_000_000)]
after = [each["collections"] for each in gc.get_stats()]
print(*(late - early for late, early in zip(after, before)))
"""


def test_the_collector_never_looks_at_all_there_is_at_once() -> None:
    """As many objects as many queues have; by Python's own settings it looks at all of them."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )
    young, older, all_there_is = map(int, done.stdout.split())
    assert young >= 90
    assert (older, all_there_is) == (0, 0)


FREED = """
import resource
from starling_py.server import process

process.keep_freed_memory()

def turn():
    return [bytes(102_400) for _ in range(80)]

turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    turn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, process._SET is not None)
"""


def test_turns_that_send_large_items_use_the_same_memory_again() -> None:
    """Eight megabytes are two thousand pages, which the system would have to clear each time."""
    done = subprocess.run(
        [sys.executable, "-c", FREED], capture_output=True, text=True, check=True, timeout=60
    )
    faults, is_glibc = done.stdout.split()
    assert int(faults) < 20_000 or is_glibc == "False"


async def test_what_is_new_is_looked_at_though_old_things_go_meanwhile(start: Servers) -> None:
    """It counts down for what goes: by itself, the collector would never begin."""
    gc.disable()
    try:
        await start()
        new: list[object] = []
        with trio.fail_after(PATIENCE):
            while any(each is new for each in gc.get_objects(generation=0)):
                await trio.sleep(0.05)
    finally:
        gc.enable()
