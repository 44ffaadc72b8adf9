"""The exceptions of ``starling-journal``."""

from pathlib import Path


class OutputClosedError(Exception):
    """Standard output is a pipe that its reader has closed."""


class OutputFailedError(Exception):
    """Standard output cannot be written to; the text is one line that says why."""


class ImportRefused(Exception):
    """The import cannot begin; nothing was changed."""


class ImportFailedError(Exception):
    """The import was given up; the text tells whether what it had made could be removed."""


class WrongPathError(Exception):
    """There is no journal at a path; the text is one line that says so."""


class UnreadableError(Exception):
    """Behind some place in an old file nothing can be read."""

    def __init__(self, path: Path, offset: int, what: str, unread: int) -> None:
        """``offset``: bytes from the start of the file. ``unread``: bytes from there to its end."""
        super().__init__(f"{path}: at byte {offset}: {what}")
        self.path = path
        self.offset = offset
        self.what = what
        self.unread = unread


class NoRecordError(UnreadableError):
    """The bytes at some place in an old file, which could be read, are no whole record."""
