"""How direct the way of a put and of a get is: calls of the project's own functions for each.

Counted are the calls of functions whose code stands in ``starling_py``, on a server that serves
real sockets, one whole turn of its loop included. A layer more is quickly added and seldom missed,
so the counts are kept here, and so is what docs/architecture.md says of both ways. Of some rounds
the one with the fewest counts: in the others, the housekeeping had its turn too.
"""

import contextlib
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import FrameType

import pytest

import starling_py
from tests.server.in_process import Client, RunningServer, Servers
from tests.test_house import rows

SOURCES = str(Path(starling_py.__file__).parent)
MOST = 20
"""Calls for each put and each get of 50 clients that ask at once."""
MOST_ALONE = 60
"""Calls for a put or a get of one client that is alone."""
ROUNDS = 5
VALUE = b"x" * 1024
PUT = b"set jobs 0 0 1024\r\n" + VALUE + b"\r\n"
STORED = b"STORED\r\n"
GET = b"get jobs\r\n"
HIT = b"VALUE jobs 0 1024\r\n" + VALUE + b"\r\nEND\r\n"

pytestmark = pytest.mark.patches  # what is compiled is called without the profiler


class Calls:
    """Counts calls while it is told to."""

    def __init__(self) -> None:
        self.made = 0
        self.functions: list[str] = []
        """Those that were called, by their names with the class."""

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(SOURCES):
            asked = frame.f_back
            # How often it is looked for the next request depends on how late that comes.
            self.made += asked is None or asked.f_code.co_name != "_look"
            self.functions.append(frame.f_code.co_qualname)


async def calls_for(clients: list[Client], asked: bytes, reply: bytes) -> Calls:
    """Have every client ask for something at once; return the calls for all."""
    calls = Calls()
    for client in clients:
        client.say(asked)
    with calls.counted():
        for client in clients:
            await client.expect(reply)
    return calls


@contextlib.asynccontextmanager
async def connected(running: RunningServer, count: int) -> AsyncIterator[list[Client]]:
    """Connect clients, each of which has put and taken an item before."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(running.client()) for _ in range(count)]
        for client in clients:
            await client.expect_reply(PUT + GET, STORED + HIT)
        yield clients


@pytest.mark.parametrize("sync", ["never", "50ms"])
@pytest.mark.parametrize(("count", "most"), [(50, MOST), (1, MOST_ALONE)])
async def test_a_put_and_a_get_make_few_calls(
    start: Servers, count: int, most: int, sync: str
) -> None:
    running = await start(sync=sync)
    async with connected(running, count) as clients:
        rounds = [
            (await calls_for(clients, PUT, STORED), await calls_for(clients, GET, HIT))
            for _ in range(ROUNDS)
        ]
    put, get = (min(each.made for each in kind) / count for kind in zip(*rounds, strict=True))
    print(f"sync {sync}, {count} at once: {put:.1f} calls a put, {get:.1f} a get")
    told = {row[0]: (float(row[1]), int(row[2])) for row in rows("The counts")}
    who = "one client" if count == 1 else f"{count} clients at once"
    for kind, calls in (("put", put), ("get", get)):
        name = f"calls for {'a' if count == 1 else 'each'} {kind} of {who}"
        assert told[name][0] == pytest.approx(calls, abs=most / 10), name
        assert told[name][1] == most
    assert put <= most, f"{put} calls a put"
    assert get <= most, f"{get} calls a get"


@pytest.mark.parametrize(
    ("asked", "reply", "heading"),
    [(PUT, STORED, "The life of a put"), (GET, HIT, "The life of a get")],
)
async def test_the_ways_are_those_of_the_documentation(
    start: Servers, asked: bytes, reply: bytes, heading: str
) -> None:
    named = re.findall(r"`([A-Z]\w+\.\w+|[a-z]+)`", " ".join(row[1] for row in rows(heading)))
    assert len(named) > 15
    running = await start(sync="never")
    async with connected(running, 1) as (client,):
        await client.expect_reply(PUT, STORED)
        called = (await calls_for([client], asked, reply)).functions
    position = 0
    for each in named:
        assert each in called[position:], f"{each} is not called, or sooner"
        position = called.index(each, position)
