"""Packets of memcached's binary protocol, made and read byte by byte, without the server's code."""

import struct

import attrs

HEADER = struct.Struct(">BBHBBHIIQ")

GET, SET, ADD, REPLACE, DELETE, INCREMENT, DECREMENT, QUIT, FLUSH = range(9)
GETQ, NOOP, VERSION, GETK, GETKQ, APPEND, PREPEND, STAT = range(9, 17)
SETQ, ADDQ, REPLACEQ, DELETEQ, INCREMENTQ, DECREMENTQ, QUITQ, FLUSHQ = range(17, 25)
APPENDQ, PREPENDQ, VERBOSITY, TOUCH, GAT, GATQ = range(25, 31)
SASL_LIST, SASL_AUTH, SASL_STEP, GATK, GATKQ = range(0x20, 0x25)

OK, NOT_FOUND, EXISTS, TOO_LARGE, INVALID, NOT_STORED, NON_NUMERIC = range(7)
UNKNOWN, TEMPORARY = 0x81, 0x86


@attrs.frozen
class Packet:
    """A response."""

    opcode: int
    status: int = OK
    extras: bytes = b""
    key: bytes = b""
    value: bytes = b""
    opaque: int = 0
    cas: int = 0


def ask(
    opcode: int,
    key: bytes = b"",
    value: bytes = b"",
    extras: bytes = b"",
    opaque: int = 0,
    cas: int = 0,
    *,
    magic: int = 0x80,
) -> bytes:
    """Return a request."""
    body = extras + key + value
    head = HEADER.pack(magic, opcode, len(key), len(extras), 0, 0, len(body), opaque, cas)
    return head + body


def put(
    key: bytes,
    value: bytes,
    flags: int = 0,
    exptime: int = 0,
    opcode: int = SET,
    opaque: int = 0,
    cas: int = 0,
) -> bytes:
    """Return a request that puts an item."""
    return ask(opcode, key, value, struct.pack(">II", flags, exptime), opaque, cas)


def seconds(exptime: int) -> bytes:
    """Return the extras of a request that gives a time."""
    return struct.pack(">I", exptime)


def hit(
    value: bytes,
    cas: int,
    flags: int = 0,
    opcode: int = GET,
    key: bytes = b"",
    opaque: int = 0,
) -> Packet:
    """Return the reply to a get that found an item."""
    return Packet(opcode, OK, struct.pack(">I", flags), key, value, opaque, cas)


def miss(opcode: int = GET, opaque: int = 0) -> Packet:
    """Return the reply to a request about something that is not there."""
    return Packet(opcode, NOT_FOUND, value=b"Not found", opaque=opaque)


def unpack(data: bytes) -> list[Packet]:
    """Read responses, and insist that there is nothing else."""
    packets = []
    while data:
        magic, opcode, key, extras, data_type, status, size, opaque, cas = HEADER.unpack(data[:24])
        assert (magic, data_type) == (0x81, 0)
        assert len(data) >= 24 + size >= 24 + extras + key
        body, data = data[24 : 24 + size], data[24 + size :]
        key_end = extras + key
        parts = body[:extras], body[extras:key_end], body[key_end:]
        packets.append(Packet(opcode, status, *parts, opaque, cas))
    return packets
