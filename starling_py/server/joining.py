"""Makes a member of a group from the settings; only a server with ``engine: jetstream`` loads it.

The client library for NATS is an extra, so it is looked for here, and what the settings lack is
told before anything begins.
"""

import asyncio
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from starling_py.journal.disk.files import Files
from starling_py.replica.link import Group, Link
from starling_py.replica.stream import ClusterError, NotAnsweredError
from starling_py.server.errors import StartError
from starling_py.server.replicated import Member
from starling_py.server.signals import Signals
from starling_py.server.surroundings import Surroundings
from starling_py.settings.errors import ConfigError
from starling_py.settings.server_settings import Settings

if TYPE_CHECKING:
    from starling_py.replica.nats_stream import NatsStream

_PATIENCE = 30.0
"""Seconds for all that is asked of a cluster."""
_STARTS = "/proc/sys/kernel/random/boot_id"


def member(
    settings: Settings,
    segments: int,
    signals: Signals,
    around: Surroundings,
) -> Member:
    """Return a server of the group that the settings name. Raises ``StartError``."""
    open_stream = _stream(settings)
    address = settings.advertise or around.addresses[0]
    files = Files()
    try:
        started = bytes.fromhex(files.read(_STARTS).decode().strip().replace("-", ""))
    except (OSError, ValueError):
        started = secrets.token_bytes(16)  # no start is known to be the same as another one
    group = Group(address, settings.takeover)
    link = Link(open_stream, group, files, str(settings.queue_path), started)
    return Member(settings, segments, link, signals, around)


def look(settings: Settings) -> str:
    """Return what the cluster has for a server, in words, and change nothing.

    Raises ``ConfigError`` if it must not be used, and ``StartError`` if it does not answer.
    """
    stream = _stream(settings)()
    found: Future[str] = Future()

    async def looked() -> None:
        try:
            found.set_result(await stream.look())
        except Exception as error:
            found.set_exception(error)
        await stream.close()

    # In a thread that nobody waits for: what the client library has begun may not end.
    threading.Thread(target=lambda: asyncio.run(looked()), daemon=True).start()
    try:
        return found.result(_PATIENCE)
    except TimeoutError as error:
        raise StartError("the cluster does not answer") from error
    except ClusterError as error:
        raise ConfigError([str(error)]) from error
    except NotAnsweredError as error:
        raise StartError(f"the cluster does not answer: {error}") from error


def _stream(settings: Settings) -> "Callable[[], NatsStream]":
    """Return what makes the stream of a group. Raises ``StartError``."""
    try:
        from starling_py.replica.nats_stream import Cluster, NatsStream
    except ImportError as error:
        raise StartError(
            f"engine: jetstream needs nats-py: pip install 'starling-py[jetstream]' ({error})"
        ) from error
    servers = settings.servers
    assert servers is not None

    def path(given: object) -> str | None:
        return None if given is None else str(given)

    cluster = Cluster(
        servers.urls,
        settings.stream,
        settings.replicas,
        settings.takeover,
        path(settings.servers_credentials),
        path(settings.servers_ca),
        path(settings.servers_cert),
        path(settings.servers_key),
        monitoring=settings.servers_monitoring,
        always=settings.sync.kind == "always",
    )
    return lambda: NatsStream(cluster)
