"""What NATS servers say of themselves decides whether they are used at all."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from starling_py.replica.nats_servers import Seen, look_at
from tests.process.server_process import free_port, run
from tests.replica.test_credentials import nats_server

GREETING = {"version": "2.12.0", "max_payload": 1 << 20}


@asynccontextmanager
async def saying(greeting: bytes, answer: bytes = b"") -> AsyncIterator[tuple[int, int]]:
    """Give the ports of a server that greets with this, and of its monitoring."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + answer)
        writer.close()

    first = await asyncio.start_server(greet, "127.0.0.1", 0)
    second = await asyncio.start_server(tell, "127.0.0.1", 0)
    async with first, second:
        yield first.sockets[0].getsockname()[1], second.sockets[0].getsockname()[1]


def seen(greeting: bytes, answer: bytes = b"") -> Seen:
    """Return what is heard of such a server."""

    async def look() -> Seen:
        async with saying(greeting, answer) as (port, monitoring):
            (found,) = await look_at([f"nats://me:secret@127.0.0.1:{port}"], monitoring)
            assert found.where == f"127.0.0.1:{port}"
            return found

    return asyncio.run(look())


def info(**told: object) -> bytes:
    return b"INFO " + json.dumps({**GREETING, **told}).encode() + b" \r\n"


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({}, None),
        ({"version": "3.0.0-RC.1"}, None),
        ({"version": "2.11.99"}, "is NATS 2.11.99; 2.12 or newer is needed"),
        ({"version": "1.4"}, "is NATS 1.4; 2.12"),
        ({"max_payload": 1000}, "takes messages of 1000 bytes; 524288 are needed"),
    ],
)
def test_a_server_that_is_too_old_or_takes_too_little_is_refused(
    told: dict[str, object], problem: str | None
) -> None:
    found = seen(info(**told)).problem()
    assert (found is None) == (problem is None)
    assert problem is None or problem in str(found)


@pytest.mark.parametrize("greeting", [b"", b"INFO {}\r\n", b"220 mail\r\n", b"\xff" * 100])
def test_of_what_does_not_greet_as_nats_nothing_is_known(greeting: bytes) -> None:
    found = seen(greeting)
    assert (found.version, found.syncs, found.problem()) == ("", None, None)


@pytest.mark.parametrize(
    ("answer", "syncs"),
    [
        (b'{"config": {"sync_always": true}}', True),
        (b'{"config": {"sync_interval": 120000000000}}', False),
        (b"{}", None),
        (b"[]", None),
        (b"nothing", None),
        (b"", None),
    ],
)
def test_the_monitoring_tells_whether_each_message_is_synced(
    answer: bytes, syncs: bool | None
) -> None:
    found = seen(info(), answer)
    assert (found.version, found.syncs) == ("2.12.0", syncs)


@pytest.mark.parametrize("sync", ["always", "2m"])
def test_a_server_that_does_not_sync_is_named(tmp_path: Path, sync: str) -> None:
    with free_port() as monitoring:
        with nats_server(tmp_path, f"http: 127.0.0.1:{monitoring}\n", sync) as port:
            done = run(
                *("-q", tmp_path / "spool", "-p", "0", "--engine", "jetstream"),
                *("--servers", f"nats://127.0.0.1:{port}", "--sync", "always"),
                *("--set", f"servers_monitoring={monitoring}"),
            )
        told = done.stderr
    # With three replicas, one server alone is refused, too.
    assert "more than one replica needs a cluster of NATS servers" in told
    unsafe = re.search(rf"127.0.0.1:{port} does not sync each message", told)
    assert (unsafe is None) == (sync == "always")
