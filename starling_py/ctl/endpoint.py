"""Where a server is: ``host:port``, ``[::1]:port``, a host alone, ``tls:`` before these, or a path.

A path is written ``unix:/path``.
"""

from typing import Final

import attrs

from starling_py.ctl.errors import UsageError

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 22122
_UNIX: Final = "unix:"
_TLS: Final = "tls:"


@attrs.frozen
class Endpoint:
    """A place to connect to: a host and a port, or the path of a socket."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    path: str = ""
    """The path of a Unix socket; empty for TCP."""
    is_tls: bool = False
    """Whether TLS is spoken."""

    def __str__(self) -> str:
        """Return it as it can be given again."""
        if self.path:
            return f"{_UNIX}{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{_TLS if self.is_tls else ''}{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Read an address. Raises ``UsageError``."""
        if text.startswith(_UNIX):
            path = text.removeprefix(_UNIX)
            if not path:
                raise UsageError(f"{text!r} names no socket; write unix:/path")
            return cls(path=path)
        if text.startswith("/"):
            return cls(path=text)
        is_tls = text.startswith(_TLS)
        host, port = _split(text.removeprefix(_TLS))
        if not port:
            return cls(host, is_tls=is_tls)
        if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
            raise UsageError(f"{text!r}: {port!r} is not a port (1 to 65535)")
        return cls(host, int(port), is_tls=is_tls)


def _split(text: str) -> tuple[str, str]:
    """Return host and port of an address; either may be missing. Raises ``UsageError``."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not host or (rest and not rest.startswith(":")):
            raise UsageError(f"{text!r} is no address; write [::1]:{DEFAULT_PORT}")
        return host, rest[1:]
    if text.count(":") > 1:
        return text, ""  # an IPv6 address without brackets has no port
    host, _, port = text.partition(":")
    if not host and not port:
        raise UsageError(f"{text!r} is no address; write host:port or unix:/path")
    return host or DEFAULT_HOST, port
