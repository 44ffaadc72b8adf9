"""What a new start finds on the disk, and what it may find of all queues together."""

import struct
from collections.abc import Iterable, Mapping

from starling_py.journal.blocks import Reading
from starling_py.journal.disk.files import Files
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.ledger import Facts, Ledger
from starling_py.queues.persistent_queue import PersistentQueue
from tests.simulation.model import Found, QueueModel, State, Thing, Token, Violation


def recovered(
    models: Mapping[bytes, QueueModel], found: Mapping[bytes, Found], floors: Mapping[bytes, int]
) -> None:
    """Check what a new start of the server has found, and go on from there."""
    matching = {
        name: model.matching(found.get(name), floors[name])
        for name, model in models.items()
        if model.settings.journal
    }
    for name, numbers in matching.items():
        for item_id, (at, copies) in models[name].left.items():
            for target, there in copies.items():
                # What has gone from here for good has to be there, or have been there.
                lost = min(numbers) >= at and target in matching and max(matching[target]) < there
                if lost:
                    raise models[name].fail(f"item {item_id} has gone, and is not in {target!r}")
    for name, model in models.items():
        # Of what was in memory only, the ids are all that lasts.
        used = model.used[floors[name] if model.settings.journal else -1]
        model.begin(found.get(name), used)


def found_in(disk: Files, queues: Iterable[PersistentQueue]) -> dict[bytes, Found]:
    """Return what is in the journals, read from the disk without the queues' windows."""
    found: dict[bytes, Found] = {}
    for queue in queues:
        ledger = queue.journal.ledger
        if ledger.deleted or queue.journal.in_memory:
            continue
        reading = Reading(
            disk,
            queue.journal._place.salt,
            ledger.segments,
            (0, 0),
            ledger.head - 1,
            ledger.removed_ids,
            1 << 30,
        )
        while not reading.at_end:
            reading.run()
            if reading.error is not None:
                raise Violation(f"{queue.name!r} cannot be read: {reading.error}")
        things = [_thing(each, ledger.facts.get(each.id)) for each in reading.items]
        things.sort(key=lambda each: each.place)
        state = State(ledger.next_id, tuple(things), ledger.first_id, ledger.paused_ms)
        if (len(things), state.bytes) != (ledger.items, ledger.bytes):
            raise Violation(f"{queue.name!r}: {ledger.items} items are counted: {state}")
        found[queue.name] = state
    return found


def tokens_in(ledger: Ledger) -> dict[bytes, list[Token]]:
    """Return the puts with a token that a journal knows of, by their digests."""
    packed = b"" if ledger.tokens is None else ledger.tokens.pack()
    found: dict[bytes, list[Token]] = {}
    for digest, put_ms, item_id in struct.iter_unpack("<16sqQ", packed):
        found.setdefault(digest, []).append(Token(item_id, put_ms, 0))
    return found


def _thing(item: Item, mark: Facts | None) -> Thing:
    """Return what is on disk of an item."""
    due_ms, deliveries, front, came, origin = 0, 0, False, 0, None
    if isinstance(item, MarkedItem):
        due_ms, deliveries, front = item.due_ms, item.deliveries, item.front
        came, origin = deliveries, item.origin
    if mark is not None:
        due_ms, deliveries = mark.due_ms or due_ms, mark.deliveries
    dies_ms = item.expiry_ms
    return Thing(item.id, item.data, item.flags, dies_ms, due_ms, deliveries, front, came, origin)
