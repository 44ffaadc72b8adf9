"""What tests of every kind may start from."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from starling_py.connecting import dialing, login
from starling_py.connecting.address import SERVER_VARIABLE
from tests.core import Client, CoreHarness
from tests.process.guarded import Guarded, guarded_server
from tests.process.server_process import ServerProcess, free_port

MOST_WORKERS = 4
"""Processes among which the whole run is shared out; nobody has tried more."""
LONGEST = ("replica", "simulation", "process", "server", "bench", "examples")
"""Folders whose files take longest: they go first, so that no worker is left alone with one."""

TESTS = Path(__file__).parent

# How long an example takes says more about what else the machine is doing.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Share out the whole run; starting workers takes longer than most of what may be chosen."""
    whole = (
        config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and config.option.markexpr == "not long"
        and not config.option.keyword
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = min((cores or 1) + 2, MOST_WORKERS)  # as a third of the time is spent waiting
    return workers if whole else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest folders first, and leave everything else as it is."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.relative_to(TESTS).parts[0], len(ranks)))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Have the collector pass over the tests themselves, which stay until the end.

    They are a million objects, and tests that count what is left behind look at all that it knows.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def core(tmp_path: Path) -> CoreHarness:
    """Return the synchronous core of a server, on a spool of its own."""
    return CoreHarness(tmp_path / "spool")


@pytest.fixture
def client(core: CoreHarness) -> Client:
    """Return a client of that."""
    return core.client()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Start a server as a process of its own, on a spool of its own."""
    with ServerProcess(tmp_path / "spool") as process:
        yield process


@pytest.fixture
def port() -> Iterator[int]:
    """Return a port on which nobody listens, unless the test starts somebody there."""
    with free_port() as kept:
        yield kept


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Empty the environment of what says who connects, and where to."""
    names = (login.USER, login.PASSWORD, login.PASSWORD_FILE, SERVER_VARIABLE)
    for name in (*names, dialing.AUTHORITY, dialing.CERTIFICATE):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """Start a server with users and TLS."""
    with guarded_server(tmp_path) as running:
        yield running
