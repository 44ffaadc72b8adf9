"""Segments whose files lost their names under the server are written anew.

Somebody may remove, move or replace a segment, a queue's directory or the whole spool while the
server runs. What is in a file that is still open is copied from there; of any other segment, the
items that are in memory are written, as a copy that stands for it. The rest is lost: it is given up
in the ledger, counted, and told. What has a segment's name and is another file is kept aside.
"""

import contextlib
import logging
from collections.abc import Container, Iterable, Iterator

import attrs

from starling_py.journal.disk.files import Identity
from starling_py.journal.errors import FileLostError
from starling_py.journal.format import record, segment
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.journal.format.segment import (
    COMPACTED_SUFFIX,
    DAMAGED_SUFFIX,
    UNFINISHED_SUFFIX,
    Header,
    Segment,
)
from starling_py.journal.ledger import Ledger
from starling_py.journal.syncing import Place, leads_to

log = logging.getLogger(__name__)

_BLOCK = 1 << 20
"""Bytes that are copied at once."""


@attrs.frozen
class Held:
    """A segment's file that is open, whatever has become of its name."""

    descriptor: int
    """Its own: it is closed when the work is done."""
    identity: Identity


class Restoring:
    """The segments of one journal, seen to be there or written anew; ``run`` in any thread."""

    def __init__(
        self, place: Place, ledger: Ledger, held: dict[str, Held], items: Iterable[Item]
    ) -> None:
        """``ledger`` is a copy of what is live, as of the last write.

        ``held`` are the open files, by their paths. ``items`` are those in memory, in any order;
        one may come twice.
        """
        self._place = place
        self._ledger = ledger
        self._held = held
        self._items = {item.id: item for item in items}
        self._written: dict[int, tuple[int, set[int]]] = {}
        """For each segment written from memory, its size and the ids of the items in it."""
        self._there: set[str] = set()
        """The names in the directory, when all was done that could be."""
        self.restored = 0
        """Segments that were written anew."""
        self.lost_items = 0
        """Items that nothing had any more."""
        self.last_is_held = True
        """Whether the last segment is as it was: it was there, or its file was open."""

    def run(self) -> None:
        """Write anew what has lost its name. Raises ``OSError``; it may be tried again then."""
        place = self._place
        files = place.files
        place.check_ours()
        files.make_directory(place.directory)
        for each in self._ledger.segments:
            path = place.path(each.number)
            held = self._held.get(path)
            if each.path.endswith(UNFINISHED_SUFFIX):
                continue  # nothing in it was ever called safe
            if self._is_there(path, each.size, held):
                continue
            self._keep_aside(path)
            if held is not None:
                self._copy(held, path, each.size)
            else:
                self._write_items(each, path)
        if self.restored and place.syncs:
            files.sync_directory(place.directory)
            files.sync_directory(place.directory.rpartition("/")[0])
        self._there = set(files.list_directory(place.directory))

    def close(self) -> None:
        """Close the files that were held open."""
        for held in self._held.values():
            with contextlib.suppress(OSError):
                self._place.files.close(held.descriptor)
        self._held = {}

    def give_up_lost(self, ledger: Ledger, needed: Container[int]) -> None:
        """Take the items that are lost out of a ledger, and note what stands in other files now.

        ``needed`` are the numbers of the segments that have anything which is not removed later.
        """
        for each in list(ledger.segments):
            size, ids = self._written.get(each.number, (0, set[int]()))
            if size:
                each.size, each.compacted = size, True
            elif each.number not in needed or segment.file_name(each.number) in self._there:
                continue
            self._give_up(ledger, each, ids)
        ledger.take_dead()

    def _give_up(self, ledger: Ledger, each: Segment, ids: set[int]) -> None:
        """Give up the live items of a segment but for those with ``ids``."""
        kept = [item for item in self._items.values() if item.id in ids and ledger.is_live(item.id)]
        items = each.items - len(kept)
        if items <= 0:
            return
        size = each.bytes - sum(len(item.data) for item in kept)
        self.lost_items += items
        log.critical("%s: %d items are lost with their file", self._place.path(each.number), items)
        index = ledger.segments.index(each)
        later = ledger.segments[index + 1 : index + 2]
        begin = each.first_id
        end = later[0].first_id if later else ledger.next_id
        for item_id in (*sorted(item.id for item in kept), end):
            if item_id > begin:
                # What counts is the sum: the first gap has all of it.
                ledger.given_up(begin, item_id - 1, items, size)
                items = size = 0
            begin = item_id + 1

    def _is_there(self, path: str, size: int, held: Held | None) -> bool:
        files = self._place.files
        if held is not None:
            return leads_to(files, path, held.identity)
        try:
            return files.size(path) >= size
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _keep_aside(self, path: str) -> None:
        """Give what has the name of a segment, and is none of ours, another name."""
        files = self._place.files
        with contextlib.suppress(FileNotFoundError):
            files.rename(path, path + DAMAGED_SUFFIX)
            log.warning("%s: is another file now; kept as %s", path, path + DAMAGED_SUFFIX)

    def _copy(self, held: Held, path: str, size: int) -> None:
        """Write a file that is still open to its old path."""
        files = self._place.files
        with self._new_file(path) as descriptor:
            offset = 0
            while offset < size:
                data = files.read_open(held.descriptor, offset, min(_BLOCK, size - offset))
                if not data:
                    raise FileLostError(path)
                files.write_all(descriptor, data)
                offset += len(data)

    def _write_items(self, each: Segment, path: str) -> None:
        """Write those items of a segment that are in memory, as a copy that stands for it."""
        ledger, place = self._ledger, self._place
        if each is ledger.segments[-1]:
            self.last_is_held = False
        found = {
            item.id: item
            for item in self._items.values()
            if ledger.is_live(item.id) and ledger.segment_of(item.id) is each
        }
        if not found:
            return
        header = Header(
            place.queue, each.number, each.first_id, each.number, place.salt, compacted=True
        )
        pieces = [segment.encode(header)]
        for item_id in sorted(found):
            pieces += _record_of(found[item_id], place.salt)
        content = b"".join(pieces)
        with self._new_file(path) as descriptor:
            place.files.write_all(descriptor, content)
        self._written[each.number] = len(content), set(found)

    @contextlib.contextmanager
    def _new_file(self, path: str) -> Iterator[int]:
        """Open a new file for writing, and give it the path when it is whole, and safe."""
        files = self._place.files
        temporary = path + COMPACTED_SUFFIX
        with contextlib.suppress(FileNotFoundError):
            files.unlink(temporary)  # a leftover is never written to again
        with files.closing(files.create(temporary)) as descriptor:
            yield descriptor
            if self._place.syncs:
                files.sync(descriptor)
        files.rename(temporary, path)
        self.restored += 1


def _record_of(item: Item, salt: int) -> tuple[bytes, bytes]:
    if isinstance(item, MarkedItem):
        return record.push_marked(item, salt)
    return record.push(item, salt)
