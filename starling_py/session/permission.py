"""Who may use the commands of operators: nobody, clients of this machine, or everybody.

Nothing here knows sockets: where a client is, its address says in the form in which it is printed.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

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

    def allows(self, verb: str, peer: str) -> bool:
        """Tell whether the client at an address, as it is printed, may use a command."""
        who = self.verbs.get(verb)
        if who is None:
            who = self.admin
        return is_of_this_machine(peer) if who == LOCAL else who is True


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
