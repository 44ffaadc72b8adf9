"""The PROXY header, with which a proxy says for whom it connects: version 1 is a line, 2 is binary.

It is the first thing on a connection, before any command. Of what it tells, the client's address is
used, and only for TCP; other families, the proxy's own connections (``LOCAL``, ``UNKNOWN``) and
whatever else it may carry are read over. Invariant: nothing but a right header passes, and how the
bytes are cut into pieces never changes what is found. What is wrong is told as soon as it is known.
"""

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

MAX_LINE: Final = 107
"""Bytes of the longest header of version 1, its end included."""
MAX_HEADER: Final = 4096
"""Bytes of the longest header of version 2 that is read."""
V1: Final = b"PROXY"
V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"

_FIXED: Final = struct.Struct(">12xBBH")
"""Version and command, family and protocol, the length of what follows."""
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_TCP: Final = {0x11: 4, 0x21: 16}
"""The families of TCP, and how many bytes an address has."""
_SIZES: Final = {0x0: 0, 0x1: 12, 0x2: 36, 0x3: 216}
"""Bytes of both addresses and ports, by family."""
_TLV: Final = struct.Struct(">BH")


class ProxyHeaderError(Exception):
    """What came is no PROXY header; its text says why."""


@dataclass(frozen=True)
class ProxyHeader:
    """A whole header."""

    size: int
    """Its bytes; the client's own begin behind them."""
    host: str = ""
    """The client's address, as it is written; empty if the header does not tell it."""
    port: int = 0

    @property
    def address(self) -> str:
        """The client's address as ``host:port`` or ``[host]:port``; empty if it is not told."""
        return host_and_port(self.host, self.port) if self.host else ""


def host_and_port(host: str, port: int) -> str:
    """Return an address in the form ``host:port`` or ``[host]:port``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read(data: bytes) -> ProxyHeader | None:
    """Read the header that data begins with; ``None`` when more bytes are needed.

    Never for more than ``MAX_HEADER`` bytes. Raises ``ProxyHeaderError``.
    """
    if data.startswith(V2[: len(data)]):
        return _read_v2(data)
    if data.startswith(V1[: len(data)]):
        return _read_v1(data)
    raise ProxyHeaderError("there is none")


def _read_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, MAX_LINE)
    if end < 0:
        if len(data) >= MAX_LINE:
            raise ProxyHeaderError("the line is too long")
        return None
    words = data[:end].split(b" ")
    size = end + 2
    if words[0] != V1 or len(words) < 2:
        raise ProxyHeaderError("there is none")
    if words[1] == b"UNKNOWN":
        return ProxyHeader(size)
    if words[1] not in {b"TCP4", b"TCP6"} or len(words) != 6:
        raise ProxyHeaderError("the line is not of the form PROXY TCP4 HOST HOST PORT PORT")
    version = 4 if words[1] == b"TCP4" else 6
    host, _ = (_address(word, version) for word in words[2:4])
    port, _ = (_port(word) for word in words[4:])
    return ProxyHeader(size, host, port)


def _address(word: bytes, version: int) -> str:
    try:
        # A zone, as in fe80::1%eth0, means nothing on another machine.
        if b"%" in word:
            raise ValueError
        address = ipaddress.ip_address(word.decode("ascii"))
    except ValueError:
        raise ProxyHeaderError("an address is none") from None
    if address.version != version:
        raise ProxyHeaderError("an address is of the other family")
    return str(address)


def _port(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or int(word) > 65535:
        raise ProxyHeaderError("a port is none")
    return int(word)


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _FIXED.size:
        return None
    command, family, length = _FIXED.unpack_from(data)
    size = _FIXED.size + length
    if command not in {_LOCAL, _PROXY}:
        raise ProxyHeaderError("the version or the command is unknown")
    if family >> 4 > 3 or family & 0xF > 2:
        raise ProxyHeaderError("the family or the protocol is unknown")
    if size > MAX_HEADER:
        raise ProxyHeaderError(f"it has {size} bytes, more than {MAX_HEADER}")
    if command == _PROXY and length < _SIZES[family >> 4]:
        raise ProxyHeaderError("it is too short for its addresses")
    if len(data) < size:
        return None
    if command == _LOCAL:
        return ProxyHeader(size)
    start = _FIXED.size + _SIZES[family >> 4]
    _check_tlvs(data[start:size])
    width = _TCP.get(family)
    if width is None:
        return ProxyHeader(size)
    host = ipaddress.ip_address(data[_FIXED.size : _FIXED.size + width])
    port = int.from_bytes(data[_FIXED.size + 2 * width : _FIXED.size + 2 * width + 2], "big")
    return ProxyHeader(size, str(host), port)


def _check_tlvs(data: bytes) -> None:
    """Read over what else the proxy tells: each has a type, a length and so many bytes."""
    position = 0
    while position < len(data):
        if len(data) - position < _TLV.size:
            raise ProxyHeaderError("what follows its addresses is cut off")
        position += _TLV.size + _TLV.unpack_from(data, position)[1]
    if position > len(data):
        raise ProxyHeaderError("what follows its addresses is cut off")
