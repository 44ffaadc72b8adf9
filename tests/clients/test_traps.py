"""What docs/clients.md warns of is what the clients do, and what it advises helps.

Not tried is xmemcached, which merges gets that are sent at the same time: no package of it can be
installed as the others are. The lease of a pool's reliable read is a check of the uniform test.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.clients.driver import Driver, DriverError
from tests.clients.relay import Relay
from tests.clients.rows import starter
from tests.process.server_process import ServerProcess, wait_until

SETTINGS = """
queues:
  full: {max_items: 1}
  kept: {max_items: 1, refuse_delete: true}
  lasting: {ignore_client_expiry: true}
"""
Start: TypeAlias = Callable[..., Driver]

PYMEMCACHE, DJANGO, DJANGO_PYLIBMC = (
    "pymemcache Client",
    "Django PyMemcacheCache",
    "Django PyLibMCCache",
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Start a server that has queues with the settings above."""
    config = tmp_path / "starling.yml"
    config.write_text(SETTINGS)
    with ServerProcess(tmp_path / "spool", "--config", config) as process:
        yield process


@pytest.fixture
def relay(server: ServerProcess) -> Iterator[Relay]:
    """Return what listens to the client."""
    with Relay(server.port) as relay:
        yield relay


@pytest.fixture
def start(relay: Relay, tmp_path: Path) -> Iterator[Start]:
    """Return what starts a client by the name of its row."""
    with contextlib.ExitStack() as stack:

        def start(row: str, client: str = "") -> Driver:
            command = starter(row, client)
            return stack.enter_context(Driver(command, relay.port, tmp_path / "stderr"))

        yield start


def test_pymemcaches_defaults_take_a_refused_put_for_one_that_worked(
    start: Start,
) -> None:
    asking, by_defaults = start(PYMEMCACHE), start("pymemcache Client, its defaults")
    assert asking.put("full", "one")
    assert by_defaults.put("full", "two")
    # It was not told of it, so it may be on its way: what is answered behind it is not.
    assert by_defaults.get("empty") is None
    assert not asking.put("full", "three")
    assert [asking.get("full") for _ in range(2)] == ["one", None]


@pytest.mark.tier("always")
def test_django_gives_items_300_seconds_unless_its_timeout_is_none(
    start: Start, relay: Relay
) -> None:
    by_defaults, told = start(DJANGO, "django-defaults"), start(DJANGO)
    by_defaults.put_plainly("jobs", "one")
    told.put_plainly("jobs", "two")
    assert relay.times_said(b"set jobs 16 300 3") == 1
    assert relay.times_said(b"set jobs 16 0 3") == 1


@pytest.mark.tier("always")
@pytest.mark.parametrize("row", [DJANGO, DJANGO_PYLIBMC])
def test_djangos_in_takes_an_item(start: Start, row: str) -> None:
    django = start(row)
    django.put_plainly("jobs", "one")
    assert django.contains("jobs")
    assert django.get("jobs") is None


@pytest.mark.tier("always")
@pytest.mark.parametrize("row", [DJANGO, DJANGO_PYLIBMC])
def test_django_deletes_a_queue_that_refused_a_put_unless_that_is_refused(
    start: Start, row: str
) -> None:
    django = start(row)
    for queue in ("full", "kept"):
        django.put_plainly(queue, "one")
        django.put_plainly(queue, "two")
    assert django.get("full") is None
    assert [django.get("kept") for _ in range(2)] == ["one", None]


@pytest.mark.tier("always")
def test_a_queue_that_ignores_client_expiry_keeps_what_should_be_dead(
    start: Start,
) -> None:
    client = start("python-memcached")
    for queue in ("jobs", "lasting"):
        assert client.put(queue, "one", ttl=-1)
    assert [client.get(queue) for queue in ("jobs", "lasting")] == [None, "one"]


@pytest.mark.tier("always")
def test_what_a_pool_opened_is_not_closed_by_its_next_call(
    server: ServerProcess, start: Start
) -> None:
    pool = start("aiomcache")
    assert pool.put("jobs", "one")
    assert pool.get("jobs/open") == "one"
    with contextlib.suppress(DriverError):
        assert pool.get("jobs/close") is None
    with contextlib.closing(server.client()) as client:
        assert client.stats()[b"queue_jobs_open_transactions"] == 1
    pool.end()
    assert start(PYMEMCACHE).get("jobs/t=5000") == "one"


@pytest.mark.tier("full")
def test_walmarts_client_gives_items_60_seconds_unless_told_otherwise(
    start: Start, relay: Relay
) -> None:
    client = start("Node memcache-client")
    assert client.put_plainly("jobs", "one")
    assert client.put("jobs", "two")
    assert relay.times_said(b"set jobs 0 60 3") == 1
    assert relay.times_said(b"set jobs 0 0 3") == 1


@pytest.mark.tier("full")
@pytest.mark.parametrize(("row", "client"), [("Dalli", ""), ("memjs", "memjs-defaults")])
def test_a_get_that_outlasts_the_time_out_is_sent_again(
    server: ServerProcess, start: Start, relay: Relay, row: str, client: str
) -> None:
    driver = start(row, client)
    with ThreadPoolExecutor(1) as pool, contextlib.closing(server.client()) as producer:
        getting = pool.submit(driver.get, "jobs/t=9000")
        wait_until(lambda: relay.times_said(b"jobs/t=9000") > 1)
        producer.set("jobs", b"one")
        with contextlib.suppress(DriverError):
            getting.result()


@pytest.mark.tier("full")
def test_memjs_sends_a_get_once_if_it_is_told_to(start: Start, relay: Relay) -> None:
    driver = start("memjs", "memjs-once")
    assert driver.get("jobs/t=1500") is None
    assert relay.times_said(b"jobs/t=1500") == 1
