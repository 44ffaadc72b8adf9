"""Suites of other projects: a test fails if and only if it is listed, with the reason."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.rows import ROOT, TIER
from tests.clients.suites import SOURCES, SUITES, Suite

OPTIONS = ("-rA", "-q", "--tb=line", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", ".")
RESULT = re.compile(r"^(PASSED|FAILED|ERROR|SUBFAILED)\S* (?:\[[^]]*\] |\([^)]*\) )?(\S+)", re.M)


@pytest.mark.skipif(TIER == "checkout", reason="scripts/clients fetches the suites")
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_exactly_those_fail_that_a_queue_cannot_pass(suite: Suite, tmp_path: Path) -> None:
    folder = tmp_path / suite.folder
    shutil.copytree(SOURCES / suite.folder, folder)
    for name, text in suite.added.items():
        (folder / name).write_text(text)
    spools = tmp_path / "spools"
    spools.mkdir()
    alone = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--net", "--map-root-user")
    beside = (sys.executable, ROOT / "tests/clients/in_namespace.py", spools, suite.ports)
    done = subprocess.run(
        [*alone, *beside, suite.python, "-m", "pytest", *OPTIONS, "-W", "ignore", *suite.files],
        capture_output=True,
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        timeout=600,
    )
    results = RESULT.findall(done.stdout)
    failed = {name for result, name in results if result != "PASSED"}
    passed = {name for _, name in results} - failed
    told = done.stdout + done.stderr
    assert sorted(failed - suite.failing) == [], f"these should pass: {told}"
    assert sorted(suite.failing - failed) == [], f"these pass by now: {told}"
    assert len(passed | failed) == suite.tests
