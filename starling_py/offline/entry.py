"""What one line of a dump tells: a record, or the bytes that belong to none.

It shows a record as it stands in the file; what happened to an item since is added by who knows it.
"""

import base64
from datetime import UTC, datetime, timedelta

import attrs

from starling_py import keys
from starling_py.journal import checkpoint
from starling_py.journal.format import record
from starling_py.journal.format.origin import Origin
from starling_py.journal.format.record import HEADER_SIZE, Found, Item
from starling_py.journal.ledger import FOR_EVER, Facts
from starling_py.offline.segment_reader import Stretch
from starling_py.offline.spool_directory import SegmentFile

SHOWN = 40
"""Bytes of an item's data that a line shows."""
_TYPES = {
    record.PUSH: "put",
    record.REMOVE: "remove",
    record.FLUSH: "flush",
    record.DELETE: "delete",
    record.RECLAIM: "reclaim",
    record.CHECKPOINT: "checkpoint",
    record.DISCARD: "discard",
    record.OPEN: "open",
    record.DELAY: "delay",
    record.PUSH_MARKED: "put",
    record.PAUSE: "pause",
    record.PUSH_MOVED: "put",
    record.PUSH_ONCE: "put",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.define
class Entry:
    """One line of a dump."""

    file: str
    offset: int
    type: str
    """A record's type, or ``segment``, ``torn`` and ``damage``."""
    id: int | None = None
    fields: dict[str, int | str] = attrs.field(factory=dict)
    """Whatever else the line shows, by name."""
    item: Item | None = None
    """The item of a put."""
    due_ms: int = 0
    """When the item may be handed out, in milliseconds since the Unix epoch; 0 for at once."""
    kept: list[int] = attrs.field(factory=list)
    """The ids that a flush left in the queue."""

    def add_facts(self, facts: Facts) -> None:
        """Show of an item also what happened to it since it was put."""
        if facts.deliveries:
            self.fields["deliveries"] = facts.deliveries
        self.due_ms = facts.due_ms or self.due_ms

    def text(self) -> str:
        """Return it as a line of text, with the beginning of the data."""
        pairs = [] if self.id is None else [f"id={self.id}"]
        pairs += [f"{name}={value}" for name, value in self.fields.items()]
        if self.due_ms:
            pairs.append(f"due={iso(self.due_ms)}")
        if self.kept:
            pairs.append(f"kept={','.join(map(str, self.kept))}")
        if (item := self.item) is not None:
            more = "..." if len(item.data) > SHOWN else ""
            pairs += [
                f"size={len(item.data)}",
                f"added={iso(item.added_ms)}",
                f"expires={iso(item.expiry_ms) if item.expiry_ms else 'never'}",
                f"flags={item.flags}",
                f"data={keys.printable(item.data[:SHOWN])}{more}",
            ]
        return " ".join((self.file, str(self.offset), self.type, *pairs))

    def values(self) -> dict[str, int | str | list[int] | None]:
        """Return it by name, for a JSON object, with all of the data in base64."""
        values: dict[str, int | str | list[int] | None] = {
            "file": self.file,
            "offset": self.offset,
            "type": self.type,
        }
        if self.id is not None:
            values["id"] = self.id
        values |= self.fields
        if self.due_ms:
            values |= {"due": iso(self.due_ms), "due_ms": self.due_ms}
        if self.kept:
            values["kept"] = self.kept
        if (item := self.item) is not None:
            values |= {
                "size": len(item.data),
                "added": iso(item.added_ms),
                "added_ms": item.added_ms,
                "expires": iso(item.expiry_ms) if item.expiry_ms else None,
                "expiry_ms": item.expiry_ms,
                "flags": item.flags,
                "data": base64.b64encode(item.data).decode("ascii"),
            }
        return values


def iso(milliseconds: int) -> str:
    """Return a time, in milliseconds since the Unix epoch, in UTC as ISO 8601 has it.

    One that no calendar has is returned as a number.
    """
    try:
        time = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds}ms"
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def entry_of(file: SegmentFile, part: Stretch, found: Found) -> Entry:
    """Return the line for a record: ``found`` in ``part`` of ``file``."""
    kind, record_id, start, end = found
    entry = Entry(file.name, part.offset + start, _TYPES[kind], record_id)
    fields = entry.fields
    if kind in record.PUTS:
        entry.item = record.any_item_at(kind, part.data, start, end)
        if isinstance(entry.item, record.MarkedItem):
            fields |= _facts(entry.item)
            fields |= _origin(entry.item.origin)
            if entry.item.token:
                fields["token"] = entry.item.token.hex()
            entry.due_ms = entry.item.due_ms
    elif kind == record.DELAY:
        entry.due_ms = record.due(part.data, start)
    elif kind == record.PAUSE:
        fields["until"] = pause_end(record.due(part.data, start))
    elif kind == record.FLUSH:
        entry.kept = [item_id for item_id, _ in record.kept_items(part.data, start, end)]
    elif kind == record.REMOVE:
        size = record.removed_size(part.data, start, end)
        if size is not None:
            fields["size"] = size
    elif kind == record.DISCARD:
        last_id, items, size = record.discarded(part.data, start)
        fields |= {"last_id": last_id, "items": items, "bytes": size}
    elif kind == record.CHECKPOINT:
        read = checkpoint.decode(part.data[start + HEADER_SIZE : end], file.version)
        if read is not None:
            fields |= {"items": read.ledger.items, "bytes": read.ledger.bytes}
            fields["segments"] = len(read.ledger.segments)
            if read.ledger.facts:
                fields["marks"] = len(read.ledger.facts)
            if read.ledger.paused_ms:
                fields["paused_until"] = pause_end(read.ledger.paused_ms)
            if read.ledger.tokens is not None:
                fields["tokens"] = len(read.ledger.tokens)
    return entry


def _origin(origin: Origin | None) -> dict[str, str]:
    """Return where an item came from, if it was moved."""
    if origin is None:
        return {}
    return {
        "origin": keys.printable(origin.source),
        "reason": origin.why,
        "moved": iso(origin.moved_ms),
        "first": keys.printable(origin.first),
        "first_put": iso(origin.put_ms),
    }


def pause_end(until_ms: int) -> str:
    """Return until when a queue is paused, as text; the number is as in ``Ledger.paused_ms``."""
    return {0: "now", FOR_EVER: "ever"}.get(until_ms) or iso(until_ms)


def _facts(item: record.MarkedItem) -> dict[str, int]:
    """Return what a marked item has beyond an ordinary one, without what is 0."""
    facts = {"deliveries": item.deliveries, "front": int(item.front)}
    return {name: value for name, value in facts.items() if value}
