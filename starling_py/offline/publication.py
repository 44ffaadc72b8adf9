"""Brings whole queues of an import into their places, also if the import is killed meanwhile.

Queues are made in a directory of the new spool that a server leaves alone. When all are whole and
safe, a list of them is written there, and only then is the first one renamed into its place. So an
import that is killed has either brought nothing, and what it left is removed; or its list tells
what is still to be renamed, and the next import does that first. What a list names is whole,
wherever it is.
"""

import contextlib
import json
from pathlib import Path

import attrs

from starling_py import keys
from starling_py.journal.directory_names import directory_name
from starling_py.journal.disk.files import Files
from starling_py.offline.errors import ImportRefused

STAGING = ".importing"
"""The directory in the new spool that holds queues until they are whole; no queue has this name."""
LIST = "whole"
"""The file there that names the queues, once all of them are whole."""
_UNFINISHED = "whole.new"


@attrs.frozen
class Arrival:
    """A queue that an import brings."""

    old_name: bytes
    name: bytes
    items: int
    bytes: int
    expired: int

    @property
    def directory(self) -> str:
        """What its directory in the new spool is called."""
        return directory_name(self.name)


@attrs.frozen
class Arrivals:
    """All queues that one import brings."""

    source: str
    """The old spool's path, absolute."""
    queues: list[Arrival]

    def encode(self) -> bytes:
        """Return the list as it is written."""
        queues = [
            [each.old_name.hex(), each.name.hex(), each.items, each.bytes, each.expired]
            for each in self.queues
        ]
        return json.dumps({"from": self.source, "queues": queues}).encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> "Arrivals":
        """Read a list. Raises ``ValueError``, ``KeyError`` and ``TypeError`` if it is none."""
        content = json.loads(data)
        queues = [
            Arrival(bytes.fromhex(old), bytes.fromhex(new), *map(int, numbers))
            for old, new, *numbers in content["queues"]
        ]
        return cls(str(content["from"]), queues)


class Publication:
    """The staging directory of one new spool, whose lock the caller holds unless said otherwise."""

    def __init__(self, files: Files, path: str) -> None:
        """``path`` is the new spool's."""
        self._files = files
        self._path = path
        self.staging = f"{path}/{STAGING}"
        self._list = f"{self.staging}/{LIST}"
        self._moved: list[str] = []
        """Names of the directories that were renamed into their places."""

    def begun(self) -> Arrivals | None:
        """Return what an import that was killed was bringing; ``None`` if there was none.

        Needs no lock. Raises ``ImportRefused`` if its list cannot be read, and ``OSError``.
        """
        if Path(self.staging).is_symlink():
            raise ImportRefused(f"{self.staging}: this is a link; remove it")
        try:
            return Arrivals.decode(self._files.read(self._list))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ImportRefused(
                f"{self._list}: no import has written this; move {self.staging} out of the spool"
            ) from error

    def finish(self, arrivals: Arrivals) -> None:
        """Bring what an import that was killed has left here.

        Raises ``ImportRefused``, and then nothing was moved, if a queue has come into being
        meanwhile where one is to go; and ``OSError``.
        """
        left = [each for each in arrivals.queues if self._is_here(each)]
        for each in left:
            if exists(self._files, f"{self._path}/{each.directory}"):
                name = keys.printable(each.name)
                raise ImportRefused(
                    f"{self._path}: has a queue {name}, and so has an import that was killed, in"
                    f" {self.staging}/{each.directory}; move one of the two out of the spool"
                )
        self._move(left)

    def publish(self, arrivals: Arrivals) -> None:
        """Bring queues that are whole and safe in the staging directory. Raises ``OSError``."""
        files = self._files
        unfinished = f"{self.staging}/{_UNFINISHED}"
        with files.closing(files.create(unfinished)) as descriptor:
            files.write_all(descriptor, arrivals.encode())
            files.sync(descriptor)
        files.rename(unfinished, self._list)
        files.sync_directory(self.staging)
        files.sync_directory(self._path)
        self._move(arrivals.queues)

    def _move(self, queues: list[Arrival]) -> None:
        for each in queues:
            self._files.rename(f"{self.staging}/{each.directory}", f"{self._path}/{each.directory}")
            self._moved.append(each.directory)
        self._forget_list()
        self._moved.clear()  # from here on, nothing takes them back
        with contextlib.suppress(OSError):  # the next import removes it
            self._remove_rest()

    def retract(self) -> None:
        """Take what was brought back out of its place, and remove it. Raises ``OSError``."""
        while self._moved:
            name = self._moved[-1]
            self._files.rename(f"{self._path}/{name}", f"{self.staging}/{name}")
            self._moved.pop()
        self.clear()

    def clear(self) -> None:
        """Remove the staging directory and whatever is still in it. Raises ``OSError``."""
        if exists(self._files, self.staging):
            self._forget_list()
            self._remove_rest()

    def _forget_list(self) -> None:
        """Remove the list, safely: before queues that it names go, and after they are in place."""
        files = self._files
        files.sync_directory(self._path)
        if exists(files, self._list):
            files.unlink(self._list)
            files.sync_directory(self.staging)

    def _remove_rest(self) -> None:
        files, staging = self._files, self.staging
        for entry in files.list_directory(staging):
            path = f"{staging}/{entry}"
            if Path(path).is_symlink() or not files.is_directory(path):
                files.unlink(path)
                continue
            for name in files.list_directory(path):
                files.unlink(f"{path}/{name}")
            files.remove_directory(path)
        files.remove_directory(staging)

    def _is_here(self, arrival: Arrival) -> bool:
        return exists(self._files, f"{self.staging}/{arrival.directory}")


def exists(files: Files, path: str) -> bool:
    """Tell whether there is something at a path, other than a link to nowhere."""
    try:
        files.is_directory(path)
    except FileNotFoundError:
        return False
    return True
