"""What a server makes of its process: how far Python's collector looks."""

import subprocess
import sys

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
