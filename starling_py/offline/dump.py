"""Shows what is in a queue's journal, record by record, whatever state it is in.

Damage ends nothing: reading goes on from the next sound record. Which items are live is taken from
the journal as a start would take it. If a start would refuse the journal, every sound record is
replayed instead; then some items may be shown as live that were taken already.
"""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import attrs

from starling_py import keys
from starling_py.journal import checkpoint
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.format import record
from starling_py.journal.format.origin import Origin
from starling_py.journal.format.record import HEADER_SIZE, Found, Item
from starling_py.journal.ledger import FOR_EVER, Facts, Ledger
from starling_py.journal.recovery.examination import Examination
from starling_py.offline import segment_reader
from starling_py.offline.segment_reader import Gap, Stretch
from starling_py.offline.spool_directory import QueueFiles, SegmentFile
from starling_py.offline.streamed_replay import StreamedReplay

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


class Dump:
    """The records in a queue's directory."""

    def __init__(self, files: Files, directory: str) -> None:
        """Read the headers of the segments. Raises ``OSError``."""
        self._files = files
        self._directory = directory
        self._own = QueueFiles.read(files, directory)
        self.skipped = 0
        """Bytes of damage that were passed over so far."""
        self.warnings = [f"{each.path}: {each.problem}" for each in self._own if not each.is_read]
        """What else kept the dump from being complete or right, one line each."""

    def records(self) -> Iterator[Entry]:
        """Yield every record of every segment, and the damage between them."""
        segments = list(self._own)
        for file in segments:
            yield from self._header(file)
            for part in self._read(file, file.size):
                if isinstance(part, Gap):
                    yield self._gap(file, part, is_last=file is segments[-1])
                else:
                    for found in part.found:
                        yield _entry(file, part, found)

    def live(self) -> Iterator[Entry]:
        """Yield the live items, the next one to be handed out first. Raises ``OSError``.

        Those that are due later stand where they would be if they were due now.
        """
        ledger, ends = self._ledger()
        front = {item_id for item_id, facts in ledger.facts.items() if facts.front}
        if front:
            in_front = [each for each in self._live(ledger, ends) if each.id in front]
            self.skipped = 0
            yield from (each for each in reversed(in_front) if each.item is not None)
        yield from (each for each in self._live(ledger, ends) if each.id not in front)

    def _live(self, ledger: Ledger, ends: dict[str, int]) -> Iterator[Entry]:
        """Yield the live items in the order of their ids, and the damage between them.

        ``ends``: for each segment's path, how many bytes of it count.
        """
        last_id = 0
        for file in self._own:
            end = ends.get(file.path, 0)
            for part in self._read(file, end):
                if isinstance(part, Gap):
                    yield self._gap(file, part, is_last=False)
                    continue
                for found in part.found:
                    kind, record_id, _, _ = found
                    if kind in record.PUTS and record_id > last_id and ledger.is_live(record_id):
                        last_id = record_id
                        entry = _entry(file, part, found)
                        if (facts := ledger.facts.get(record_id)) is not None:
                            entry.add_facts(facts)
                        yield entry

    def data(self, item_id: int) -> bytes | None:
        """Return the data of an item, live or not; ``None`` if there is no record of it."""
        data = None
        for file in self._own:
            for part in self._read(file, file.size):
                if isinstance(part, Gap):
                    self._gap(file, part, is_last=False)
                    continue
                for kind, record_id, start, end in part.found:
                    if kind in record.PUTS and record_id == item_id:
                        data = record.any_item_at(kind, part.data, start, end).data
        return data

    def _read(self, file: SegmentFile, end: int) -> "segment_reader.Parts":
        """Read a segment up to ``end``; one without a header with the salt of the others."""
        header = file.header or self._own.like
        if header is None:
            if end:
                yield Gap(0, end)
            return
        try:
            yield from segment_reader.read(self._files, file.path, file.start, end, header.salt)
        except OSError as error:
            reason = error.strerror or str(error)
            warning = f"{file.path}: the rest of it cannot be read: {reason}"
            if warning not in self.warnings:
                self.warnings.append(warning)

    def _header(self, file: SegmentFile) -> Iterator[Entry]:
        header = file.header
        if header is None:
            return
        fields: dict[str, int | str] = {
            "version": header.version,
            "number": header.number,
            "first_id": header.first_id,
            "queue": keys.printable(header.queue),
        }
        if header.compacted:
            fields["stands_for"] = f"{header.oldest}-{header.number}"
        yield Entry(file.name, 0, "segment", None, fields)

    def _gap(self, file: SegmentFile, gap: Gap, *, is_last: bool) -> Entry:
        """Return the line for bytes that are passed over; count them in ``skipped`` if damaged.

        At the end of the last segment they are a torn tail, as a crash leaves it, and no damage.
        """
        is_torn = is_last and gap.end == file.size
        if not is_torn:
            self.skipped += gap.size
        kind = "torn" if is_torn else "damage"
        return Entry(file.name, gap.offset, kind, None, {"skipped": gap.size})

    def _ledger(self) -> tuple[Ledger, dict[str, int]]:
        """Return what is live, and for each segment's path how many bytes of it count."""
        try:
            state = Examination(self._files, self._directory, quarantine=True).run()
        except JournalDamagedError as damage:
            self.warnings.append(f"{damage}. Items may be told as live that were taken already")
            return self._guess(), {file.path: file.size for file in self._own}
        if state is None or state.ledger.deleted:
            return Ledger(), {}
        if state.missing is not None:
            self.warnings.append(f"{state.missing}. Items may be told as live that were taken")
        self.warnings += [f"{damage}. {each.items} items were in it" for each, damage in state.lost]
        sizes = {file.path: file.size for file in self._own}
        return state.ledger, {
            each.path: min(each.size, sizes.get(each.path, 0)) for each in state.ledger.segments
        }

    def _guess(self) -> Ledger:
        """Replay every sound record, and return the ledger that this gives.

        A sound checkpoint starts it anew, so the newest one and what is behind it decide.
        """
        like = self._own.like
        replay = StreamedReplay()
        if like is None:
            return replay.ledger
        for file in self._own:
            if file.is_compacted:
                continue
            begun = False
            for part in self._read(file, file.size):
                if isinstance(part, Gap):
                    continue
                if not begun:
                    replay.begin_segment(file, like, part)
                    begun = True
                replay.feed(part)
        return replay.ledger


def _entry(file: SegmentFile, part: Stretch, found: Found) -> Entry:
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
