"""The protocol, sans I/O: bytes in, commands out; replies in, bytes out.

One module a dialect, over the command and reply types of ``commands``. Nothing here knows a
socket, trio or a queue. The first byte of a connection tells its dialect.
"""

from starling_py.protocol.binary import BinaryDialect
from starling_py.protocol.binary_replies import REQUEST_MAGIC
from starling_py.protocol.commands import Dialect
from starling_py.protocol.text import TextDialect


def dialect_for(first_byte: int, item_size_max: int) -> Dialect:
    """Return the dialect of a connection that opens with this byte."""
    if first_byte == REQUEST_MAGIC:
        return BinaryDialect(item_size_max)
    return TextDialect(item_size_max)
