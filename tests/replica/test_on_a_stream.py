"""The tests of the server once more, with every server the owner of a stream in memory."""

import os
import subprocess
import sys

import pytest

from tests.process.server_process import ROOT


@pytest.mark.long
def test_servers_on_a_stream_pass_the_tests_of_servers() -> None:
    options = ("-q", "-n2", "--deselect", "tests/server/test_calls.py")  # a group has more calls
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests/server"],
        cwd=ROOT,
        env={**os.environ, "STARLING_TEST_STREAM": "1"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
