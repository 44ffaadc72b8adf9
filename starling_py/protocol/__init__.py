"""The protocol, sans I/O: bytes in, commands out; replies in, bytes out.

The dialects are classic text with the meta commands, and binary; they share the types of commands
and replies in ``commands``. The first byte of a connection tells its dialect. Nothing here knows
sockets, trio or queues.
"""

from starling_py.protocol.binary import BinaryDialect
from starling_py.protocol.binary_replies import REQUEST_MAGIC
from starling_py.protocol.dialect import Dialect
from starling_py.protocol.foreign import HELLO, TlsDialect
from starling_py.protocol.text import TextDialect
from starling_py.protocol.wary_text import WaryTextDialect, may_authenticate


def dialect_for(data: bytes, item_size_max: int) -> Dialect:
    """Return the dialect of a connection that begins with these bytes, at least one.

    ``item_size_max`` is the largest length of an item's data, in bytes.
    """
    if data[0] == REQUEST_MAGIC:
        return BinaryDialect(item_size_max)
    if data[0] == HELLO:
        return TlsDialect()
    if may_authenticate(data):
        return WaryTextDialect(item_size_max)
    return TextDialect(item_size_max)
