"""Where a server is: a host and a port, or the path of a socket."""

from attrs import frozen

DEFAULT_PORT = 22122


class AddressError(Exception):
    """A text is no address; the message says what is."""


@frozen
class Address:
    """Either ``host`` and ``port``, or ``path`` of a unix socket."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, port: int = DEFAULT_PORT) -> Address:
    """Read ``host``, ``host:port``, ``[::1]:port``, ``::1`` or ``unix:/path``.

    ``port`` is for those without one. Raises ``AddressError``.
    """
    if text.startswith("unix:"):
        if len(text) == len("unix:"):
            raise AddressError("unix: needs the path of a socket")
        return Address(path=text.removeprefix("unix:"))
    if text.startswith("["):
        host, closing, rest = text[1:].partition("]")
        if not closing or not host or (rest and not rest.startswith(":")):
            raise AddressError(f"{text!r} is no address; write [::1]:{port}")
        return Address(host, parse_port(rest[1:]) if rest else port)
    if text.count(":") > 1:
        return Address(text, port)
    host, colon, rest = text.partition(":")
    if not host and not colon:
        raise AddressError("an address is HOST:PORT, [::1]:PORT or unix:/PATH")
    return Address(host or "127.0.0.1", parse_port(rest) if colon else port)


def parse_port(text: str) -> int:
    """Read a port. Raises ``AddressError``."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535):
        raise AddressError(f"{text!r} is not a port (1 to 65535)")
    return int(text)
