"""Suites of other projects: a test fails if and only if it is listed, with the reason."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.rows import ROOT
from tests.clients.suites import SOURCES, SUITES, Suite

OPTIONS = ("-rA", "-q", "--tb=line", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", ".")
RESULT = re.compile(
    r"^(PASSED|FAILED|ERROR|SUBFAILED)\S* (?:\[[^]]*\] |\([^)]*\) )?(\S+)", re.MULTILINE
)


IN_PERL = """
for file in %s; do
    printf 'flush_all\\r\\nquit\\r\\n' | nc -N 127.0.0.1 11211 >/dev/null
    echo "file $file"
    perl -Ilib -It/lib "$file" 2>/dev/null
done
"""
NUMBERED = re.compile(r"^file (\S+)$|^(ok|not ok) (\d+)(?!.*# TODO)", re.MULTILINE)


@pytest.mark.parametrize(
    "suite",
    [pytest.param(each, marks=pytest.mark.tier(each.tier), id=each.name) for each in SUITES],
)
def test_exactly_those_fail_that_a_queue_cannot_pass(suite: Suite, tmp_path: Path) -> None:
    if suite.in_perl and not (SOURCES / suite.folder).is_dir():
        pytest.skip("Debian's sources are not to be had here")
    folder = tmp_path / "suite"
    shutil.copytree(SOURCES / suite.folder, folder)
    for name, text in suite.added.items():
        (folder / name).write_text(text)
    if suite.in_perl:
        told = run(suite, tmp_path, ["sh", "-c", IN_PERL % " ".join(suite.files)])
        failed, passed = numbered(told)
    else:
        options = (*OPTIONS, "-W", "ignore", *suite.files)
        told = run(suite, tmp_path, [str(suite.python), "-m", "pytest", *options])
        results = RESULT.findall(told)
        failed = {name for result, name in results if result != "PASSED"}
        passed = {name for _, name in results} - failed
    assert sorted(failed - suite.failing) == [], f"these should pass: {told}"
    assert sorted(suite.failing - failed) == [], f"these pass by now: {told}"
    assert len(passed | failed) == suite.tests, told


def run(suite: Suite, folder: Path, command: list[str]) -> str:
    """Run a command in the suite, beside servers of its own; return what it says."""
    spools = folder / "spools"
    spools.mkdir()
    alone = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--net", "--map-root-user")
    beside = (sys.executable, ROOT / "tests/clients/in_namespace.py", spools, suite.ports)
    done = subprocess.run(
        [*alone, *beside, *command],
        capture_output=True,
        check=False,
        cwd=folder / "suite",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        timeout=600,
    )
    return done.stdout + done.stderr


def numbered(told: str) -> tuple[set[str], set[str]]:
    """Return what failed and what passed of Perl's tests, by file and number."""
    failed: set[str] = set()
    passed: set[str] = set()
    file = ""
    for begun, result, number in NUMBERED.findall(told):
        file = begun or file
        if result:
            (passed if result == "ok" else failed).add(f"{file}:{number}")
    return failed, passed
