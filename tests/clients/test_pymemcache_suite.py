"""pymemcache's own integration tests, which are in its package: which pass is known by name.

Those that fail do so by design: they read an item twice, or they count, or they expect that a
second put replaces the first.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from tests.process.server_process import ServerProcess

PASS = {
    "test_errors",
    "test_gets",
    "test_misc",
    "test_serde_serialization",
    "test_serde_serialization0",
    "test_serde_serialization2",
    "test_serialization_deserialization",
}
PASS_IN_PART = {
    "test_delete",  # it takes a queue that was flushed for one that is not there
    "test_get_set_large",  # one half wants too large an item to be refused, the other reads twice
}
TESTS = 100
"""How many there are, without those that pymemcache itself skips."""


def test_exactly_those_pass_that_make_sense_for_a_queue(
    flushed_server: ServerProcess, tmp_path: Path
) -> None:
    package = importlib.util.find_spec("pymemcache")
    assert package is not None
    assert package.origin is not None
    suite = Path(package.origin).parent / "test" / "test_integration.py"
    server = ("--server", "127.0.0.1", "--port", str(flushed_server.port))
    # The suite is no part of this project, and so are its warnings and its leaks.
    options = ("-rA", "-q", "--tb=no", "-p", "no:cacheprovider", "-c", "/dev/null", "-W", "ignore")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *server, str(suite)],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        text=True,
        timeout=120,
    )
    results = re.findall(r"^(PASSED|FAILED|ERROR) \S*::(\w+)", done.stdout, re.MULTILINE)
    passed = {name for result, name in results if result == "PASSED"}
    failed = {name for result, name in results if result != "PASSED"}
    assert len(results) == TESTS, done.stdout
    assert passed - failed == PASS, done.stdout
    assert passed & failed == PASS_IN_PART, done.stdout
