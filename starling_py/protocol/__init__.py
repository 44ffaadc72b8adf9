"""The protocol, sans I/O: bytes in, commands out; replies in, bytes out.

One module a dialect, over the command and reply types of ``commands``. Nothing here knows a
socket, trio or a queue. The first byte of a connection tells its dialect.
"""

from starling_py.protocol.commands import Dialect
from starling_py.protocol.text import TextDialect

BINARY_MAGIC = 0x80
"""The first byte of every request of memcached's binary protocol."""


def dialect_for(first_byte: int, item_size_max: int) -> Dialect | None:
    """Return the dialect of a connection that opens with this byte.

    ``None`` when no dialect of this server begins so: the binary protocol is not spoken yet, and
    a client of it gives up at once when the connection is closed, but waits for ever otherwise.
    """
    return None if first_byte == BINARY_MAGIC else TextDialect(item_size_max)
