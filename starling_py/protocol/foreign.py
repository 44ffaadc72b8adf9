"""Who speaks TLS to a port that does not: told so in TLS, or it would wait for ever."""

from typing import Final

from starling_py.protocol.commands import Command, Refusal
from starling_py.protocol.dialect import Dialect
from starling_py.protocol.text_replies import TextReplies

HELLO: Final = 0x16
"""The first byte of everything that begins as TLS; no command of text begins with it."""
ALERT: Final = b"\x15\x03\x01\x00\x02\x02\x28"
"""A fatal alert: handshake failure."""


class TlsDialect(TextReplies, Dialect):
    """Refuses a connection."""

    def __init__(self) -> None:
        self.more = False

    def feed(self, data: bytes) -> None:
        """Take what the client sent, and keep nothing of it."""
        del data
        self.more = True

    def next_command(self) -> Command | None:
        """Return the refusal."""
        return Refusal(ALERT, close=True)

    @property
    def buffered(self) -> int:
        """Nothing is kept."""
        return 0

    @property
    def weight(self) -> int:
        """Nothing is kept."""
        return 0

    @property
    def missing(self) -> int:
        """Nothing is waited for."""
        return 0

    @property
    def midway(self) -> bool:
        """Nothing has been begun."""
        return False
