"""Making a journal's files safe: where they are, and one sync of what was written to them."""

import threading
from dataclasses import dataclass, field

from starling_py.journal import checkpoint
from starling_py.journal.disk import failed_syncs
from starling_py.journal.disk.files import Files
from starling_py.journal.format import record, segment
from starling_py.journal.format.segment import UNFINISHED_SUFFIX, Header
from starling_py.journal.ledger import Ledger


@dataclass(frozen=True)
class Place:
    """Where a journal is, and what its segments have in common."""

    files: Files
    directory: str
    queue: bytes
    salt: int
    syncs: bool
    """Whether anything is ever synced."""

    def path(self, number: int) -> str:
        """Return the path of a segment."""
        return f"{self.directory}/{segment.file_name(number)}"

    def beginning(self, number: int, ledger: Ledger, previous_end: int) -> bytes:
        """Return the header and the checkpoint of a segment."""
        header = segment.encode(Header(self.queue, number, ledger.next_id, number, self.salt))
        payload = checkpoint.encode(ledger, previous_end)
        return header + record.bare(record.CHECKPOINT, ledger.next_id, self.salt, payload)


@dataclass(eq=False)
class Syncing:
    """What has to be done to make all that was written safe; ``run`` is fit for any thread."""

    place: Place
    descriptors: tuple[int, ...]
    paths: tuple[str, ...]
    """Those of the open files."""
    unfinished: str | None
    """The path of a segment that gets its name when it is safe."""
    new_directory: bool
    """Whether the journal's directory is not known to be safe itself."""
    end: tuple[int, int]
    """The segment's number and its size up to which everything is safe then."""
    trouble: OSError | None
    """Why what is synced is not safe all the same."""
    cutting: threading.Lock = field(default_factory=threading.Lock)
    """Held while one of the files is cut back, as that may be a trouble."""

    @property
    def is_plain(self) -> bool:
        """Whether there is one file to be synced, and nothing else."""
        return self.unfinished is None and not self.new_directory and len(self.descriptors) == 1

    def run(self) -> None:
        """Do it. Raises ``OSError``."""
        files = self.place.files
        self._check()
        for descriptor, path in zip(self.descriptors, self.paths, strict=True):
            failed_syncs.sync_or_note(files, descriptor, path)
        with self.cutting:
            self._check()
        if self.unfinished is not None:
            files.rename(self.unfinished, self.unfinished.removesuffix(UNFINISHED_SUFFIX))
            files.sync_directory(self.place.directory)
        if self.new_directory:
            files.sync_directory(self.place.directory.rpartition("/")[0])

    def _check(self) -> None:
        """Raise what another thread may have noted meanwhile.

        Of its own, as mypyc takes what was looked at once in a function for what it is for good.
        """
        if self.trouble is not None:
            raise self.trouble
