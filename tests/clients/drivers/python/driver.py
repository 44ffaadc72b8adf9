"""The Python clients: ``driver.py CLIENT PORT [CA]`` speaks what ``tests/clients/driver.py`` says.

Each client is a class that does with its library what the uniform test asks for. With an
authority, it speaks TLS to the server, by its own means.
"""

import asyncio
import base64
import importlib.metadata
import json
import ssl
import sys
from collections.abc import Awaitable, Iterable, Mapping
from importlib import import_module
from typing import Any, ClassVar, TypeAlias

HOST = "127.0.0.1"
AUTHORITY = sys.argv[3] if len(sys.argv) > 3 else ""
"""The file with the authority of the server's certificate; empty where there is no TLS."""
Untyped: TypeAlias = Any
"""What the libraries take and give: most of them know no types."""


def tls() -> ssl.SSLContext | None:
    """Return what TLS is spoken with, if it is."""
    return ssl.create_default_context(cafile=AUTHORITY) if AUTHORITY else None


class Client:
    """What the clients have in common; each one has in ``client`` what its library gives it."""

    distribution: ClassVar[str]
    """The package that is installed."""
    cannot: ClassVar[tuple[str, ...]] = ()
    """Checks that it has no means for, though it has the methods."""
    types: ClassVar[tuple[str, ...]] = ()
    """Types that it keeps by itself."""
    client: Untyped

    def __init__(self, port: int) -> None:
        raise NotImplementedError

    def text(self, value: str) -> Untyped:
        """Return a text as the client wants it."""
        return value

    def put(self, queue: str, value: Untyped, ttl: int, noreply: bool) -> bool:
        """Put an item; tell what the client says."""
        return bool(self.client.set(queue, value, ttl))

    def get(self, queue: str) -> Untyped:
        """Take an item."""
        return self.client.get(queue)

    def get_many(self, queues: list[str]) -> Mapping[Untyped, Untyped]:
        """Take an item from each."""
        values: Mapping[Untyped, Untyped] = self.client.get_multi(queues)
        return values

    def delete(self, queue: str) -> bool:
        """Delete a queue."""
        return bool(self.client.delete(queue))

    def stats(self) -> Mapping[Untyped, Untyped]:
        """Return the server's statistics."""
        stats: Mapping[Untyped, Untyped] = self.client.get_stats()[0][1]
        return stats

    def version(self) -> Untyped:
        """Return the server's version."""
        return self.stats()["version"]

    def flush_all(self) -> bool:
        """Flush all; no answer is a yes."""
        return self.client.flush_all() is not False

    def put_plainly(self, queue: str, value: str) -> bool:
        """Put a text, and say nothing else; tell what the client says."""
        return bool(self.client.set(queue, value))

    def contains(self, queue: str) -> bool:
        """Ask whether there is an item."""
        return queue in self.client


ANY_TYPE = ("text", "integer", "float", "truth", "list", "map")


class Pymemcache(Client):
    distribution = "pymemcache"
    types: ClassVar[tuple[str, ...]] = ANY_TYPE
    options: ClassVar[Mapping[str, object]] = {"default_noreply": False}

    def __init__(self, port: int) -> None:
        serde = import_module("pymemcache.serde").pickle_serde
        self.client = self.make((HOST, port), serde=serde, tls_context=tls(), **self.options)

    def make(self, server: tuple[str, int], **options: object) -> Untyped:
        return import_module("pymemcache.client.base").Client(server, **options)

    def put(self, queue: str, value: Untyped, ttl: int, noreply: bool) -> bool:
        # None leaves it to the client's default.
        return bool(self.client.set(queue, value, expire=ttl, noreply=noreply or None))

    def get_many(self, queues: list[str]) -> Mapping[Untyped, Untyped]:
        values: Mapping[Untyped, Untyped] = self.client.get_many(queues)
        return values

    def stats(self) -> Mapping[Untyped, Untyped]:
        stats: Mapping[Untyped, Untyped] = self.client.stats()
        return stats

    def version(self) -> Untyped:
        return self.client.version()


class PymemcacheDefaults(Pymemcache):
    cannot: ClassVar[tuple[str, ...]] = ("delete_unknown",)  # it is never told
    options: ClassVar[Mapping[str, object]] = {}


class PymemcachePooled(Pymemcache):
    def make(self, server: tuple[str, int], **options: object) -> Untyped:
        return import_module("pymemcache.client.base").PooledClient(server, **options)


class PymemcacheHash(Pymemcache):
    cannot: ClassVar[tuple[str, ...]] = ("queue_statistics", "statistics", "version")

    def make(self, server: tuple[str, int], **options: object) -> Untyped:
        return import_module("pymemcache.client.hash").HashClient([server], **options)


class PymemcacheRetrying(Pymemcache):
    def make(self, server: tuple[str, int], **options: object) -> Untyped:
        retrying = import_module("pymemcache.client.retrying").RetryingClient
        return retrying(super().make(server, **options), attempts=3, retry_delay=0.01)


class PythonMemcached(Client):
    distribution = "python-memcached"
    types: ClassVar[tuple[str, ...]] = ("text", "integer", "float", "list", "map")

    def __init__(self, port: int) -> None:
        self.client = import_module("memcache").Client([f"{HOST}:{port}"])

    def put(self, queue: str, value: Untyped, ttl: int, noreply: bool) -> bool:
        return bool(self.client.set(queue, value, ttl, noreply=noreply))


class Pylibmc(Client):
    distribution = "pylibmc"
    cannot: ClassVar[tuple[str, ...]] = (
        "noreply",
        "queue_statistics",
    )  # it drops statistics that it does not know
    types: ClassVar[tuple[str, ...]] = ("text", "integer", "float", "list", "map")
    binary = False

    def __init__(self, port: int) -> None:
        self.client = import_module("pylibmc").Client([f"{HOST}:{port}"], binary=self.binary)


class PylibmcBinary(Pylibmc):
    binary = True


class Bmemcached(Client):
    distribution = "python-binary-memcached"
    cannot: ClassVar[tuple[str, ...]] = ("delete_unknown", "noreply")  # it takes it for a success
    types: ClassVar[tuple[str, ...]] = ANY_TYPE

    def __init__(self, port: int) -> None:
        self.client = import_module("bmemcached").Client((f"{HOST}:{port}",), tls_context=tls())

    def stats(self) -> Mapping[Untyped, Untyped]:
        stats: Mapping[Untyped, Untyped] = next(iter(self.client.stats().values()))
        return stats


class Libmc(Client):
    distribution = "libmc"
    cannot: ClassVar[tuple[str, ...]] = ("delete_unknown", "noreply")  # it takes it for a success
    types: ClassVar[tuple[str, ...]] = ANY_TYPE

    def __init__(self, port: int) -> None:
        libmc = import_module("libmc")
        self.client = libmc.Client([f"{HOST}:{port}"])
        self.client.config(libmc.MC_CONNECT_TIMEOUT, 1000)  # 10 ms unless told otherwise
        self.client.config(libmc.MC_POLL_TIMEOUT, 3000)
        self.client.toggle_flush_all_feature(True)

    def stats(self) -> Mapping[Untyped, Untyped]:
        stats: Mapping[Untyped, Untyped] = next(iter(self.client.stats().values()))
        return stats


class Django(Client):
    distribution = "Django"
    cannot: ClassVar[tuple[str, ...]] = ("noreply", "queue_statistics", "statistics", "version")
    types: ClassVar[tuple[str, ...]] = ANY_TYPE
    backend = "PyMemcacheCache"
    options: ClassVar[Mapping[str, object]] = {"TIMEOUT": None}

    def __init__(self, port: int) -> None:
        context = tls()
        cache = {
            **({"OPTIONS": {"tls_context": context}} if context else {}),
            "BACKEND": f"django.core.cache.backends.memcached.{self.backend}",
            "LOCATION": f"{HOST}:{port}",
            **self.options,
            "KEY_FUNCTION": lambda key, prefix, version: key,
        }
        import_module("django.conf").settings.configure(CACHES={"default": cache})
        self.client = import_module("django.core.cache").cache

    def put(self, queue: str, value: Untyped, ttl: int, noreply: bool) -> bool:
        self.client.set(queue, value, ttl or None)  # None: no expiry; 0: dead at once
        return True  # it does not say

    def get_many(self, queues: list[str]) -> Mapping[Untyped, Untyped]:
        values: Mapping[Untyped, Untyped] = self.client.get_many(queues)
        return values

    def flush_all(self) -> bool:
        return self.client.clear() is not False


class DjangoPylibmc(Django):
    types: ClassVar[tuple[str, ...]] = Pylibmc.types
    backend = "PyLibMCCache"


class DjangoDefaults(Django):
    options: ClassVar[Mapping[str, object]] = {}


class Async(Client):
    """A client of asyncio."""

    def __init__(self, port: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = self.run(self.make(port))

    async def make(self, port: int) -> Untyped:
        raise NotImplementedError

    def run(self, what: Awaitable[Untyped]) -> Untyped:
        async def waiting() -> Untyped:
            return await what

        return self.loop.run_until_complete(waiting())


class OfBytes(Async):
    """A client that knows only bytes."""

    def text(self, value: str) -> Untyped:
        return value.encode()


class Aiomcache(OfBytes):
    distribution = "aiomcache"
    cannot: ClassVar[tuple[str, ...]] = (
        "noreply",
        "reliable_read",
    )  # its calls alternate between two connections

    async def make(self, port: int) -> Untyped:
        return import_module("aiomcache").Client(HOST, port)

    def put(self, queue: str, value: Untyped, ttl: int, noreply: bool) -> bool:
        return bool(self.run(self.client.set(queue.encode(), value, exptime=ttl)))

    def get(self, queue: str) -> Untyped:
        return self.run(self.client.get(queue.encode()))

    def get_many(self, queues: list[str]) -> Mapping[Untyped, Untyped]:
        values = self.run(self.client.multi_get(*(queue.encode() for queue in queues)))
        return present(zip(queues, values, strict=True))

    def delete(self, queue: str) -> bool:
        return bool(self.run(self.client.delete(queue.encode())))

    def stats(self) -> Mapping[Untyped, Untyped]:
        stats: Mapping[Untyped, Untyped] = self.run(self.client.stats())
        return stats

    def version(self) -> Untyped:
        return self.run(self.client.version())

    def flush_all(self) -> bool:
        return self.run(self.client.flush_all()) is not False


class Aiocache(Async):
    distribution = "aiocache"
    cannot: ClassVar[tuple[str, ...]] = (
        "all_bytes",  # its default, JSON, has no bytes
        "noreply",
        "queue_statistics",
        "statistics",
        "version",
        "reliable_read",
    )
    types: ClassVar[tuple[str, ...]] = ANY_TYPE

    async def make(self, port: int) -> Untyped:
        return import_module("aiocache").Cache.from_url(f"memcached://{HOST}:{port}")

    def put(self, queue: str, value: Untyped, ttl: int, noreply: bool) -> bool:
        return bool(self.run(self.client.set(queue, value, ttl=ttl)))

    def get(self, queue: str) -> Untyped:
        return self.run(self.client.get(queue))

    def get_many(self, queues: list[str]) -> Mapping[Untyped, Untyped]:
        return present(zip(queues, self.run(self.client.multi_get(queues)), strict=True))

    def delete(self, queue: str) -> bool:
        return bool(self.run(self.client.delete(queue)))

    def flush_all(self) -> bool:
        return bool(self.run(self.client.clear()))


class Emcache(OfBytes):
    distribution = "emcache"

    async def make(self, port: int) -> Untyped:
        emcache = import_module("emcache")
        self.emcache = emcache
        self.address = emcache.MemcachedHostAddress(HOST, port)
        return await emcache.create_client(
            [self.address], timeout=60.0, ssl=bool(AUTHORITY), ssl_extra_ca=AUTHORITY or None
        )

    def put(self, queue: str, value: Untyped, ttl: int, noreply: bool) -> bool:
        self.run(self.client.set(queue.encode(), value, exptime=ttl, noreply=noreply))
        return True  # otherwise it raises an error

    def get(self, queue: str) -> Untyped:
        item = self.run(self.client.get(queue.encode()))
        return None if item is None else item.value

    def get_many(self, queues: list[str]) -> Mapping[Untyped, Untyped]:
        items = self.run(self.client.get_many([queue.encode() for queue in queues]))
        return {key: item.value for key, item in items.items()}

    def delete(self, queue: str) -> bool:
        try:
            self.run(self.client.delete(queue.encode()))
        except self.emcache.NotFoundCommandError:
            return False
        return True

    def stats(self) -> Mapping[Untyped, Untyped]:
        stats: Mapping[Untyped, Untyped] = self.run(self.client.stats(self.address))
        return stats

    def version(self) -> Untyped:
        return self.run(self.client.version(self.address))

    def flush_all(self) -> bool:
        return self.run(self.client.flush_all(self.address)) is not False


class Memcachio(OfBytes):
    distribution = "memcachio"

    async def make(self, port: int) -> Untyped:
        return import_module("memcachio").Client((HOST, port), ssl_context=tls())

    def put(self, queue: str, value: Untyped, ttl: int, noreply: bool) -> bool:
        return bool(self.run(self.client.set(queue, value, expiry=ttl, noreply=noreply)))

    def get(self, queue: str) -> Untyped:
        return self.get_many([queue]).get(queue.encode())

    def get_many(self, queues: list[str]) -> Mapping[Untyped, Untyped]:
        items = self.run(self.client.get(*queues))
        return {key: item.value for key, item in items.items()}

    def delete(self, queue: str) -> bool:
        return bool(self.run(self.client.delete(queue)))

    def stats(self) -> Mapping[Untyped, Untyped]:
        stats: Mapping[Untyped, Untyped] = next(iter(self.run(self.client.stats()).values()))
        return stats

    def version(self) -> Untyped:
        return next(iter(self.run(self.client.version()).values()))

    def flush_all(self) -> bool:
        return bool(self.run(self.client.flushall()))


class MetaMemcache(Client):
    distribution = "meta-memcache"
    cannot: ClassVar[tuple[str, ...]] = ("queue_statistics", "statistics", "version", "flush_all")
    types: ClassVar[tuple[str, ...]] = ANY_TYPE

    def __init__(self, port: int) -> None:
        library = import_module("meta_memcache")
        self.client = library.CacheClient.cache_client_from_servers(
            servers=[library.ServerAddress(HOST, port)],
            connection_pool_factory_fn=library.connection_pool_factory_builder(),
        )

    def put(self, queue: str, value: Untyped, ttl: int, noreply: bool) -> bool:
        return bool(self.client.set(queue, value, ttl=ttl, no_reply=noreply))

    def get_many(self, queues: list[str]) -> Mapping[Untyped, Untyped]:
        values = self.client.multi_get(queues)
        return present((getattr(key, "key", key), value) for key, value in values.items())


class Memcache(Client):
    distribution = "memcache"
    cannot: ClassVar[tuple[str, ...]] = (
        "delete_unknown",  # it does not say
        "several_queues",
        "noreply",
        "queue_statistics",
        "statistics",
        "version",
    )
    types: ClassVar[tuple[str, ...]] = ("text", "integer", "float", "list", "map")

    def __init__(self, port: int) -> None:
        library = import_module("memcache")
        self.client = library.Memcache((HOST, port))

    def put(self, queue: str, value: Untyped, ttl: int, noreply: bool) -> bool:
        self.client.set(queue, value, expire=ttl or None)
        return True  # it does not say, nor look

    def delete(self, queue: str) -> bool:
        self.client.delete(queue)
        return True


CLIENTS: Mapping[str, type[Client]] = {
    "pymemcache": Pymemcache,
    "pymemcache-defaults": PymemcacheDefaults,
    "pymemcache-pooled": PymemcachePooled,
    "pymemcache-hash": PymemcacheHash,
    "pymemcache-retrying": PymemcacheRetrying,
    "python-memcached": PythonMemcached,
    "pylibmc": Pylibmc,
    "pylibmc-binary": PylibmcBinary,
    "bmemcached": Bmemcached,
    "libmc": Libmc,
    "django-pymemcache": Django,
    "django-pylibmc": DjangoPylibmc,
    "django-defaults": DjangoDefaults,
    "aiomcache": Aiomcache,
    "aiocache": Aiocache,
    "emcache": Emcache,
    "memcachio": Memcachio,
    "meta-memcache": MetaMemcache,
    "memcache": Memcache,
}


def present(values: Iterable[tuple[str, Untyped]]) -> dict[str, Untyped]:
    """Return those that are there."""
    return {key: value for key, value in values if value is not None}


def as_text(value: Untyped) -> str:
    """Return a value that was put as a text."""
    return value.decode() if isinstance(value, bytes | bytearray) else str(value)


def outgoing(client: Client, kind: str, value: Untyped) -> Untyped:
    """Return what the client is to put."""
    if kind == "bytes":
        return base64.b64decode(value)
    return client.text(value) if kind == "text" else value


def incoming(kind: str, value: Untyped) -> Untyped:
    """Return what the client got as it stands in the answer."""
    if value is None or kind == "data":
        return value
    if kind == "bytes":
        return base64.b64encode(value).decode()
    return as_text(value)


def answer(client: Client, request: dict[str, Untyped]) -> dict[str, Untyped]:
    """Do what is asked."""
    match request["do"]:
        case "put":
            value = outgoing(client, request["as"], request["value"])
            done = client.put(request["queue"], value, request["ttl"], request["noreply"])
            return {"ok": done}
        case "get":
            return {"value": incoming(request["as"], client.get(request["queue"]))}
        case "get_many":
            values = client.get_many(request["queues"])
            return {"values": {as_text(key): as_text(value) for key, value in values.items()}}
        case "delete":
            return {"ok": client.delete(request["queue"])}
        case "stats":
            stats = client.stats().items()
            return {"stats": {as_text(name): as_text(value) for name, value in stats}}
        case "version":
            return {"version": as_text(client.version())}
        case "put_plainly":
            return {"ok": client.put_plainly(request["queue"], request["value"])}
        case "contains":
            return {"ok": client.contains(request["queue"])}
        case _:
            return {"ok": client.flush_all()}


def say(what: Mapping[str, Untyped]) -> None:
    """Write one line."""
    print(json.dumps(what, default=repr), flush=True)


def main() -> None:
    """Answer requests until there are no more."""
    kind = CLIENTS[sys.argv[1]]
    try:
        version = importlib.metadata.version(kind.distribution)
        client = kind(int(sys.argv[2]))
    except ImportError as error:
        say({"missing": f"Python: {error}"})
        return
    say({"version": version, "cannot": kind.cannot, "types": kind.types})
    for line in sys.stdin:
        try:
            say(answer(client, json.loads(line)))
        except Exception as error:
            say({"error": repr(error)})


if __name__ == "__main__":
    main()
