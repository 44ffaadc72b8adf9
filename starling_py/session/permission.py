"""Who may use which command: the one place where that is decided.

A server without users knows clients by where they are: the commands of operators are for nobody,
for clients of this machine, or for everybody (``Permission``). With users, each command has a rule
that says what its user must be allowed to do (``lacks``). Invariant: a command that no rule is
about is refused, and so is one of whose names one is not permitted: nothing of it is done.

Nothing here knows sockets: where a client is, its address says in the form in which it is printed.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starling_py import keys
from starling_py.keys import RequestError, printable
from starling_py.protocol import commands, operations
from starling_py.protocol.commands import Command
from starling_py.settings.users import User

LOCAL: Final = "local"
"""Stands for the clients of this machine: those of loopback, and of sockets without a network."""

Who = bool | str
"""``True`` for everybody, ``False`` for nobody, or ``LOCAL``."""


@dataclass(frozen=True)
class Permission:
    """Who may use which of the commands of operators."""

    admin: Who = LOCAL
    """Who may use those that ``verbs`` says nothing of."""
    verbs: Mapping[str, Who | None] = field(default_factory=dict)
    """Who may use single ones, by name; ``None`` is as ``admin``."""

    def allows(self, verb: str, peer: str, *, is_user: bool = False) -> bool:
        """Tell whether the client at an address, as it is printed, may use a command.

        Where a user is does not matter: what it may do to a queue, ``lacks`` has said.
        """
        who = self.verbs.get(verb)
        if who is None:
            who = self.admin
        return is_user or is_of_this_machine(peer) if who == LOCAL else who is True


def is_of_this_machine(peer: str) -> bool:
    """Tell whether a printed address, with a port, is one of loopback, or no network's at all."""
    host, colon, port = peer.rpartition(":")
    if not colon or not port.isdigit() or peer.startswith(("/", "@")):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (inner or address).is_loopback


SERVER: Final = "admin"
"""What is lacking to do something to the server as a whole."""
_REPORTS_OF_THE_SERVER: Final = frozenset({b"settings", b"conns", b"reset", b"changed"})


def lacks(user: User, command: Command) -> str | None:
    """Return what a user would need to be allowed for a command; ``None`` if nothing.

    A key that is wrong lacks nothing: the command itself refuses it, before it does anything.
    """
    rule = _RULES.get(type(command))
    if rule is None:
        return None if user.is_admin else SERVER
    try:
        return rule(user, command)
    except RequestError:
        return None


def lacks_for_keys(user: User, asked: Iterable[bytes]) -> str | None:
    """Return what a user would need for a get of some keys.

    A key that is wrong keeps no other from being looked at, though the get is refused for it.
    """
    for key in asked:
        try:
            name = keys.parse(key).name
        except RequestError:
            continue
        if not user.may_get(name):
            return f"get {printable(name)}"
    return None


def _put(user: User, command: commands.Store) -> str | None:
    name = keys.parse_store(command.key).name
    return None if user.may_put(name) else f"put {printable(name)}"


def _get(user: User, command: commands.Get) -> str | None:
    return lacks_for_keys(user, command.keys)


_Keyed = (
    commands.Touch
    | commands.Confirm
    | commands.Monitor
    | commands.Delete
    | commands.Flush
    | commands.Arithmetic
    | operations.Pause
    | operations.Resume
    | operations.Browse
    | operations.Drop
)


def _take(user: User, command: _Keyed) -> str | None:
    name = keys.parse_plain(command.key)
    return None if user.may_get(name) else f"get {printable(name)}"


def _administer(user: User, command: _Keyed) -> str | None:
    return _lacks_admin(user, keys.parse_plain(command.key))


def _see(user: User, command: _Keyed) -> str | None:
    return _lacks_sight(user, keys.parse_plain(command.key))


def _move(user: User, command: operations.Move) -> str | None:
    lacking = _lacks_admin(user, keys.parse_plain(command.key))
    if lacking is not None or command.target is None:
        return lacking  # where each item came from is looked at when it is moved
    target = keys.parse_plain(command.target)
    return None if user.may_put(target) else f"put {printable(target)}"


def _flush_expired(user: User, command: commands.FlushExpired) -> str | None:
    if command.key is None:
        return _server(user, command)
    return _lacks_admin(user, keys.parse_plain(command.key))


def _stats(user: User, command: commands.Stats) -> str | None:
    words = command.words
    report = words[0].lower() if words else b""
    if report in _REPORTS_OF_THE_SERVER:
        return _server(user, command)
    if len(words) > 1 and report == b"queue":
        return _lacks_sight(user, words[1])
    if len(words) > 1 and report == b"consumers":
        return _lacks_admin(user, words[1])
    return None


def _dump_stats(user: User, command: commands.DumpStats) -> str | None:
    return next(filter(None, (_lacks_sight(user, each) for each in command.keys)), None)


def _dump_config(user: User, command: commands.DumpConfig) -> str | None:
    return next(filter(None, (_lacks_admin(user, each) for each in command.keys)), None)


def _status(user: User, command: commands.Status) -> str | None:
    return None if command.word is None else _server(user, command)


def _server(user: User, _: Command) -> str | None:
    return None if user.is_admin else SERVER


def _nothing(_: User, __: Command) -> str | None:
    return None


def _lacks_admin(user: User, name: bytes) -> str | None:
    return None if user.may_administer(name) else f"admin {printable(name)}"


def _lacks_sight(user: User, name: bytes) -> str | None:
    return None if user.sees(name) else f"get {printable(name)}"


_RULES: Final[dict[type[Command], Callable[[User, Any], str | None]]] = {
    commands.Store: _put,
    commands.Get: _get,
    commands.LongGet: _nothing,  # its keys are looked at a few at a time
    commands.Touch: _take,
    commands.Confirm: _take,
    commands.Monitor: _take,
    commands.Delete: _administer,
    commands.Flush: _administer,
    commands.FlushAll: _server,
    commands.FlushExpired: _flush_expired,
    commands.Arithmetic: _see,
    commands.Stats: _stats,
    commands.DumpStats: _dump_stats,
    commands.DumpConfig: _dump_config,
    commands.Status: _status,
    commands.Reload: _server,
    commands.RefreshCerts: _server,
    commands.Shutdown: _server,
    commands.Version: _nothing,
    commands.Help: _nothing,
    commands.Acknowledge: _nothing,
    commands.Quit: _nothing,
    commands.Refusal: _nothing,
    operations.Pause: _administer,
    operations.Resume: _administer,
    operations.Browse: _administer,
    operations.Drop: _administer,
    operations.Move: _move,
    operations.Handover: _server,
    operations.Hello: _nothing,
    operations.Snapshot: _server,
}
