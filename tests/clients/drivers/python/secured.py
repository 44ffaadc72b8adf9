"""Clients that say who they are, over TLS if asked: ``secured.py CLIENT PORT [CA]``.

Each puts an item into ``jobs``, takes it, and asks for ``other``, which its user may not. Printed
is what it was told of that, or why the client cannot be used.
"""

import asyncio
import ssl
import sys
from importlib import import_module
from typing import Any

HOST, USER, PASSWORD = "127.0.0.1", "anna", "geheim"


def context(authority: str) -> ssl.SSLContext | None:
    """Return what TLS is spoken with, if it is."""
    return ssl.create_default_context(cafile=authority) if authority else None


async def pymemcache(port: int, authority: str) -> object:
    """Say it with the first set, as memcached's own documentation does."""
    make: Any = import_module("pymemcache.client.base").Client
    client = make((HOST, port), tls_context=context(authority), default_noreply=False)
    assert client.set("auth", f"{USER} {PASSWORD}")
    assert client.set("jobs", "x")
    assert client.get("jobs") == b"x"
    return client.get("other")


async def bmemcached(port: int, authority: str) -> object:
    """Say it by SASL."""
    make: Any = import_module("bmemcached").Client
    client = make((f"{HOST}:{port}",), USER, PASSWORD, tls_context=context(authority))
    assert client.set("jobs", "x")
    assert client.get("jobs") == "x"
    return client.get("other")


async def emcache(port: int, authority: str) -> object:
    """Say it as the library does."""
    library: Any = import_module("emcache")
    client = await library.create_client(
        [library.MemcachedHostAddress(HOST, port)],
        ssl=bool(authority),
        ssl_extra_ca=authority or None,
        username=USER,
        password=PASSWORD,
        timeout=60,
    )
    try:
        await client.set(b"jobs", b"x")
        assert (await client.get(b"jobs")).value == b"x"
        return await client.get(b"other")
    finally:
        await client.close()


async def memcachio(port: int, authority: str) -> object:
    """Say it as the library does."""
    make: Any = import_module("memcachio").Client
    client = make((HOST, port), username=USER, password=PASSWORD, ssl_context=context(authority))
    assert await client.set("jobs", "x")
    assert [each.value for each in (await client.get("jobs")).values()] == [b"x"]
    return await client.get("other")


CLIENTS = {each.__name__: each for each in (pymemcache, bmemcached, emcache, memcachio)}


def main() -> None:
    """Run one client."""
    name, port, authority = [*sys.argv[1:], ""][:3]
    try:
        told = asyncio.run(CLIENTS[name](int(port), authority))
    except ImportError as error:
        print(f"missing: {error}")
    except Exception as error:
        print(f"refused: {error!r}")
    else:
        print(f"told: {told!r}")


if __name__ == "__main__":
    main()
