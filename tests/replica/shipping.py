"""An owner's disk, a stream in memory, and followers' disks, for tests of what goes between."""

import attrs

from starling_py.journal.disk.files import Files
from starling_py.replica.follower import Follower
from starling_py.replica.operations import Operation
from starling_py.replica.outbox import Outbox
from starling_py.replica.position import PositionFile
from starling_py.replica.shipped_files import ShippedFiles
from starling_py.replica.stream_ledger import StreamLedger
from tests.journal.simulated_disk import SimulatedDisk
from tests.journal.spool_harness import SPOOL, empty_disk

STREAM = b"the stream's id "
STARTED = b"the system's one"

Contents = dict[str, bytes]


def shared(disk: SimulatedDisk) -> Contents:
    """Return what is on a disk of the files that all nodes have; empty directories do not count."""
    own = {f"{SPOOL}/{each}" for each in (".lock", ".reserve", ".replica")}
    found = disk.contents(SPOOL)
    return {path: data for path, data in found.items() if path not in own and path[-1] != "/"}


class TellingOutbox(Outbox):
    """An outbox that keeps what the disk was after each operation, and sends in one piece."""

    def __init__(self, disk: SimulatedDisk) -> None:
        super().__init__()
        self.disk = disk
        self.messages: dict[int, bytes] = {}
        """The stream: messages by their sequence numbers."""
        self.sequence = 0
        self.states: list[Contents] = [shared(disk)]
        """The owner's files after no operation, one, two, and so on."""
        self.ends: dict[int, int] = {0: 0}
        """How many operations were done up to each message."""
        self.ledger = StreamLedger()
        self.wake = self.send

    def add(self, operation: Operation) -> None:
        super().add(operation)
        self.states += [shared(self.disk)] * (self.added + 1 - len(self.states))

    def send(self) -> None:
        """Send what is there, and take the stream's answer."""
        while (message := self.take(all_of_it=True)) is not None:
            self.sequence += 1
            self.messages[self.sequence] = message.encode()
            self.ends[self.sequence] = message.end
            self.ledger.note(self.sequence, message.operations)
            self.answer(message)

    def purge(self, first: int) -> None:
        """Drop the messages before a sequence number."""
        for sequence in [each for each in self.messages if each < first]:
            del self.messages[sequence]


@attrs.define
class Owner:
    """A node that tells what it does."""

    disk: SimulatedDisk = attrs.field(factory=empty_disk)
    outbox: TellingOutbox = attrs.field()
    files: ShippedFiles = attrs.field()

    @outbox.default
    def _outbox(self) -> TellingOutbox:
        return TellingOutbox(self.disk)

    @files.default
    def _files(self) -> ShippedFiles:
        return ShippedFiles(self.disk, SPOOL, self.outbox)


def follower(files: Files, started: bytes = STARTED) -> Follower:
    """Return a follower that has not started yet."""
    return Follower(files, SPOOL, PositionFile(files, SPOOL, started), STREAM)


def follow(node: Follower, outbox: TellingOutbox, last: int | None = None) -> None:
    """Apply what a follower has not applied yet of the stream, up to a message."""
    last = outbox.sequence if last is None else last
    for sequence in range(node.position.sequence + 1, last + 1):
        if sequence in outbox.messages:
            node.apply(sequence, outbox.messages[sequence])
