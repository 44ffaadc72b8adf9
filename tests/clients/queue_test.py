"""The uniform test: what every client must be able to do with queues."""

import itertools
import re
import time
from collections.abc import Callable, Iterator

import attrs
from pymemcache.client.base import Client

from tests.clients.driver import Driver, DriverError

TYPES: dict[str, object] = {
    "text": "grüße",
    "integer": 42,
    "float": 2.5,
    "truth": True,
    "list": [1, "two", [3]],
    "map": {"name": "job", "tries": [1, 2]},
}
ODD_NAMES = (":1:jobs", "noreply", ".hidden", "..jobs", "a,b;c=d*e%41~f|g&h", '"quoted"')
_ALL_BYTES = bytes(range(256)) + b"\r\nEND\r\nset jobs 0 0 1\r\n\x00"
_LIFE = 1
"""Seconds that an item lives in the test of the expiry; the smallest number there is."""
_PATIENCE = 60.0
"""Seconds in which an item must be there that was put without a reply."""


@attrs.define
class Bench:
    """Two processes with the client under test, and the names of queues that nobody has used."""

    one: Driver
    two: Driver
    control: Client
    """A connection of the test's own."""
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    def queue(self) -> str:
        """Return a new name."""
        return f"queue{next(self._numbers)}"

    def first_id(self, name: str) -> int:
        """Return the id of a queue's first item; the client may have put something to the name."""
        deadline = time.monotonic() + _PATIENCE
        while not (names := self._known(name)) and time.monotonic() < deadline:
            time.sleep(0.02)
        (known,) = names
        found = self.control.gets(f"{known.removeprefix('queue_').removesuffix('_items')}/peek")
        return int(found[1])

    def check_put(self, name: str, *texts: str) -> None:
        """Put texts with the first process, and check that each is stored."""
        for text in texts:
            assert self.one.put(name, text), f"{text!r} was not stored"

    def take(self, driver: Driver, name: str) -> str | None:
        """Take an item that is there, or will be soon if it was put without a reply."""
        deadline = time.monotonic() + _PATIENCE
        while (item := driver.get(name)) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return item

    def _known(self, name: str) -> list[str]:
        """Return the statistic of a queue's items, under the name that the server knows."""
        told = [key.decode("latin-1") for key in self.control.stats()]
        return [key for key in told if re.fullmatch(rf"queue_.*{name}_items", key)]


def order(bench: Bench) -> None:
    """Take items in the order in which they were put, and then find none."""
    name = bench.queue()
    bench.check_put(name, "one", "two", "three")
    assert [bench.one.get(name) for _ in range(4)] == ["one", "two", "three", None]


def miss(bench: Bench) -> None:
    """Find nothing in a queue that nobody has used."""
    assert bench.one.get(bench.queue()) is None


def types(bench: Bench) -> None:
    """Get values back with the types that the client keeps by itself."""
    for kind in sorted(bench.one.types):
        name, sample = bench.queue(), TYPES[kind]
        assert bench.one.put_data(name, sample), f"{kind} was not stored"
        back = bench.one.get_data(name)
        assert (type(back), back) == (type(sample), sample), f"{kind}: {back!r}"


def all_bytes(bench: Bench) -> None:
    """Get every byte back, and what looks like commands."""
    name = bench.queue()
    assert bench.one.put(name, _ALL_BYTES)
    assert bench.one.get_bytes(name) == _ALL_BYTES


def large(bench: Bench) -> None:
    """Get 100 KB back whole."""
    name, value = bench.queue(), "0123456789" * 10_240
    bench.check_put(name, value)
    assert bench.one.get(name) == value


def second_connection(bench: Bench) -> None:
    """Take in one process what another one has put."""
    name = bench.queue()
    bench.check_put(name, "here")
    assert bench.take(bench.two, name) == "here"
    assert bench.one.get(name) is None


def delete(bench: Bench) -> None:
    """Delete a queue with its items."""
    name = bench.queue()
    bench.check_put(name, "one", "two")
    assert bench.one.delete(name)
    assert bench.one.get(name) is None


def delete_unknown(bench: Bench) -> None:
    """Fail to delete a queue that is not there, and go on."""
    name = bench.queue()
    assert not bench.one.delete(name)
    assert bench.one.get(name) is None


def several_queues(bench: Bench) -> None:
    """Take one item from each of several queues that has any, with one get."""
    first, empty, second = bench.queue(), bench.queue(), bench.queue()
    bench.check_put(first, "one", "later")
    bench.check_put(second, "two")
    assert bench.one.get_many(first, empty, second) == {first: "one", second: "two"}
    assert bench.one.get_many(first, empty, second) == {first: "later"}


def noreply(bench: Bench) -> None:
    """Put without a reply: the items arrive, and no reply goes astray."""
    name = bench.queue()
    for text in ("one", "two"):
        bench.one.put(name, text, noreply=True)
    assert [bench.take(bench.one, name) for _ in range(2)] == ["one", "two"]
    bench.check_put(name, "three")
    assert bench.take(bench.one, name) == "three"


def expiry(bench: Bench) -> None:
    """Put with an expiry: an item lives as long as that, and no longer."""
    name = bench.queue()
    assert bench.one.put(name, "lives", ttl=60)
    assert bench.one.get(name) == "lives"
    assert bench.one.put(name, "dies", ttl=_LIFE)
    bench.check_put(name, "stays")
    # Answered behind the puts, which may have been told without a reply: its life has begun.
    assert bench.one.get(bench.queue()) is None
    time.sleep(_LIFE + 0.1)
    assert [bench.one.get(name) for _ in range(2)] == ["stays", None]


def odd_names(bench: Bench) -> None:
    """Use odd names."""
    for name in ODD_NAMES:
        _check_name(bench, name)


def longest_name(bench: Bench) -> None:
    """Use a name of 250 bytes."""
    _check_name(bench, "k" * 250)


def _check_name(bench: Bench, name: str) -> None:
    bench.check_put(name, name)
    assert [bench.one.get(name) for _ in range(2)] == [name, None]


def queue_statistics(bench: Bench) -> None:
    """Learn how many items a queue has."""
    name = bench.queue()
    bench.check_put(name, "one", "two", "three")
    assert int(bench.one.stats()[f"queue_{name}_items"]) == 3


def statistics(bench: Bench) -> None:
    """Learn how many items there are."""
    before = int(bench.one.stats()["curr_items"])
    bench.check_put(bench.queue(), "one", "two")
    assert int(bench.one.stats()["curr_items"]) == before + 2


def version(bench: Bench) -> None:
    """Learn the server's version."""
    assert bench.one.version() == bench.control.version().decode()


def flush_all(bench: Bench) -> None:
    """Flush all, which succeeds; what is queued stays unless the server is told to let it go."""
    name = bench.queue()
    bench.check_put(name, "stays")
    assert bench.one.flush_all()
    assert bench.one.get(name) == "stays"


def reliable_read(bench: Bench) -> None:
    """Open an item: it is kept until it is closed, and comes back when it is aborted."""
    name = bench.queue()
    bench.check_put(name, "one", "two")
    assert bench.one.get(f"{name}/open") == "one"
    assert bench.two.get(name) == "two"
    assert bench.one.get(f"{name}/abort") is None
    assert bench.one.get(f"{name}/open") == "one"
    assert bench.one.get(f"{name}/close") is None
    assert bench.two.get(name) is None


def lease(bench: Bench) -> None:
    """Open an item with a lease, and close it by its number from another process."""
    name = bench.queue()
    bench.check_put(name, "one", "two")
    first = bench.first_id(name)
    assert bench.one.get(f"{name}/open/lease=30") == "one"
    assert bench.two.get(f"{name}/close={first}") is None
    assert bench.two.get(f"{name}/open/lease=30") == "two"
    assert bench.one.get(f"{name}/abort={first + 1}") is None
    assert bench.two.get(name) == "two"


def blocking_get(bench: Bench) -> None:
    """Wait for an item: get what is there, and a miss when the time is over."""
    name = bench.queue()
    bench.check_put(name, "one")
    assert [bench.one.get(f"{name}/t=50") for _ in range(2)] == ["one", None]


CHECKS: tuple[Callable[[Bench], None], ...] = (
    order,
    miss,
    types,
    all_bytes,
    large,
    second_connection,
    delete,
    delete_unknown,
    several_queues,
    noreply,
    expiry,
    odd_names,
    longest_name,
    queue_statistics,
    statistics,
    version,
    flush_all,
    blocking_get,
    reliable_read,
    lease,
)


def outcome(check: Callable[[Bench], None], bench: Bench) -> str | None:
    """Return what went wrong, or ``None``."""
    try:
        check(bench)
    except (AssertionError, DriverError, KeyError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None
