"""The address of a server: a host and a port, with TLS or without, or a path of this machine.

In text: ``HOST``, ``HOST:PORT``, ``:PORT``, ``[::1]:PORT`` or ``::1``, each with ``tls:`` before it
if TLS is spoken, and ``unix:/PATH`` or the path alone. ``//`` may follow a scheme, as in URLs. Who
connects may say who it is, as in ``tls:anna@HOST``; who listens must name the port, and may give
the mode of a socket, as in ``unix:/PATH?mode=0660``. Nothing here opens a socket or looks up a
name. Invariant: neither ``str()`` nor a message shows a password.
"""

import ipaddress
import re
from typing import Final
from urllib.parse import quote, unquote

import attrs

TCP: Final = "tcp"
TLS: Final = "tls"
UNIX: Final = "unix"
MODE: Final = 0o660
"""The mode of a socket of this machine that does not say another."""
DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 22122
SERVER_VARIABLE: Final = "STARLING_SERVER"
"""What the environment has a server's address under, for who is told none."""
FORMS: Final = "HOST:PORT, tls:HOST:PORT or unix:/PATH"
"""What to write, for messages and help."""

_SCHEME: Final = re.compile(r"(tcp|tls|unix):(?://)?")
_PATH: Final = re.compile(r"(/[^?\s]*[^?\s/])(?:\?mode=(0?[0-7]{3}))?")
_NAME: Final = re.compile(r"[^\s\[\]/@,?]+")


class AddressError(ValueError):
    """A text is no address; the message says what is."""


@attrs.frozen
class Address:
    """Where a server listens, or is listened for; ``str()`` gives it as it can be given again."""

    kind: str = TCP
    """``TCP``, ``TLS`` or ``UNIX``."""
    host: str = DEFAULT_HOST
    """A host name or an address; for who listens, ``*`` stands for all of this machine."""
    port: int = DEFAULT_PORT
    """For who listens, 0 is any free one."""
    path: str = ""
    """The path of a socket of this machine; empty for the others."""
    mode: int | None = None
    """The mode of that socket, where it is said."""
    user: str = ""
    """Who connects; empty where the address does not say it."""
    password: str | None = attrs.field(default=None, repr=False)
    """The password of ``user``, where it is said."""

    def __str__(self) -> str:
        who = f"{quote(self.user, safe='')}@" if self.user else ""
        if self.kind == UNIX:
            mode = "" if self.mode is None else f"?mode={self.mode:04o}"
            return f"unix:{who}{self.path}{mode}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls:' if self.kind == TLS else ''}{who}{host}:{self.port}"

    @classmethod
    def parse(cls, text: str, port: int = DEFAULT_PORT) -> "Address":
        """Read where to connect to; ``port`` is for what names none. Raises ``AddressError``."""
        found = cls._read(text, port)
        if found.mode is not None:
            raise _wrong(text, "a mode is for who listens; leave it out")
        if found.kind != UNIX and not found.port:
            raise _wrong(text, _no_port("0"))
        return found

    @classmethod
    def listening(cls, text: str) -> "Address":
        """Read where to listen. Raises ``AddressError``."""
        found = cls._read(text, None)
        if found.user:
            raise _wrong(text, "a user is for who connects; leave it out")
        return found

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine can reach it; a name but localhost may be anything."""
        if self.kind == UNIX or self.host == "localhost":
            return True
        return not is_beyond(self.host) and _is_number(self.host)

    @classmethod
    def _read(cls, text: str, port: int | None) -> "Address":
        scheme = _SCHEME.match(text)
        kind = scheme[1] if scheme else TCP
        who, at, rest = text[scheme.end() if scheme else 0 :].rpartition("@")
        user, colon, password = who.partition(":")
        if at and not user:
            raise _wrong(text, "no user stands in front of the @")
        who, secret = unquote(user), unquote(password) if colon else None
        if kind == UNIX or (scheme is None and rest.startswith("/")):
            path = _PATH.fullmatch(rest)
            if path is None:
                raise _wrong(text, "a socket is written unix:/PATH")
            mode = None if path[2] is None else int(path[2], 8)
            return cls(UNIX, "", 0, path[1], mode, who, secret)
        host, number = _split(text, rest)
        if number is None:
            if port is None:
                told = f"[{host}]" if ":" in host else host
                raise _wrong(text, f"names no port; write {told}:PORT")
            number = port
        return cls(kind, host, number, "", None, who, secret)


class Addresses(tuple[Address, ...]):
    """Some of them; ``str()`` gives them as an option does."""

    __slots__ = ()

    def __str__(self) -> str:
        return ",".join(map(str, self))


def port_number(text: str) -> int:
    """Read a port to connect to. Raises ``AddressError``."""
    number = _number(text)
    if not number:
        raise AddressError(_no_port(text))
    return number


def is_beyond(host: str) -> bool:
    """Tell whether an address is one that other machines may reach.

    A name is none, as far as is known here: what it stands for is seen when it is listened on.
    """
    return host == "*" or (_is_number(host) and not _number_of(host).is_loopback)


def _split(text: str, rest: str) -> tuple[str, int | None]:
    """Return host and port of what is left of ``text``; ``None`` where no port is named."""
    if rest.startswith("["):
        host, bracket, behind = rest[1:].partition("]")
        if not bracket or (behind and not behind.startswith(":")):
            raise _wrong(text, f"is no address; write [::1]:{DEFAULT_PORT}")
        colon, port = behind[:1], behind[1:]
    elif rest.count(":") > 1:
        if not _is_number(rest):
            raise _wrong(text, f"is no address; write {FORMS}, and IPv6 as [::1]:{DEFAULT_PORT}")
        return rest, None
    else:
        host, colon, port = rest.partition(":")
        if colon and port and not host:
            host = DEFAULT_HOST
        if host.isdecimal() and not colon:
            raise _wrong(text, f"is no address; a port is written :{host}")
    if _NAME.fullmatch(host) is None:
        raise _wrong(text, f"is no address; write {FORMS}")
    if not colon:
        return host, None
    number = _number(port)
    if number is None:
        raise _wrong(text, _no_port(port))
    return host, number


def _number(text: str) -> int | None:
    """Return a port, 0 too; ``None`` if it is none."""
    if not (text.isascii() and text.isdecimal() and int(text[:6]) <= 65535):
        return None
    return int(text[:6])


def _no_port(text: str) -> str:
    return f"{text!r} is not a port (1 to 65535)"


def _is_number(host: str) -> bool:
    try:
        _number_of(host)
    except ValueError:
        return False
    return True


def _number_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(host.partition("%")[0])


def _wrong(text: str, reason: str) -> AddressError:
    """Return the error for a text, which is shown without the password in it."""
    front, at, rest = text.rpartition("@")
    scheme = _SCHEME.match(front)
    begin = scheme.end() if scheme else 0
    user, colon, _ = front[begin:].partition(":")
    shown = f"{front[:begin]}{user}{':...' if colon else ''}{at}{rest}"
    return AddressError(f"{shown!r}: {reason}")
