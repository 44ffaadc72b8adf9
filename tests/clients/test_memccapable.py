"""memcached's own conformance tests, as far as a queue can be a cache: which pass is known by name.

Those that fail do so by design: they count, they read an item twice, they expect that a second put
replaces the first.
"""

import re
import shutil
import subprocess

import pytest

from tests.clients.rows import TIER
from tests.process.server_process import ServerProcess

CANNOT_PASS = {
    "ascii": {
        "append",
        "append noreply",
        "cas",
        "decr",
        "decr noreply",
        # It wants a word too many to be an error, which memcached ignores by now.
        "delete",
        "delete noreply",
        "incr",
        "incr noreply",
        "prepend",
        "prepend noreply",
    },
    "binary": {
        "append",
        "appendq",
        "decr",
        "decrq",
        "incr",
        "incrq",
        "prepend",
        "prependq",
        "replace",
        "replaceq",
        "set",
        "setq",
    },
}
ALL = 27
"""How many tests there are of each dialect."""

pytestmark = pytest.mark.skipif(
    TIER == "checkout" and shutil.which("memccapable") is None,
    reason="memccapable (libmemcached-tools) is not installed",
)


@pytest.mark.parametrize("dialect", ["ascii", "binary"])
def test_all_pass_but_those_that_cannot(flushed_server: ServerProcess, dialect: str) -> None:
    command = ["memccapable", "-h", "127.0.0.1", "-p", str(flushed_server.port), f"-{dialect[0]}"]
    done = subprocess.run(
        command, capture_output=True, check=False, encoding="utf-8", errors="replace", timeout=300
    )
    # A failure is told on standard error; on standard output, nothing follows the name.
    results = re.findall(rf"\b{dialect} (\w+(?: \w+)*)\s+(\[pass\])?", done.stdout)
    failed = {name for name, passed in results if not passed}
    assert len(results) == ALL, done.stdout
    assert failed == CANNOT_PASS[dialect], done.stdout + done.stderr
