"""Where a server listens: an address of TCP, with TLS or without, or a path of this machine.

In text: ``HOST:PORT``, ``[HOST]:PORT`` for IPv6, ``tls:HOST:PORT`` and ``unix:/PATH?mode=0660``.
Nothing here opens a socket or looks up a name.
"""

import ipaddress
import re
from typing import Final

import attrs

TCP: Final = "tcp"
TLS: Final = "tls"
UNIX: Final = "unix"
MODE: Final = 0o660
"""The mode of a socket of this machine that does not say another."""

_ADDRESS: Final = re.compile(r"(?:\[([^\s\[\]]+)\]|([^\s\[\]:]+)):([0-9]{1,5})")
_PATH: Final = re.compile(r"(/[^?\s]*[^?\s/])(?:\?mode=(0?[0-7]{3}))?")


@attrs.frozen
class Endpoint:
    """One of the places where a server listens; ``str()`` gives the form of a file."""

    kind: str
    """``TCP``, ``TLS`` or ``UNIX``."""
    host: str = ""
    """A host name or an address; ``*`` for all of this machine."""
    port: int = 0
    """The TCP port; 0 for any free one."""
    path: str = ""
    mode: int = MODE
    """The mode of the socket at ``path``."""

    def __str__(self) -> str:
        if self.kind == UNIX:
            return f"unix:{self.path}?mode={self.mode:04o}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls:' if self.kind == TLS else ''}{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Read the form of a file; raise ``ValueError``, with the reason if there is one."""
        scheme, colon, rest = text.partition(":")
        if colon and scheme == UNIX:
            path = _PATH.fullmatch(rest)
            if path is None:
                raise ValueError(f"{text}: a socket is written unix:/PATH?mode=0660")
            return cls(UNIX, path=path[1], mode=MODE if path[2] is None else int(path[2], 8))
        address = _ADDRESS.fullmatch(rest if colon and scheme == TLS else text)
        if address is None or int(address[3]) > 65535:
            raise ValueError(f"{text}: is none of HOST:PORT, tls:HOST:PORT and unix:/PATH")
        kind = TLS if colon and scheme == TLS else TCP
        return cls(kind, address[1] or address[2], int(address[3]))


class Endpoints(tuple[Endpoint, ...]):
    """Some of them; ``str()`` gives them as an option does."""

    __slots__ = ()

    def __str__(self) -> str:
        return ",".join(map(str, self))


def is_beyond(host: str) -> bool:
    """Tell whether an address is one that other machines may reach.

    A name is none, as far as is known here: what it stands for is seen when it is listened on.
    """
    if host == "*":
        return True
    try:
        return not ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
