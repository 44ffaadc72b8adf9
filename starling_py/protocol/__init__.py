"""The protocol, sans I/O: bytes in, commands out; replies in, bytes out.

The dialects are classic text with the meta commands, and binary; they share the types of commands
and replies in ``commands``. The first byte of a connection tells its dialect. Nothing here knows
sockets, trio or queues.
"""

from starling_py.protocol.binary import BinaryDialect
from starling_py.protocol.binary_replies import REQUEST_MAGIC
from starling_py.protocol.dialect import Dialect
from starling_py.protocol.text import TextDialect


def dialect_for(first_byte: int, item_size_max: int) -> Dialect:
    """Return the dialect of a connection whose first byte this is.

    ``item_size_max`` is the largest length of an item's data, in bytes.
    """
    if first_byte == REQUEST_MAGIC:
        return BinaryDialect(item_size_max)
    return TextDialect(item_size_max)
