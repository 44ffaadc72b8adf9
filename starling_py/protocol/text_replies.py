"""The replies of memcached's classic text protocol, and Kestrel's additions to it.

An item's ``VALUE`` line repeats the key exactly as the client sent it, options included: clients
look the item up by the key they asked for, and lose it otherwise.
"""

from collections.abc import Sequence
from typing import Final

from starling_py.protocol.writer import Outcome, Shown, Writer, in_ascii

_OUTCOMES: Final = {
    Outcome.STORED: b"STORED\r\n",
    Outcome.NOT_STORED: b"NOT_STORED\r\n",
    Outcome.EXISTS: b"EXISTS\r\n",
    Outcome.TOUCHED: b"TOUCHED\r\n",
    Outcome.DELETED: b"DELETED\r\n",
    Outcome.NOT_FOUND: b"NOT_FOUND\r\n",
    Outcome.OK: b"OK\r\n",
    Outcome.RESET: b"RESET\r\n",
    Outcome.END: b"END\r\n",
    Outcome.NON_NUMERIC: b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
    Outcome.UNKNOWN: b"ERROR\r\n",
    Outcome.ERROR: b"ERROR\r\n",
    Outcome.AUTHENTICATED: b"STORED\r\n",
    Outcome.NOT_AUTHENTICATED: b"CLIENT_ERROR authentication failure\r\n",
    Outcome.UNAUTHENTICATED: b"CLIENT_ERROR unauthenticated\r\n",
}


class TextReplies(Writer):
    """The half of the text dialect that writes."""

    detailed = False
    tells_origin = False
    tells_id = False

    def stored_as(self, item_id: int) -> None:
        """Do nothing: classic text does not tell the id of an item that was put."""

    def hit_in_detail(
        self, key: bytes, item: Shown, deliveries: int, now_ms: int, origin: bytes
    ) -> tuple[bytes, ...]:
        """Return an item in pieces; classic text tells nothing of the details."""
        del deliveries, now_ms, origin
        return self.hit(key, item.flags, item.data, item.id)

    def outcome(self, outcome: Outcome) -> bytes:
        """Return a plain reply."""
        return _OUTCOMES[outcome]

    def hit(self, key: bytes, flags: int, data: bytes, cas: int | None) -> tuple[bytes, ...]:
        """Return an item in pieces, so that its data is not copied; ``cas`` is the item's id."""
        if cas is None:
            return b"VALUE %b %d %d\r\n" % (key, flags, len(data)), data, b"\r\n"
        return b"VALUE %b %d %d %d\r\n" % (key, flags, len(data), cas), data, b"\r\n"

    def end_of_hits(self) -> bytes:
        """Return what closes the reply to a get, or to a monitor."""
        return b"END\r\n"

    def client_error(self, text: str) -> bytes:
        """Return the reply to a command that was wrong."""
        return b"CLIENT_ERROR %b\r\n" % _line(text)

    def server_error(self, text: str) -> bytes:
        """Return the reply to a command that the server failed at."""
        return b"SERVER_ERROR %b\r\n" % _line(text)

    def disabled(self, what: str) -> bytes:
        """Return the reply to a command that the settings do not allow (memcached's words)."""
        return b"ERROR: %b not enabled\r\n" % _line(what)

    def unknown(self) -> bytes:
        """Return the reply to a command that is not known."""
        return b"ERROR\r\n"

    def not_permitted(self, what: str) -> bytes:
        """Return the reply to a command that its user may not give."""
        return self.client_error(f"not permitted: {what}")

    def number(self, number: int) -> bytes:
        """Return a reply that is only a number."""
        return b"%d\r\n" % number

    def word(self, word: str) -> bytes:
        """Return a reply that is only a word."""
        return b"%b\r\n" % _line(word)

    def version(self, version: str) -> bytes:
        """Return the server's version."""
        return b"VERSION %b\r\n" % _line(version)

    def stats_part(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Return some statistics; names and values are one token each."""
        return b"".join([b"STAT %b %b\r\n" % pair for pair in pairs])

    def end_of_stats(self) -> bytes:
        """Return what closes the reply with all statistics."""
        return b"END\r\n"

    def dump_part(self, name: bytes, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Return a named block of values, as Kestrel's ``dump_stats`` does for each queue."""
        lines = [b"  %b=%b\r\n" % pair for pair in pairs]
        return b"queue '%b' {\r\n%b}\r\n" % (name, b"".join(lines))

    def end_of_dump(self) -> bytes:
        """Return what closes the reply with all blocks."""
        return b"END\r\n"


def _line(text: str) -> bytes:
    """Return a text on one line and in ASCII, so that no text can break the stream."""
    return in_ascii(" ".join(text.split()))
