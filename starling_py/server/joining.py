"""Makes a member of a group from the settings; only a server with ``engine: jetstream`` loads it.

The client library for NATS is an extra, so it is looked for here, and what the settings lack is
told before anything begins.
"""

import secrets
import socket
from collections.abc import Callable, Sequence

from starling_py.journal.disk.files import Files
from starling_py.replica.link import Group, Link
from starling_py.server.access import Access
from starling_py.server.errors import StartError
from starling_py.server.host import LogLines
from starling_py.server.listening import address_of
from starling_py.server.replicated import Member
from starling_py.server.signals import Signals
from starling_py.server.supervisor import Supervisor
from starling_py.server.web_opening import Opened
from starling_py.settings.server_settings import Settings

_STARTS = "/proc/sys/kernel/random/boot_id"


def member(
    settings: Settings,
    segments: int,
    listeners: Sequence[socket.socket],
    read_settings: Callable[[], Settings],
    lines: LogLines,
    signals: Signals,
    on_serving: Callable[[], None],
    access: Access,
    supervisor: Supervisor,
    web: Opened | None,
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
    address = settings.advertise or address_of(listeners[0])
    files = Files()
    try:
        started = bytes.fromhex(files.read(_STARTS).decode().strip().replace("-", ""))
    except (OSError, ValueError):
        started = secrets.token_bytes(16)  # no start is known to be the same as another one
    group = Group(address, settings.takeover)
    link = Link(lambda: NatsStream(cluster), group, files, str(settings.queue_path), started)
    return Member(
        settings,
        segments,
        link,
        listeners,
        read_settings,
        lines,
        signals,
        on_serving,
        access,
        supervisor,
        web,
    )
