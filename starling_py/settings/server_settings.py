"""The settings of the server, in one table.

Each field of ``Settings`` declares its default, its values, its meaning, its old name and its
command line option once, and ``TABLE`` lists them for help and documentation. The settings of
single queues and the routes are two fields beside the table. Nothing here reads a file, opens a
socket, looks up a user or creates a file; paths are made absolute, which asks for the working
directory and no more.
"""
# ruff: noqa: RUF009 - ``setting`` makes an attrs.field, which is not a default shared by instances

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

import attrs

from starling_py.connecting.address import TCP, TLS, Address, Addresses, is_beyond
from starling_py.security.networks import Networks
from starling_py.settings.cluster import (
    ADVERTISED,
    ENGINE,
    MONITORING,
    REPLICAS,
    SERVERS,
    STREAM,
    TAKEOVER,
    Servers,
)
from starling_py.settings.http_settings import HttpSettings
from starling_py.settings.kinds import (
    COUNT,
    FLAG,
    ITEM_SIZE,
    SECONDS,
    TLS_VERSION,
    WHO,
    Kind,
    from_converted,
    setting,
    table,
    text_of,
    whole,
    word,
    words_of,
)
from starling_py.settings.paths import PATH
from starling_py.settings.problems import Fault
from starling_py.settings.queue_table import QueueTable
from starling_py.settings.routes import Routes
from starling_py.settings.users import Users

_LEVELS: Final = {"WARN": "WARNING", "FATAL": "CRITICAL"} | {
    name: name for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
}


@attrs.frozen
class SyncPolicy:
    """When the journal is forced to disk; ``str()`` gives the form of a file.

    ``kind`` is ``never``, ``interval`` or ``always``. ``interval`` is in seconds: from 0.001 to
    3600 with the kind ``interval``, else 0. Raises ``ValueError`` for anything else.
    """

    kind: Literal["never", "interval", "always"]
    interval: float = 0.0

    def __attrs_post_init__(self) -> None:
        low, high = (0.001, 3600.0) if self.kind == "interval" else (0.0, 0.0)
        if self.kind not in {"never", "interval", "always"} or not low <= self.interval <= high:
            raise ValueError

    def __str__(self) -> str:
        return f"{round(self.interval * 1000)}ms" if self.kind == "interval" else self.kind

    @classmethod
    def parse(cls, text: str) -> "SyncPolicy":
        """Read ``never``, ``always``, ``<n>ms`` or ``<n>s``; else raise ``ValueError``."""
        if text == "never":
            return cls("never")
        if text == "always":
            return cls("always")
        if re.fullmatch("[0-9]+", text):
            raise ValueError("needs its unit, as in 50ms or 1s")
        if not (match := re.fullmatch("([0-9]{1,9})(ms|s)", text)):
            raise ValueError
        return cls("interval", int(match[1]) / (1000 if match[2] == "ms" else 1))


def _level(value: object) -> str:
    if (level := _LEVELS.get(text_of(value).upper())) is None:
        raise ValueError
    return level


def _sync(value: object) -> SyncPolicy:
    if isinstance(value, SyncPolicy):
        return value
    return SyncPolicy.parse(text_of(value, numbers=True).lower())


def _addresses(value: object) -> Addresses:
    if isinstance(value, Addresses):
        return value
    return Addresses(map(Address.listening, words_of(value)))


def _networks(value: object) -> Networks:
    return value if isinstance(value, Networks) else Networks(words_of(value))


def _queues(value: QueueTable | Mapping[str, Mapping[str, object]]) -> QueueTable:
    return value if isinstance(value, QueueTable) else QueueTable(value)


def _users(value: Users | Mapping[str, Mapping[str, object]]) -> Users:
    return value if isinstance(value, Users) else Users(value)


def _routes(value: Routes | Mapping[str, Sequence[str]]) -> Routes:
    return value if isinstance(value, Routes) else Routes(value)


_SHORT_FORM: Final = ("127.0.0.1", 22122)
"""The host and the port that are listened on if nothing is said."""
_LISTEN: Final = Kind("a list of HOST:PORT, tls:HOST:PORT and unix:/PATH", _addresses)
_NETWORKS: Final = Kind("a list of addresses and networks", _networks)
_LEVEL: Final = Kind("DEBUG, INFO, WARN, ERROR or FATAL", _level)
_SYNC: Final = Kind("never, always or a time from 1ms to 3600s", _sync)
_FORMAT: Final = word("text|json", "text or json")
_HOST: Final = word(r"\S{1,253}", "a host name or an address")
_IDENT: Final = word(r"[^\s:\[\]]{1,48}", "a name without spaces, colons and brackets")
_OWNER: Final = word(r"[^\s:/+-][^\s:/]{0,63}", "a name or a number", numbers=True)
_PORT: Final = whole(0, 65535, "a whole number from 0 to 65535")
_SEGMENT_SIZE: Final = whole(4096, 1 << 30, "bytes from 4k to 1g, such as 16m", "[kmg]?")
_WINDOW_SIZE: Final = whole(4096, 1 << 40, "bytes from 4k to 1024g, such as 8m", "[kmg]?")
_MEMORY: Final = whole(4096, 1 << 40, "bytes from 4k to 1024g, such as 2g", "[kmg]?")
_ROOM: Final = whole(0, 1 << 40, "bytes from 0 to 1024g, such as 512m", "[kmg]?")


@attrs.frozen(kw_only=True)
class Settings:
    """All settings of a server, every value judged and every path absolute.

    Sizes are in bytes, times in seconds. Arguments take what a file may have
    (``item_size_max="1m"``) as well as what the fields then hold (``item_size_max=1 << 20``). A
    wrong one raises ``ValueError``. The declaration of each field has its meaning, its range and
    its default. ``queues``, ``users`` and ``routes`` are the sections of a file by these names,
    and no part of ``TABLE``.
    """

    # fmt: off
    host: str = setting("Network", _SHORT_FORM[0], _HOST,
        "Host name or address to listen on", "-h --host HOST")
    port: int = setting("Network", _SHORT_FORM[1], _PORT,
        "TCP port to listen on; 0 takes any free one", "-p --port PORT")
    listen: Addresses | None = setting("Network", None, _LISTEN,
        "Where to listen, in place of host and port", "--listen LIST")
    allow_from: Networks | None = setting("Network", None, _NETWORKS,
        "Networks that clients may come from; none: any", "--allow_from LIST")
    users_file: Path | None = setting("Network", None, PATH,
        "File with the hash of each user's password; none: clients need no password")
    tls_cert: Path | None = setting("Network", None, PATH,
        "File with the certificate that clients are shown, and those that it depends on")
    tls_key: Path | None = setting("Network", None, PATH,
        "File with its private key; none: it stands in the same file")
    tls_client_ca: Path | None = setting("Network", None, PATH,
        "File with the authorities that a client's certificate must be from; none: it needs none")
    tls_min_version: str = setting("Network", "1.2", TLS_VERSION,
        "Oldest version of TLS that is spoken")
    insecure: bool = setting("Network", False, FLAG,
        "Listen beyond this machine although everybody who reaches the server may use it",
        "--insecure", const=True)
    timeout: float = setting("Network", 0, SECONDS,
        "Silence after which a client is disconnected; 0 waits for ever", "-t --timeout SECONDS")
    max_connections: int = setting("Network", 4096, COUNT,
        "Clients that may be connected at the same time")
    client_memory: int = setting("Network", "256m", _MEMORY,
        "Memory for what clients have begun to send, do not read, and wait for")
    proxy_protocol: bool = setting("Network", False, FLAG,
        "Expect a PROXY header (version 1 or 2) first on every connection, and no client without")
    item_size_max: int = setting("Network", "1m", ITEM_SIZE,
        "Largest data of one item that is accepted")
    allow_flush_all: bool = setting("Network", False, FLAG,
        "Let flush_all empty the queues; if false, it answers OK and has no effect")
    allow_shutdown: bool = setting("Network", False, FLAG,
        "Let clients stop the server with the shutdown command")
    allow_reload: bool = setting("Network", False, FLAG,
        "Let clients make the server read its configuration file again with the reload command")
    allow_drain: bool = setting("Network", False, FLAG,
        "Let clients end and begin the accepting of puts with the status command")
    allow_admin: bool | str = setting("Network", "local", WHO,
        "Who may use the commands of operators; local: clients of this machine")
    allow_pause: bool | str | None = setting("Network", None, WHO,
        "Who may pause and resume queues, if not as allow_admin says")
    allow_browse: bool | str | None = setting("Network", None, WHO,
        "Who may list the items of queues, if not as allow_admin says")
    allow_drop: bool | str | None = setting("Network", None, WHO,
        "Who may drop single items, if not as allow_admin says")
    allow_move: bool | str | None = setting("Network", None, WHO,
        "Who may move items to other queues, if not as allow_admin says")
    allow_snapshot: bool | str = setting("Network", False, WHO,
        "Who may have snapshots of all queues made; they stay on the disk until you remove them")
    queue_path: Path = setting("Storage", "/var/spool/starling", PATH,
        "Folder that holds the journals of all queues", "-q --queue_path PATH", alias="path")
    sync: SyncPolicy = setting("Storage", "50ms", _SYNC,
        "When journals reach the disk; always: before replies", "--sync POLICY")
    segment_size: int = setting("Storage", "16m", _SEGMENT_SIZE,
        "Size after which a journal starts a new segment file")
    log_size: int = setting("Storage", "64m", _ROOM,
        "Size that each of the two files of the log may grow to; 0 for no log")
    window_size: int = setting("Storage", "64m", _WINDOW_SIZE,
        "Memory for the head of one queue; the rest is only on disk")
    window_total: int = setting("Storage", "96m", _WINDOW_SIZE,
        "Memory for the heads of all queues together")
    max_queues: int = setting("Storage", 100_000, COUNT,
        "Queues that may exist; a put that would make one more is refused")
    max_children: int = setting("Storage", 1000, COUNT,
        "Children that one queue may have; a get that would make one more is refused")
    memory_max: int | None = setting("Storage", None, _MEMORY,
        "Memory for the items of all queues together; puts beyond are refused")
    disk_free_min: int = setting("Storage", 0, _ROOM,
        "Free space on the disk of queue_path below which puts are refused; 0 never refuses")
    quarantine: bool = setting("Storage", False, FLAG,
        "Serve a queue without older segments that are damaged; if false, refuse to")
    engine: str = setting("Cluster", "local", ENGINE,
        "Who has the queues; local: this server alone, jetstream: a group",
        "--engine ENGINE")
    servers: Servers | None = setting("Cluster", None, SERVERS,
        "NATS servers of the cluster that has the stream", "--servers URLS")
    stream: str = setting("Cluster", "starling", STREAM,
        "Stream of the group; servers with the same stream are one group", "--stream NAME")
    replicas: int = setting("Cluster", 3, REPLICAS,
        "Replicas that the stream must have; with fewer than 3, no death is survived")
    servers_monitoring: int | None = setting("Cluster", None, MONITORING,
        "Port of the NATS servers' monitoring, where they are asked whether they sync")
    takeover: float = setting("Cluster", "2s", TAKEOVER,
        "Silence of the owner after which another server takes over")
    advertise: str | None = setting("Cluster", None, ADVERTISED,
        "Address that clients of the others are told while this server is the owner")
    servers_credentials: Path | None = setting("Cluster", None, PATH,
        "File with the credentials for NATS, as nsc makes it, or the seed of an nkey")
    servers_ca: Path | None = setting("Cluster", None, PATH,
        "File with the certificates that sign those of the NATS servers")
    servers_cert: Path | None = setting("Cluster", None, PATH,
        "File with this server's certificate for NATS")
    servers_key: Path | None = setting("Cluster", None, PATH,
        "File with the key to that certificate")
    daemonize: bool = setting("Process", False, FLAG,
        "Leave the terminal and run in the background", "-d --daemonize", const=True)
    pid_file: Path | None = setting("Process", None, PATH,
        "File that holds the process id while the server runs", "-P --pid FILE")
    user: str | None = setting("Process", None, _OWNER,
        "User that the server runs as when root starts it", "-u --user USER")
    group: str | None = setting("Process", None, _OWNER,
        "Group that the server runs as when root starts it", "-g --group GROUP")
    grace_time: float = setting("Process", 5, SECONDS,
        "Time that a stop gives to clients in the middle of something")
    logger: Path | None = setting("Logging", None, PATH,
        "File that the log goes to instead of standard error", "-L --log FILE", alias="log_file")
    syslog_channel: str | None = setting("Logging", None, _IDENT,
        "Program name for the log in syslog", "-l --syslog CHANNEL")
    audit_log: Path | None = setting("Logging", None, PATH,
        "File for the audit log, which is a part of the log otherwise")
    log_level: str = setting("Logging", "INFO", _LEVEL,
        "Least severe messages that are logged", "-v --verbose", const="DEBUG")
    log_format: str = setting("Logging", "text", _FORMAT,
        "Lines for people or for programs; json needs python-json-logger", "--log_format FORMAT")
    # fmt: on
    queues: QueueTable = attrs.field(factory=partial(from_converted, QueueTable), converter=_queues)
    users: Users = attrs.field(factory=partial(from_converted, Users), converter=_users)
    routes: Routes = attrs.field(factory=partial(from_converted, Routes), converter=_routes)
    http: HttpSettings | None = attrs.field(default=None)

    @property
    def addresses(self) -> Addresses:
        """Where to listen."""
        if self.listen is not None:
            return self.listen
        return Addresses([Address(TCP, self.host, self.port)])

    def wrong_together(self) -> Iterator[Fault]:
        """Yield what is wrong with settings beside others, each under the one to be changed."""
        name = "host" if self.listen is None else "listen"
        if self.listen is not None and (self.host, self.port) != _SHORT_FORM:
            yield Fault(("listen",), "host and port say the same in short; leave them out")
        if self.users and self.users_file is None and self.tls_client_ca is None:
            told = "nobody can say who it is: users_file or tls_client_ca is missing"
            yield Fault(("users",), told)
        for each in self.addresses:
            if each.kind == TLS and self.tls_cert is None:
                yield Fault((name,), f"{each}: tls_cert is missing")
            if each.kind == TLS and self.proxy_protocol:
                told = "a PROXY header in front of TLS is not understood; let the proxy end TLS"
                yield Fault(("proxy_protocol",), told)
            is_tls = each.kind == TLS
            reason = self.open_to(each.host, is_tls=is_tls) if each.host else None
            if reason is not None:
                yield Fault((name,), reason)

    @property
    def has_users(self) -> bool:
        """Whether clients have to say who they are."""
        return self.users_file is not None or len(self.users) > 0

    def open_to(self, host: str, *, is_tls: bool) -> str | None:
        """Return why not to listen on an address; ``None`` if nothing is against it.

        Beyond this machine, somebody has to be kept out, or the settings say that nobody is meant
        to be.
        """
        is_kept = self.allow_from is not None and self.allow_from.is_closed
        is_kept = is_kept or (is_tls and self.tls_client_ca is not None)
        if self.insecure or self.has_users or is_kept or not is_beyond(host):
            return None
        return (
            f"{host} is beyond this machine, and whoever reaches it could use the server; write"
            " users_file: or allow_from: to keep others out, or insecure: true if that is meant"
        )


TABLE: Final = table(Settings)
"""Every setting of the server, in the order of help, samples and documentation."""
