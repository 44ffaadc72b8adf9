"""What the scripts install, compile and say, in a fresh checkout and in one that is set up."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

import starling_py
from tests.process.server_process import ROOT

SETTING_UP = 600.0
"""Seconds that installing or compiling may take beside other work."""

INSTALLING = "scripts/install: installing what the server and the examples need"


class Checkout:
    """A checkout whose scripts are run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(
        self, *command: str, code: int = 0, environment: Mapping[str, str] | None = None
    ) -> tuple[str, list[str]]:
        """Return what a script that ends with ``code`` printed, and the lines it told on stderr."""
        done = subprocess.run(
            [self.path / command[0], *command[1:]],
            capture_output=True,
            check=False,
            env={**os.environ, **(environment or {})},
            text=True,
            timeout=SETTING_UP,
        )
        assert done.returncode == code, done.stderr
        # What pip tells of the machine's own settings is not the scripts' matter.
        told = [line for line in done.stderr.splitlines() if not line.startswith("WARNING: ")]
        return done.stdout, told

    def has(self, *programs: str) -> list[str]:
        """Return which of these programs are installed."""
        return [name for name in programs if (self.path / ".venv/bin" / name).exists()]


@pytest.fixture
def fresh(tmp_path: Path) -> Checkout:
    """Return a copy of the checkout in which nothing is set up."""
    made_here = shutil.ignore_patterns(".*", "__pycache__", "*.so", "spool", "build", "dist")
    return Checkout(shutil.copytree(ROOT, tmp_path / "checkout", ignore=made_here))


def test_a_checkout_that_is_set_up_is_silent_about_it() -> None:
    checkout = Checkout(ROOT)
    checkout.run("scripts/install")
    printed, told = checkout.run("scripts/server", "--version")
    assert printed == f"starling-py {starling_py.described()}\n"
    assert told == []


@pytest.mark.long
def test_the_server_is_set_up_without_the_tools_of_the_tests(fresh: Checkout) -> None:
    printed, told = fresh.run("scripts/server", "--version")
    assert printed == f"starling-py {starling_py.__version__}\n"
    assert told == ["scripts/install: making .venv", INSTALLING]
    assert fresh.has("starling-py", "pytest", "mypy", "ruff") == ["starling-py"]

    assert fresh.run("scripts/server", "--version") == (printed, [])

    _, told = fresh.run("scripts/install")
    assert len(told) == 1
    assert told[0].startswith("scripts/install: installing what the server, its tests")
    assert fresh.has("pytest", "mypy", "ruff") == ["pytest", "mypy", "ruff"]
    assert fresh.run("scripts/server", "--version") == (printed, [])


@pytest.mark.long
def test_the_server_is_compiled_when_asked_and_when_its_sources_changed(fresh: Checkout) -> None:
    printed, told = fresh.run("scripts/server", "--compiled", "--version")
    assert printed == f"starling-py {starling_py.__version__} (compiled)\n"
    assert told[:4] == [
        "scripts/install: making .venv",
        INSTALLING,
        "scripts/install: installing what compiling needs",
        "scripts/compile: compiling (about a minute)",
    ]
    assert told[-1].startswith("scripts/compile: compiled ")
    assert fresh.has("pytest", "ruff") == []

    up_to_date = ["scripts/compile: what is compiled is up to date"]
    assert fresh.run("scripts/server", "--version", "--compiled") == (printed, up_to_date)

    with (fresh.path / "starling_py/clock.py").open("a") as source:
        source.write("\n")
    old = ["scripts/compile: removing what was compiled: the sources have changed since"]
    pure = f"starling-py {starling_py.__version__}\n"
    assert fresh.run("scripts/server", "--version") == (pure, old)
    assert not [*fresh.path.glob("*.so"), *fresh.path.glob("starling_py/**/*.so")]

    nowhere = {"CC": "/nowhere/cc"}
    _, told = fresh.run("scripts/server", "--compiled", code=1, environment=nowhere)
    assert len(told) == 1
    assert told[0].startswith("cannot run the C compiler: No such file or directory: /nowhere/cc")
