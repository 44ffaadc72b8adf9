"""How far a node's files have come in the stream, in a file beside them.

It is written with each message, and around each operation that must not be done twice. A process
that dies leaves it as it was last written, and the files with it. After a power cut nothing is
known of either, unless the node had stopped in order; which of both it was, the number that the
system gives each of its own starts tells. While a node is the owner, its files may be ahead of the
stream: that is noted as well.
"""

import contextlib
import struct
import zlib
from typing import Final

import attrs

from starling_py.journal.directory_names import POSITION
from starling_py.journal.disk.files import Files

FOLLOWS: Final = 1
OWNS: Final = 2
"""The files may be ahead of the stream, or the stream's are others by now."""
STOPPED: Final = 3
"""As it follows, and all is synced: good after a power cut, too."""
BUILDS: Final = 4
"""The files are being made from the beginning of the stream."""

# magic, version, state, whether the files are whole, the system's start, the stream's id, number
# of the last message in it, its own number, operations of the next one that were done
_FORMAT = struct.Struct("<8sHBB16s16sQQI")
_MAGIC: Final = b"STARREPL"
_VERSION: Final = 1


@attrs.frozen
class Position:
    """One point of the stream."""

    stream: bytes
    """The id that the stream was given when it was made, 16 bytes."""
    sequence: int = 0
    """The number that the stream gave the last message that was applied."""
    number: int = 0
    """That message's own number."""
    done: int = 0
    """Operations of the next message that were applied."""
    state: int = FOLLOWS


class PositionFile:
    """The file of one node."""

    def __init__(self, files: Files, spool: str, started: bytes) -> None:
        """Tell starts of the system apart by ``started``, 16 bytes."""
        self._files = files
        self._path = f"{spool}/{POSITION}"
        self._started = started
        self._descriptor: int | None = None

    def read(self) -> Position | None:
        """Return the position; ``None`` if there is none that can be believed.

        A file that tells of nothing to be believed gives a position with the state ``OWNS``.
        Raises ``OSError``.
        """
        try:
            data = self._files.read(self._path)
        except FileNotFoundError:
            return None
        size = _FORMAT.size
        if len(data) < size + 4 or zlib.crc32(data[:size]) != int.from_bytes(data[size:], "little"):
            return Position(b"", state=OWNS)
        magic, version, state, _, started, stream, sequence, number, done = _FORMAT.unpack(
            data[:size]
        )
        if magic != _MAGIC or version != _VERSION:
            return Position(b"", state=OWNS)
        if state == FOLLOWS and started != self._started:
            state = OWNS  # a power cut came, and what is in the files nobody knows
        return Position(stream, sequence, number, done, state)

    def write(self, position: Position) -> None:
        """Write the position; it is there for whoever reads it once this returns.

        A new file is made safe before any other is made: a node that a power cut has left with
        queues, and without this file, would not know that they are the stream's.
        """
        is_new = False
        if self._descriptor is None:
            with contextlib.suppress(FileNotFoundError):
                self._descriptor = self._files.open_placed(self._path, new=False)
            if self._descriptor is None:
                self._descriptor = self._files.open_placed(self._path, new=True)
                is_new = True
        told = _FORMAT.pack(
            _MAGIC,
            _VERSION,
            position.state,
            0,
            self._started,
            position.stream,
            position.sequence,
            position.number,
            position.done,
        )
        told += zlib.crc32(told).to_bytes(4, "little")
        self._files.write_at(self._descriptor, 0, told)
        if is_new:
            self._files.sync(self._descriptor)
            self._files.sync_directory(self._path.rpartition("/")[0])

    def sync(self) -> None:
        """Make it safe. Raises ``OSError``."""
        if self._descriptor is not None:
            self._files.sync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            self._files.close(self._descriptor)
            self._descriptor = None
