"""What each NATS server says of itself: in its greeting, and by its monitoring where that is known.

The greeting comes before anybody has said who it is, so it needs no credentials. A server that does
not answer now tells nothing, and nothing is held against it.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any, Final

import attrs

PORT: Final = 4222
LEAST_VERSION: Final = (2, 12)
"""Older ones have lost whole streams, or lack what is used."""
PAYLOAD: Final = 512 << 10
"""Bytes of a message that a server must take."""
_PATIENCE: Final = 2.0
_MOST: Final = 1 << 20
_URL: Final = re.compile(r"(?:\w+)://(?:[^@/]*@)?([^:/]+)(?::(\d+))?")


@attrs.frozen
class Seen:
    """What was heard of one server."""

    where: str
    """``host:port``, without the user."""
    version: str = ""
    """Empty if it did not answer."""
    payload: int = 1 << 20
    """Bytes of the largest message that it takes."""
    syncs: bool | None = None
    """Whether it syncs each message; ``None`` if that is not known."""

    def problem(self) -> str | None:
        """Return why the server must not be used, if so."""
        if not self.version:
            return None
        numbers = tuple(map(int, re.findall(r"\d+", self.version)[:2]))
        if numbers < LEAST_VERSION:
            return (
                f"{self.where} is NATS {self.version}; 2.12 or newer is needed, as older ones have"
                " lost streams"
            )
        if self.payload < PAYLOAD:
            return f"{self.where} takes messages of {self.payload} bytes; {PAYLOAD} are needed"
        return None


async def look_at(urls: Sequence[str], monitoring: int | None) -> list[Seen]:
    """Return what was heard of each server; ``monitoring`` is the port of their monitoring."""
    return list(await asyncio.gather(*(_look(each, monitoring) for each in urls)))


async def _look(url: str, monitoring: int | None) -> Seen:
    match = _URL.match(url)
    host, port = (match[1], int(match[2] or PORT)) if match else ("", PORT)
    seen = Seen(f"{host}:{port}")
    try:
        async with asyncio.timeout(_PATIENCE):
            told = json.loads((await _said(host, port, b"")).partition(b" ")[2])
            version, payload = str(told["version"]), int(told["max_payload"])
            seen = attrs.evolve(seen, version=version, payload=payload)
            if monitoring is not None:
                asked = b"GET /jsz HTTP/1.0\r\n\r\n"
                answer = await _said(host, monitoring, asked)
                syncs = _syncs(json.loads(answer.partition(b"\r\n\r\n")[2]))
                seen = attrs.evolve(seen, syncs=syncs)
    except (OSError, ValueError, KeyError, TypeError, TimeoutError):
        pass  # what is not heard of it is not known
    return seen


def _syncs(told: Any) -> bool:  # noqa: ANN401 - what JSON may be
    return bool(told["config"].get("sync_always", False))


async def _said(host: str, port: int, asked: bytes) -> bytes:
    """Return what a server says: its first line if it is asked nothing, else all of it."""
    reader, writer = await asyncio.open_connection(host, port, limit=_MOST)
    try:
        if not asked:
            return await reader.readline()
        writer.write(asked)
        return await _all(reader)
    finally:
        writer.close()


async def _all(reader: asyncio.StreamReader) -> bytes:
    told = b""
    while (more := await reader.read(_MOST)) and len(told) < _MOST:
        told += more
    return told
