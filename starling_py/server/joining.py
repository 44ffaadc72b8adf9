"""Makes a member of a group from the settings; only a server with ``engine: jetstream`` loads it.

The client library for NATS is an extra, so it is looked for here, and what the settings lack is
told before anything begins.
"""

import secrets

from starling_py.journal.disk.files import Files
from starling_py.replica.link import Group, Link
from starling_py.server.errors import StartError
from starling_py.server.listening import address_of
from starling_py.server.replicated import Member
from starling_py.server.signals import Signals
from starling_py.server.surroundings import Surroundings
from starling_py.settings.server_settings import Settings

_STARTS = "/proc/sys/kernel/random/boot_id"


def member(
    settings: Settings,
    segments: int,
    signals: Signals,
    around: Surroundings,
) -> Member:
    """Return a server of the group that the settings name. Raises ``StartError``."""
    try:
        from starling_py.replica.nats_stream import Cluster, NatsStream
    except ImportError as error:
        raise StartError(
            f"engine: jetstream needs nats-py: pip install 'starling-py[jetstream]' ({error})"
        ) from error
    servers = settings.servers
    assert servers is not None
    paths = [
        None if each is None else str(each)
        for each in (
            settings.servers_credentials,
            settings.servers_ca,
            settings.servers_cert,
            settings.servers_key,
        )
    ]
    cluster = Cluster(servers.urls, settings.stream, settings.replicas, settings.takeover, *paths)
    address = settings.advertise or address_of(around.listeners[0])
    files = Files()
    try:
        started = bytes.fromhex(files.read(_STARTS).decode().strip().replace("-", ""))
    except (OSError, ValueError):
        started = secrets.token_bytes(16)  # no start is known to be the same as another one
    group = Group(address, settings.takeover)
    link = Link(lambda: NatsStream(cluster), group, files, str(settings.queue_path), started)
    return Member(settings, segments, link, signals, around)
