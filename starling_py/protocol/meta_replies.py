"""The replies to memcached's meta commands: each has the form that its request wanted.

A reply is a word of two letters, then what the request asked for, in its order. What is known when
the request is read, such as the key and the opaque token, is written once; what depends on the
item is a function of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from starling_py.protocol.text_replies import TextReplies
from starling_py.protocol.writer import Outcome, Shown

HIT: Final = b"HD"
MISS: Final = b"EN"

Detail = Callable[[Shown, int, int, bytes], bytes]
"""Tells something of an item, given how often it was handed out before, the time in ms, and where
it came from in a word."""


def _ttl(item: Shown, _: int, now_ms: int, __: bytes) -> bytes:
    """Tell the seconds that an item has left, rounded up, as 0 would be dead; -1 for no end."""
    if not item.expiry_ms:
        return b" t-1"
    return b" t%d" % max(0, (item.expiry_ms - now_ms + 999) // 1000)


DETAILS: dict[int, bytes | Detail] = {
    ord("f"): lambda item, *_: b" f%d" % item.flags,
    ord("s"): lambda item, *_: b" s%d" % len(item.data),
    ord("c"): lambda item, *_: b" c%d" % item.id,
    ord("t"): _ttl,
    ord("h"): lambda _, deliveries, *__: b" h1" if deliveries else b" h0",
    ord("l"): lambda item, _, now_ms, __: b" l%d" % max(0, (now_ms - item.added_ms) // 1000),
    ord("o"): lambda *known: b" o" + known[3],
}
"""What can be told of an item: the client's flags, its size, its id, the time that it has left,
whether it was handed out before, the seconds that it has been in the queue, its origin."""


@dataclass(frozen=True)
class MetaForm:
    """What the reply to a request tells, and how."""

    words: Mapping[Outcome, bytes] = field(default_factory=dict)
    """The word for each outcome that the command can have."""
    known: bytes = b""
    """What every reply but an error tells: key and opaque token, in the order asked for."""
    details: tuple[bytes | Detail, ...] = ()
    """What a reply with an item tells, in the order asked for; bytes for what is known."""
    value: bool = False
    """Whether an item's data is wanted."""
    nothing: bytes = MISS
    """The word of a get that gave no item."""
    silent: bytes = b""
    """The word that is not told, as the request was a quiet one; empty if it was not."""
    key: bytes = b""
    """The key as it was sent."""

    def writer(self) -> "MetaReplies":
        """Return a writer for one reply."""
        return MetaReplies(self)


class MetaReplies(TextReplies):
    """The reply to one request; errors have the form of classic text, and are always told."""

    detailed = True
    tells_origin = True
    tells_id = True

    def __init__(self, form: MetaForm) -> None:
        self.form = form
        self._found = False
        self._item_id = 0

    def stored_as(self, item_id: int) -> None:
        """Note the id of the item that was put."""
        self._item_id = item_id

    def outcome(self, outcome: Outcome) -> bytes:
        """Return a plain reply."""
        form = self.form
        word = form.words.get(outcome)
        if word is None:
            return super().outcome(outcome)
        if word == form.silent:
            return b""
        if not form.details:
            return word + form.known + b"\r\n"
        known = [
            each if isinstance(each, bytes) else b" c%d" % self._item_id for each in form.details
        ]
        return word + b"".join(known) + b"\r\n"

    def hit_in_detail(
        self, key: bytes, item: Shown, deliveries: int, now_ms: int, origin: bytes
    ) -> tuple[bytes, ...]:
        """Return an item in pieces, or only what the request wants to know of it."""
        del key
        self._found = True
        form = self.form
        told = b"".join(
            [
                each if isinstance(each, bytes) else each(item, deliveries, now_ms, origin)
                for each in form.details
            ]
        )
        if not form.value:
            return (HIT + told + b"\r\n",)
        data = item.data
        return b"VA %d%b\r\n" % (len(data), told), data, b"\r\n"

    def end_of_hits(self) -> bytes:
        """Return the reply to a get that gave no item; behind an item, nothing more."""
        form = self.form
        if self._found or form.nothing == form.silent:
            return b""
        return form.nothing + form.known + b"\r\n"

    def dump_part(self, name: bytes, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Return the reply to ``me``: a queue's numbers on a line."""
        del name
        self._found = True
        values = dict(pairs)
        told = [b" %b=%b" % (word, values[source]) for word, source in _DEBUG]
        return b"ME " + self.form.key + b"".join(told) + b"\r\n"

    def end_of_dump(self) -> bytes:
        """Return a miss if there was no such queue; behind its numbers, nothing more."""
        return b"" if self._found else MISS + b"\r\n"


_DEBUG = (
    (b"items", b"items"),
    (b"bytes", b"bytes"),
    (b"open", b"open_transactions"),
    (b"age", b"age"),
)
"""What ``me`` tells of a queue, and the names of that in the statistics."""
