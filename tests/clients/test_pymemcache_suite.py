"""pymemcache's own integration tests, which are in its package: which pass is known case by case.

Of its 100 cases, 28 ask what a queue has an answer to (`FOR_A_QUEUE`). 9 more pass that prove less:
`test_misc` knows only statistics of a cache and `cache_memlimit`, `test_get_set_large` with one of
its two serializers only that too large an item is refused. The 63 others cannot pass, as each wants
one of these, which no setting of a queue can give:

- an item is still there when it has been read (`test_get_set`, `test_get_set_unicode_key`,
  `test_add_replace`, the other half of `test_get_set_large`): 39;
- it is changed where it is: `append` and `prepend` lengthen it, `cas` compares it, `incr` and
  `decr` count in it, `touch` gives it another expiry: 24.

The tests begin with `flush_all`, so it is allowed here. It leaves the queues that it empties, with
their settings and readers, and `delete` then says that there was one. So `test_delete`, which
deletes what no test may have used, has a server to itself; the other tests share one.
"""

import importlib.util
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from tests.process.server_process import ServerProcess

CLASSES = ("Client", "PooledClient", "HashClientSingle")


def _cases(test: str, *options: tuple[str, ...]) -> set[str]:
    return {f"{test}[{'-'.join(('socket', *each))}]" for each in product(*options)}


PREFIXES = ("", "prefix")
SERDES = ("serde0", "serde1")
FOR_A_QUEUE = {
    *_cases("test_gets", CLASSES, PREFIXES),
    *_cases("test_delete", CLASSES, PREFIXES),
    *_cases("test_errors", CLASSES),
    *_cases("test_serialization_deserialization"),
    *_cases("test_serde_serialization", CLASSES, SERDES),
    *_cases("test_serde_serialization0", CLASSES),
    *_cases("test_serde_serialization2", CLASSES),
}
PASS_AS_WELL = {
    *_cases("test_misc", CLASSES, PREFIXES),
    *_cases("test_get_set_large", CLASSES, ("serde0",), ("True",)),
}
CANNOT_PASS = {
    *_cases("test_get_set", CLASSES, PREFIXES, SERDES),
    *_cases("test_get_set_unicode_key", CLASSES, PREFIXES, SERDES),
    *_cases("test_add_replace", CLASSES, PREFIXES, SERDES),
    *_cases("test_get_set_large", CLASSES, ("serde1",), ("False",)),
    *_cases("test_append_prepend", CLASSES, PREFIXES),
    *_cases("test_cas", CLASSES, PREFIXES),
    *_cases("test_incr_decr", CLASSES, PREFIXES),
    *_cases("test_touch", CLASSES, PREFIXES),
}


def test_there_are_28_cases_for_a_queue_and_100_in_all() -> None:
    assert len(FOR_A_QUEUE) == 28
    assert len(FOR_A_QUEUE | PASS_AS_WELL | CANNOT_PASS) == 100


@pytest.mark.parametrize("of_delete", [True, False], ids=["test_delete", "all-others"])
def test_exactly_those_pass_that_make_sense_for_a_queue(
    flushed_server: ServerProcess, tmp_path: Path, *, of_delete: bool
) -> None:
    package = importlib.util.find_spec("pymemcache")
    assert package is not None
    assert package.origin is not None
    suite = Path(package.origin).parent / "test" / "test_integration.py"
    server = ("--server", "127.0.0.1", "--port", str(flushed_server.port))
    chosen = ("-k", "test_delete" if of_delete else "not test_delete")
    # The suite is no part of this project, and so are its warnings and its leaks.
    options = ("-rA", "-q", "--tb=no", "-p", "no:cacheprovider", "-c", "/dev/null", "-W", "ignore")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *server, *chosen, str(suite)],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        text=True,
        timeout=600,
    )
    results = re.findall(r"^(PASSED|FAILED|ERROR) \S*::(\S+)", done.stdout, re.MULTILINE)
    passed = {case for result, case in results if result == "PASSED"}
    failed = {case for result, case in results if result != "PASSED"}
    assert passed == _meant(FOR_A_QUEUE | PASS_AS_WELL, of_delete=of_delete), done.stdout
    assert failed == _meant(CANNOT_PASS, of_delete=of_delete), done.stdout


def _meant(cases: set[str], *, of_delete: bool) -> set[str]:
    return {case for case in cases if case.startswith("test_delete[") == of_delete}
